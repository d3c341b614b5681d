// A token for the client itself, with the secret in the header or in the body. The
// endpoints come from the metadata of RFC 8414.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, contacts, refused } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)

const as = await oauth
  .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))

const client = { client_id: CLIENT_ID }

for (const clientAuth of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]) {
  const get = async (parameters) => {
    const response = await oauth.clientCredentialsGrantRequest(as, client, clientAuth, parameters, insecure)
    return oauth.processClientCredentialsResponse(as, client, response)
  }
  const call = (token, method, url) =>
    oauth.protectedResourceRequest(token.access_token, method, url, undefined, undefined, insecure)

  const all = await get({})
  assert.equal(all.token_type, 'bearer')
  assert.equal(all.expires_in, 3600)
  assert.equal(all.scope, 'contacts:read contacts:write')
  const response = await call(all, 'GET', contact)
  assert.equal(response.status, 200)
  assert.equal((await response.json()).client, CLIENT_ID)
  assert.equal((await call(all, 'POST', contacts)).status, 200)

  // Less than all that the client may do.
  const reader = await get({ scope: 'contacts:read' })
  assert.equal(reader.scope, 'contacts:read')
  assert.equal((await call(reader, 'GET', contact)).status, 200)
  assert.equal((await refused(() => call(reader, 'POST', contacts))).code, 'R6')

  // More than the client may do.
  await assert.rejects(get({ scope: 'invoices:read' }), (error) => {
    assert.ok(error instanceof oauth.ResponseBodyError)
    assert.equal(error.error, 'invalid_scope')
    assert.equal(error.status, 400)
    return true
  })
}
