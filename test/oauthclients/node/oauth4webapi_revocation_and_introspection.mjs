// RFC 7009 and RFC 7662: an access token is good until the client gives it up.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { CLIENT_ID, CLIENT_SECRET, ISSUER, contact, refusedWithinASecond } from './given.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)

const as = await oauth
  .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response))

const client = { client_id: CLIENT_ID }

for (const clientAuth of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]) {
  const introspect = async (token) => {
    const response = await oauth.introspectionRequest(as, client, clientAuth, token, insecure)
    return oauth.processIntrospectionResponse(as, client, response)
  }
  const revoke = async (token, additionalParameters) => {
    const response = await oauth.revocationRequest(as, client, clientAuth, token, { additionalParameters, ...insecure })
    return oauth.processRevocationResponse(response)
  }

  const { access_token } = await oauth
    .clientCredentialsGrantRequest(as, client, clientAuth, { scope: 'contacts:read' }, insecure)
    .then((response) => oauth.processClientCredentialsResponse(as, client, response))
  const call = () => oauth.protectedResourceRequest(access_token, 'GET', contact, undefined, undefined, insecure)

  const facts = await introspect(access_token)
  assert.equal(facts.active, true)
  assert.equal(facts.client_id, CLIENT_ID)
  assert.equal(facts.scope, 'contacts:read')
  assert.equal(facts.exp, facts.iat + 3600)
  assert.equal((await call()).status, 200)

  await revoke(access_token, { token_type_hint: 'access_token' })
  await refusedWithinASecond(call)
  assert.deepEqual(await introspect(access_token), { active: false })

  // What is no token is as good as revoked, and told nothing about.
  await revoke('nonsense')
  assert.deepEqual(await introspect('nonsense'), { active: false })
}

const stranger = oauth.ClientSecretPost('wrong')
const invalidClient = (error) => {
  assert.ok(error instanceof oauth.ResponseBodyError)
  assert.equal(error.error, 'invalid_client')
  return true
}
await assert.rejects(
  oauth.revocationRequest(as, client, stranger, 'nonsense', insecure).then((response) => oauth.processRevocationResponse(response)),
  invalidClient,
)
await assert.rejects(
  oauth.introspectionRequest(as, client, stranger, 'nonsense', insecure).then((response) => oauth.processIntrospectionResponse(as, client, response)),
  invalidClient,
)
