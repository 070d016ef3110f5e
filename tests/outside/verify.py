"""Verifies tokens with PyJWT from the JWKS URL alone: verify.py JWKS_URL ISSUER AUDIENCE ALG, a token on each line of
standard input. Prints the header and claims of each as one line of JSON; exits 1 at the first that does not verify."""
import json
import sys

import jwt

jwks_url, issuer, audience, algorithm = sys.argv[1:5]
keys = jwt.PyJWKClient(jwks_url)
for token in sys.stdin.read().split():
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer=issuer,
        audience=audience,
        options={"require": ["iss", "aud", "sub", "exp", "iat", "jti"]},
    )
    print(json.dumps({"header": jwt.get_unverified_header(token), "claims": claims}))
