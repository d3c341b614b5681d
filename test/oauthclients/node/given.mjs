// What every sample is given: where tollgate is, an API behind it, and a client of
// its own.
import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'

export const { ISSUER, CLIENT_ID, CLIENT_SECRET, API } = process.env

// GET needs contacts:read, POST needs contacts:write.
export const contact = new URL('/v1/contacts/7', API)
export const contacts = new URL('/v1/contacts', API)

// Asks until the API refuses: requests that begin a second after a revocation must
// be. The libraries throw what comes with a WWW-Authenticate header.
export async function refusedWithinASecond(ask) {
  const end = performance.now() + 1000
  for (;;) {
    const late = performance.now() > end
    const refusal = await refused(ask)
    if (refusal) {
      assert.equal(refusal.code, 'R1')
      return
    }
    assert.ok(!late, 'a revoked token is still good')
    await setTimeout(20)
  }
}

// The body of a refusal, or undefined.
export async function refused(ask) {
  try {
    const response = await ask()
    assert.equal(response.status, 200)
  } catch (error) {
    if (error.code !== 'OAUTH_WWW_AUTHENTICATE_CHALLENGE') throw error
    assert.equal(error.status, 401)
    return error.response.json()
  }
}
