// An API that verifies the forwarded token itself, by RFC 9068 and the JWKS.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { API, CLIENT_ID, CLIENT_SECRET, ISSUER } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)

const as = await oauth
  .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))

const client = { client_id: CLIENT_ID }
const clientAuth = oauth.ClientSecretBasic(CLIENT_SECRET)
const { access_token } = await oauth
  .clientCredentialsGrantRequest(as, client, clientAuth, { scope: 'contacts:read' }, insecure)
  .then((response) => oauth.processClientCredentialsResponse(as, client, response))

const request = new Request(API, { headers: { authorization: `Bearer ${access_token}` } })
const claims = await oauth.validateJwtAccessToken(as, request, ISSUER, insecure)
assert.equal(claims.client_id, CLIENT_ID)
assert.equal(claims.scope, 'contacts:read')

await assert.rejects(oauth.validateJwtAccessToken(as, request, 'https://another.example.com', insecure))
