// Verifies tokens with jose from the JWKS URL alone: node verify.mjs JWKS_URL ISSUER AUDIENCE ALG, a token on each line
// of standard input. Prints header and claims of each as one line of JSON; exits 1 at the first that does not verify.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(process.env.MINTGATE_NODE_MODULES + '/')
const jose = require('jose')
const [jwksUrl, issuer, audience, algorithm] = process.argv.slice(2)
const keys = jose.createRemoteJWKSet(new URL(jwksUrl))
for (const token of readFileSync(0, 'utf8').split(/\s+/).filter(Boolean)) {
  const { payload, protectedHeader } = await jose.jwtVerify(token, keys, {
    issuer,
    audience,
    algorithms: [algorithm],
    typ: 'at+jwt',
    requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id', 'scope'],
  })
  console.log(JSON.stringify({ header: protectedHeader, claims: payload }))
}
