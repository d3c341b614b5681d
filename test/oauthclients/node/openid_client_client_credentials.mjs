// A token for the client itself, with the secret in the header or in the body. The
// endpoints come from the metadata of RFC 8414.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, contacts, refused } from './given.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] } // http on loopback

for (const clientAuth of [client.ClientSecretBasic(CLIENT_SECRET), client.ClientSecretPost(CLIENT_SECRET), undefined]) {
  const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, clientAuth, options)
  const call = (token, method, url) => client.fetchProtectedResource(config, token.access_token, url, method)

  const all = await client.clientCredentialsGrant(config)
  const left = all.expiresIn() // counted down from the moment the answer came
  assert.ok(left > 3500 && left <= 3600, left)
  assert.equal(all.scope, 'contacts:read contacts:write')
  const response = await call(all, 'GET', contact)
  assert.equal(response.status, 200)
  assert.equal((await response.json()).client, CLIENT_ID)
  assert.equal((await call(all, 'POST', contacts)).status, 200)

  // Less than all that the client may do.
  const reader = await client.clientCredentialsGrant(config, { scope: 'contacts:read' })
  assert.equal(reader.scope, 'contacts:read')
  assert.equal((await call(reader, 'GET', contact)).status, 200)
  assert.equal((await refused(() => call(reader, 'POST', contacts))).code, 'R6')

  // More than the client may do.
  await assert.rejects(client.clientCredentialsGrant(config, { scope: 'invoices:read' }), (error) => {
    assert.ok(error instanceof client.ResponseBodyError)
    assert.equal(error.error, 'invalid_scope')
    return true
  })
}
