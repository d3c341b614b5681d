// A new pair each time; any but the latest refresh token is refused.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, contacts, refused } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)

const as = await oauth
  .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))
assert.ok(as.grant_types_supported.includes('refresh_token'))

const client = { client_id: CLIENT_ID }

for (const clientAuth of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]) {
  const refresh = async (refreshToken, additionalParameters) => {
    const response = await oauth.refreshTokenGrantRequest(as, client, clientAuth, refreshToken, { additionalParameters, ...insecure })
    return oauth.processRefreshTokenResponse(as, client, response)
  }
  const call = (token, method, url) =>
    oauth.protectedResourceRequest(token.access_token, method, url, undefined, undefined, insecure)

  const first = await oauth
    .clientCredentialsGrantRequest(as, client, clientAuth, {}, insecure)
    .then((response) => oauth.processClientCredentialsResponse(as, client, response))

  const second = await refresh(first.refresh_token)
  assert.notEqual(second.access_token, first.access_token)
  assert.notEqual(second.refresh_token, first.refresh_token)
  assert.equal(second.scope, 'contacts:read contacts:write')
  assert.equal((await call(second, 'GET', contact)).status, 200)

  // Less than was granted (RFC 6749 section 6).
  const third = await refresh(second.refresh_token, { scope: 'contacts:read' })
  assert.equal(third.scope, 'contacts:read')
  assert.equal((await call(third, 'GET', contact)).status, 200)
  assert.equal((await refused(() => call(third, 'POST', contacts))).code, 'R6')

  for (const old of [first, second]) {
    await assert.rejects(refresh(old.refresh_token), (error) => {
      assert.ok(error instanceof oauth.ResponseBodyError)
      assert.equal(error.error, 'invalid_grant')
      assert.equal(error.error_description, 'Invalid refresh token')
      return true
    })
  }
}
