// Express verifies the access tokens of {{issuer}} by itself, and follows what was revoked.
// Printed by `mintgate gen-config express`: keep it as mintgate.mjs, `npm install jose express`, and protect a route:
//
//     import { requireScope } from './mintgate.mjs'
//     app.get('/orders', requireScope(), (request, response) => response.json({ subject: request.claims.sub }))
import { createHash } from 'node:crypto'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const ISSUER = "{{issuer}}"
const AUDIENCE = "{{audience}}"
const JWKS_URL = "{{jwks_url}}"
const REVOCATIONS_URL = "{{revocations_url}}"
const ALGORITHM = "{{algorithm}}"
const TYPE = "{{typ}}"
const SCOPE = "{{scope}}"

// Fetched once; again when a token names a key that is not there, but not within five seconds of the time before.
const keys = createRemoteJWKSet(new URL(JWKS_URL), { cooldownDuration: 5_000, timeoutDuration: 5_000 })

// The revocation feed: one small signed document every few seconds says what was revoked and has not ended.
const revoked = { jti: new Map(), sid: new Map(), sub: new Map(), client_id: new Map(), kid: new Map() }
let number = 0

async function readFeed() {
  for (;;) {
    const answer = await fetch(`${REVOCATIONS_URL}?since=${number}`, { signal: AbortSignal.timeout(5_000) })
    if (answer.status !== 200) throw new Error(`the feed answers ${answer.status}`)
    const { payload } = await jwtVerify(await answer.text(), keys, {
      issuer: ISSUER,
      algorithms: [ALGORITHM],
      typ: 'revocations+jwt',
      requiredClaims: ['iat', 'exp', 'from', 'to'],
    })
    if (payload.from > number) {
      number = 0 // something is missing: everything, please
      continue
    }
    for (const [kind, map] of Object.entries(revoked)) {
      for (const [id, ...dates] of payload.revoked[kind] ?? []) {
        const known = map.get(id)
        const end = Math.max(dates.at(-1), known?.end ?? 0)
        const before = dates.length > 1 ? Math.max(dates[0], known?.before ?? 0) : Infinity
        map.set(id, { before, end })
      }
      for (const [id, { end }] of map) if (end <= Date.now() / 1000) map.delete(id)
    }
    number = payload.to
    if (!payload.more) return payload.max_age
  }
}

async function follow() {
  let pause = 5
  try {
    pause = await readFeed()
  } catch (error) {
    // What is known stays known; tokens that are revoked meanwhile work until they expire.
    console.error(`the revocation feed cannot be read: ${error.message}`)
  }
  setTimeout(follow, pause * 1000).unref()
}

/** Resolves when the feed has been read once: listen after that. */
export const ready = follow()

function isRevoked(claims, header) {
  const over = (kind, id, date) => date <= revoked[kind].get(id)?.before
  const date = claims.auth_time ?? claims.iat
  const subject = createHash('sha256').update(claims.sub).digest().subarray(0, 16).toString('base64url')
  return (
    over('jti', claims.jti, date) ||
    over('sid', claims.sid, date) ||
    over('sub', subject, date) ||
    over('client_id', claims.client_id, date) ||
    over('kid', header.kid, claims.iat)
  )
}

/** The claims of a good token; throws for any other. */
export async function verify(token) {
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer: ISSUER,
    audience: AUDIENCE,
    algorithms: [ALGORITHM],
    typ: TYPE, // RFC 9068 section 4: an ID token is no access token
    clockTolerance: 5,
    requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id'],
  })
  if (isRevoked(payload, protectedHeader)) throw new Error('revoked')
  return payload
}

/** Lets a request pass whose token has this scope; `request.claims` says who asks. */
export function requireScope(scope = SCOPE) {
  const needed = scope.split(' ').filter(Boolean)
  return async (request, response, next) => {
    const deny = (status, challenge) => response.status(status).set('WWW-Authenticate', challenge).json({ status })
    const [scheme, token] = (request.get('authorization') ?? '').split(' ')
    // RFC 6750 section 3.1: no error code for a request that brought no token.
    if (scheme.toLowerCase() !== 'bearer') return deny(401, 'Bearer')
    try {
      request.claims = await verify(token ?? '')
    } catch (error) {
      console.error(`refused: ${error.message}`) // for us; the caller learns no more than the code
      return deny(401, 'Bearer error="invalid_token"')
    }
    const has = (request.claims.scope ?? '').split(' ')
    if (!needed.every((one) => has.includes(one))) {
      return deny(403, `Bearer error="insufficient_scope", scope="${scope}"`)
    }
    next()
  }
}
