// A wrong secret is the library's own error.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { CLIENT_ID, ISSUER } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const as = { issuer: ISSUER, token_endpoint: `${ISSUER}/oauth2/token` }
const client = { client_id: CLIENT_ID }

const get = async (clientAuth) => {
  const response = await oauth.clientCredentialsGrantRequest(as, client, clientAuth, {}, insecure)
  return oauth.processClientCredentialsResponse(as, client, response)
}

await assert.rejects(get(oauth.ClientSecretPost('wrong')), (error) => {
  assert.ok(error instanceof oauth.ResponseBodyError)
  assert.equal(error.error, 'invalid_client')
  assert.equal(error.status, 401)
  return true
})

// Who used the header is asked for it again, and the library puts that first.
const error = await get(oauth.ClientSecretBasic('wrong')).catch((error) => error)
assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, error)
assert.equal(error.status, 401)
assert.deepEqual(error.cause, [{ scheme: 'basic', parameters: { realm: 'tollgate' } }])
assert.equal((await error.response.json()).error, 'invalid_client')
