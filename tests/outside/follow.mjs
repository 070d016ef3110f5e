// Follows the revocation feed with jose, as `manual::feed` says: node follow.mjs JWKS_URL ISSUER FEED_URL ALG SUBJECT_TOKEN.
// Prints "live" when the log has been read and the token is not in it, "revoked" as soon as it is; then it ends.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(process.env.MINTGATE_NODE_MODULES + '/')
const jose = require('jose')
const [jwksUrl, issuer, feedUrl, algorithm, token] = process.argv.slice(2)
const keys = jose.createRemoteJWKSet(new URL(jwksUrl))
const known = { jti: new Map(), sid: new Map(), sub: new Map(), client_id: new Map(), kid: new Map() }
let number = 0
let pause = 0

async function advance() {
  for (;;) {
    const answer = await fetch(`${feedUrl}?since=${number}`)
    if (answer.status !== 200) return
    const { payload } = await jose.jwtVerify(await answer.text(), keys, {
      issuer,
      algorithms: [algorithm],
      typ: 'revocations+jwt',
      requiredClaims: ['iat', 'exp', 'from', 'to'],
    })
    if (payload.from > number) throw new Error('a gap in the numbers')
    for (const [name, entries] of Object.entries(payload.revoked)) {
      for (const [id, ...rest] of entries) known[name]?.set(id, rest)
    }
    number = payload.to
    pause = payload.max_age * 1000
    if (!payload.more) return
  }
}

function isRevoked() {
  const claims = jose.decodeJwt(token)
  const date = claims.auth_time ?? claims.iat
  const subject = createHash('sha256').update(claims.sub).digest().subarray(0, 16).toString('base64url')
  const before = (map, id, at) => map.has(id) && at <= map.get(id)[0]
  return (
    known.jti.has(claims.jti) ||
    known.sid.has(claims.sid) ||
    before(known.sub, subject, date) ||
    before(known.client_id, claims.client_id, date) ||
    before(known.kid, jose.decodeProtectedHeader(token).kid, claims.iat)
  )
}

await advance()
console.log(isRevoked() ? 'revoked' : 'live')
while (!isRevoked()) {
  await new Promise((resolve) => setTimeout(resolve, pause))
  await advance()
}
console.log('revoked')
