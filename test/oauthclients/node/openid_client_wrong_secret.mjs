// A wrong secret is the library's own error.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { CLIENT_ID, ISSUER } from './given.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] } // http on loopback

const inBody = await client.discovery(new URL(ISSUER), CLIENT_ID, 'wrong', undefined, options)
await assert.rejects(client.clientCredentialsGrant(inBody), (error) => {
  assert.ok(error instanceof client.ResponseBodyError)
  assert.equal(error.error, 'invalid_client')
  assert.equal(error.status, 401)
  return true
})

// Who used the header is asked for it again, and the library puts that first.
const inHeader = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, client.ClientSecretBasic('wrong'), options)
const error = await client.clientCredentialsGrant(inHeader).catch((error) => error)
assert.ok(error instanceof client.WWWAuthenticateChallengeError, error)
assert.equal(error.status, 401)
assert.deepEqual(error.cause, [{ scheme: 'basic', parameters: { realm: 'tollgate' } }])
assert.equal((await error.response.json()).error, 'invalid_client')
