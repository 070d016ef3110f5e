"""Judges many tokens with PyJWT. Standard input: one line of JSON with `jwks`, `issuer` and `audience`, then one token a
line as a JSON string. Prints for each `ok`, or why not. The caller's part is what any caller has to do: the key by its
`kid`, the algorithm by the key, the `typ`."""
import json
import sys

import jwt

demand = json.loads(sys.stdin.readline())
keys = {key["kid"]: jwt.PyJWK(key) for key in demand["jwks"]["keys"]}


def judge(token):
    header = jwt.get_unverified_header(token)
    kid, typ = header.get("kid"), header.get("typ")
    if not isinstance(kid, str) or kid not in keys:
        raise ValueError("no key")
    if not isinstance(typ, str) or typ.lower() not in ("at+jwt", "application/at+jwt"):
        raise ValueError("typ")
    jwt.decode(
        token,
        keys[kid],
        algorithms=[keys[kid].algorithm_name],
        issuer=demand["issuer"],
        audience=demand["audience"],
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]},
    )


for line in sys.stdin:
    try:
        judge(json.loads(line))
        print("ok")
    except RecursionError:
        print("RecursionError")
    except Exception as error:  # whatever it is, the token is not taken
        print(type(error).__name__, str(error).replace("\n", " ").encode("ascii", "replace").decode())
