// RFC 7009 and RFC 7662: an access token is good until the client gives it up.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, refusedWithinASecond } from './given.mjs'

const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] } // http on loopback

for (const clientAuth of [client.ClientSecretBasic(CLIENT_SECRET), client.ClientSecretPost(CLIENT_SECRET)]) {
  const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, clientAuth, options)

  const { access_token } = await client.clientCredentialsGrant(config, { scope: 'contacts:read' })
  const call = () => client.fetchProtectedResource(config, access_token, contact, 'GET')

  const facts = await client.tokenIntrospection(config, access_token)
  assert.equal(facts.active, true)
  assert.equal(facts.client_id, CLIENT_ID)
  assert.equal(facts.scope, 'contacts:read')
  assert.equal((await call()).status, 200)

  await client.tokenRevocation(config, access_token, { token_type_hint: 'access_token' })
  await refusedWithinASecond(call)
  assert.deepEqual(await client.tokenIntrospection(config, access_token), { active: false })
}
