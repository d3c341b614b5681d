// A new pair each time; any but the latest refresh token is refused.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, contacts, refused } from './given.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] } // http on loopback

for (const clientAuth of [client.ClientSecretBasic(CLIENT_SECRET), client.ClientSecretPost(CLIENT_SECRET)]) {
  const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, clientAuth, options)
  const call = (token, method, url) => client.fetchProtectedResource(config, token.access_token, url, method)

  const first = await client.clientCredentialsGrant(config)
  const second = await client.refreshTokenGrant(config, first.refresh_token)
  assert.notEqual(second.access_token, first.access_token)
  assert.notEqual(second.refresh_token, first.refresh_token)
  assert.equal((await call(second, 'GET', contact)).status, 200)

  // Less than was granted (RFC 6749 section 6).
  const third = await client.refreshTokenGrant(config, second.refresh_token, { scope: 'contacts:read' })
  assert.equal(third.scope, 'contacts:read')
  assert.equal((await refused(() => call(third, 'POST', contacts))).code, 'R6')

  for (const old of [first, second]) {
    await assert.rejects(client.refreshTokenGrant(config, old.refresh_token), (error) => {
      assert.ok(error instanceof client.ResponseBodyError)
      assert.equal(error.error, 'invalid_grant')
      assert.equal(error.error_description, 'Invalid refresh token')
      return true
    })
  }
}
