// Follows a token's status list with jose and zlib, as draft-ietf-oauth-status-list-20, section 8.3, says:
// node status.mjs BASE ISSUER ALG TOKEN, where BASE is the address under which ISSUER is reached here.
// Prints "valid" or "invalid", again when that changes to "invalid"; then it ends.
import { createRequire } from 'node:module'
import { inflateSync } from 'node:zlib'

const require = createRequire(process.env.MINTGATE_NODE_MODULES + '/')
const jose = require('jose')
const [base, issuer, algorithm, token] = process.argv.slice(2)
const here = (uri) => {
  if (!uri.startsWith(issuer + '/')) throw new Error('a list elsewhere')
  return base + uri.slice(issuer.length)
}
const keys = jose.createRemoteJWKSet(new URL(`${base}/jwks.json`))
const { payload: claims } = await jose.jwtVerify(token, keys, { issuer, algorithms: [algorithm], typ: 'at+jwt' })
const { idx, uri } = claims.status.status_list

const metadata = await (await fetch(`${base}/.well-known/oauth-authorization-server`)).json()
const lists = await (await fetch(here(metadata.status_list_aggregation_endpoint))).json()
if (!lists.status_lists.includes(uri)) throw new Error('the list is not listed')

let pause = 0
async function status() {
  const answer = await fetch(here(uri), { headers: { accept: 'application/statuslist+jwt' } })
  if (answer.status !== 200 || answer.headers.get('content-type') !== 'application/statuslist+jwt') {
    throw new Error(`no list: ${answer.status}`)
  }
  const { payload: list } = await jose.jwtVerify(await answer.text(), keys, {
    issuer,
    subject: uri,
    algorithms: [algorithm],
    typ: 'statuslist+jwt',
    requiredClaims: ['iat', 'exp', 'ttl', 'status_list'],
  })
  pause = list.ttl * 1000
  const { bits, lst } = list.status_list
  const bytes = inflateSync(Buffer.from(lst, 'base64url'), { maxOutputLength: 1 << 24 })
  const perByte = 8 / bits
  if (idx >= bytes.length * perByte) throw new Error('the index is beyond the list')
  const value = (bytes[Math.floor(idx / perByte)] >> ((idx % perByte) * bits)) & ((1 << bits) - 1)
  return value === 0 ? 'valid' : 'invalid'
}

let known = await status()
console.log(known)
while (known !== 'invalid') {
  await new Promise((resolve) => setTimeout(resolve, pause))
  known = await status()
}
console.log('invalid')
