// Who gives up a refresh token gives up the access tokens that came with it
// (RFC 7009 section 2.1).
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, refusedWithinASecond } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)

const as = await oauth
  .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))

const client = { client_id: CLIENT_ID }
const clientAuth = oauth.ClientSecretBasic(CLIENT_SECRET)

const { access_token, refresh_token } = await oauth
  .clientCredentialsGrantRequest(as, client, clientAuth, {}, insecure)
  .then((response) => oauth.processClientCredentialsResponse(as, client, response))
const call = () => oauth.protectedResourceRequest(access_token, 'GET', contact, undefined, undefined, insecure)
assert.equal((await call()).status, 200)

await oauth
  .revocationRequest(as, client, clientAuth, refresh_token, { additionalParameters: { token_type_hint: 'refresh_token' }, ...insecure })
  .then((response) => oauth.processRevocationResponse(response))

await refusedWithinASecond(call)
await assert.rejects(
  oauth
    .refreshTokenGrantRequest(as, client, clientAuth, refresh_token, insecure)
    .then((response) => oauth.processRefreshTokenResponse(as, client, response)),
  { error: 'invalid_grant' },
)
