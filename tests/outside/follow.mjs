// Follows the revocation feed with jose, as `manual::feed` says: node follow.mjs JWKS_URL ISSUER FEED_URL ALG TOKEN [HOW].
// HOW: "poll" asks as often as the document says, "wait" lets its question be held, "events" reads the event stream,
// "measure" reads everything once and prints how long it took.
// Prints "live" when the log has been read and the token is not in it, "revoked" as soon as it is; then it ends.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(process.env.MINTGATE_NODE_MODULES + '/')
const jose = require('jose')
const [jwksUrl, issuer, feedUrl, algorithm, token, how = 'poll'] = process.argv.slice(2)
const keys = jose.createRemoteJWKSet(new URL(jwksUrl))
const known = { jti: new Map(), sid: new Map(), sub: new Map(), client_id: new Map(), kid: new Map() }
let number = 0
let pause = 0

async function apply(text) {
  const { payload } = await jose.jwtVerify(text, keys, {
    issuer,
    algorithms: [algorithm],
    typ: 'revocations+jwt',
    requiredClaims: ['iat', 'exp', 'from', 'to'],
  })
  if (payload.from > number || payload.to < number) throw new Error('a gap in the numbers')
  for (const [name, entries] of Object.entries(payload.revoked)) {
    for (const [id, ...rest] of entries) known[name]?.set(id, rest)
  }
  number = payload.to
  return payload
}

async function advance(wait = '') {
  for (;;) {
    const answer = await fetch(`${feedUrl}?since=${number}${wait}`)
    if (answer.status !== 200) return
    const payload = await apply(await answer.text())
    pause = payload.max_age * 1000
    if (!payload.more) return
  }
}

// The event stream of the HTML standard, as far as it is used here; every cut is followed by a question where it was cut.
async function* events() {
  for (;;) {
    const headers = { accept: 'text/event-stream', 'last-event-id': String(number) }
    const answer = await fetch(feedUrl, { headers })
    if (answer.headers.get('content-type') !== 'text/event-stream') throw new Error('no event stream')
    let text = ''
    for await (const bytes of answer.body.pipeThrough(new TextDecoderStream())) {
      text += bytes
      let end
      while ((end = text.indexOf('\n\n')) >= 0) {
        const fields = new Map(text.slice(0, end).split('\n').map((line) => line.split(/: ?(.*)/s)))
        text = text.slice(end + 2)
        if (fields.get('event') !== 'revocations') continue
        await apply(fields.get('data'))
        if (fields.get('id') !== String(number)) throw new Error('the event has another number than its document')
        yield
      }
    }
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

if (how === 'measure') {
  const began = performance.now()
  await advance()
  const entries = Object.values(known).reduce((sum, map) => sum + map.size, 0)
  console.log(`${entries} entries read, verified and applied in ${Math.round(performance.now() - began)} ms`)
  process.exit(0)
}
await advance()
console.log(isRevoked() ? 'revoked' : 'live')
if (how === 'events') {
  for await (const _ of events()) if (isRevoked()) break
}
while (!isRevoked()) {
  if (how === 'poll') await new Promise((resolve) => setTimeout(resolve, pause))
  await advance(how === 'wait' ? '&wait=30' : '')
}
console.log('revoked')
process.exit(0)
