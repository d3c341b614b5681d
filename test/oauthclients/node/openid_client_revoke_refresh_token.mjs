// Who gives up a refresh token gives up the access tokens that came with it
// (RFC 7009 section 2.1).
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, refusedWithinASecond } from './given.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] } // http on loopback
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, options)

const { access_token, refresh_token } = await client.clientCredentialsGrant(config)
const call = () => client.fetchProtectedResource(config, access_token, contact, 'GET')
assert.equal((await call()).status, 200)
assert.equal((await client.tokenIntrospection(config, refresh_token)).active, true)

await client.tokenRevocation(config, refresh_token, { token_type_hint: 'refresh_token' })
await refusedWithinASecond(call)
assert.deepEqual(await client.tokenIntrospection(config, refresh_token), { active: false })
await assert.rejects(client.refreshTokenGrant(config, refresh_token), { error: 'invalid_grant' })
