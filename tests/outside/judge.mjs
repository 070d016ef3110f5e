// Judges many tokens with jose. Standard input: one line of JSON with `jwks`, `issuer` and `audience`, then one token a
// line as a JSON string. Prints for each `ok`, or why not. The caller's part is what any caller has to do: the key by
// its `kid`, the algorithm by the key.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(process.env.MINTGATE_NODE_MODULES + '/')
const jose = require('jose')
const [first, ...lines] = readFileSync(0, 'utf8').split('\n').filter(Boolean)
const { jwks, issuer, audience } = JSON.parse(first)
const keys = new Map()
for (const jwk of jwks.keys) keys.set(jwk.kid, { jwk, imported: await jose.importJWK(jwk, jwk.alg) })
for (const line of lines) {
  try {
    const token = JSON.parse(line)
    const { kid } = jose.decodeProtectedHeader(token)
    if (typeof kid !== 'string' || !keys.has(kid)) throw new Error('no key')
    const { jwk, imported } = keys.get(kid)
    await jose.jwtVerify(token, imported, {
      issuer,
      audience,
      algorithms: jwk.alg === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [jwk.alg],
      typ: 'at+jwt',
      requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id'],
    })
    console.log('ok')
  } catch (error) {
    console.log(error.name, String(error.message).replace(/[^ -~]/g, ' '))
  }
}
