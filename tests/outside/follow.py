"""Follows the revocation feed with PyJWT: follow.py JWKS_URL ISSUER FEED_URL ALG, tokens on standard input, a token a
line. Reads the whole log once and prints a line of JSON for each token, and one for the log."""
import base64
import hashlib
import json
import sys
import time
import urllib.request

import jwt

jwks_url, issuer, feed_url, algorithm = sys.argv[1:5]
keys = jwt.PyJWKClient(jwks_url)
known = {name: {} for name in ("jti", "sid", "sub", "client_id", "kid")}
number, documents, entries, size = 0, 0, 0, 0
while True:
    with urllib.request.urlopen(f"{feed_url}?since={number}") as answer:
        assert answer.headers["Content-Type"] == "application/revocations+jwt"
        text = answer.read().decode()
    assert jwt.get_unverified_header(text)["typ"] == "revocations+jwt"
    key = keys.get_signing_key_from_jwt(text)
    document = jwt.decode(text, key, algorithms=[algorithm], issuer=issuer, options={"require": ["iss", "iat", "exp"]})
    assert document["from"] <= number <= document["to"], "a gap in the numbers"
    for name, found in document["revoked"].items():
        for entry in found:
            known[name][entry[0]] = entry[1:]
            entries += 1
    number, documents, size = document["to"], documents + 1, size + len(text)
    if not document["more"]:
        break


def name_of(subject):
    return base64.urlsafe_b64encode(hashlib.sha256(subject.encode()).digest()[:16]).rstrip(b"=").decode()


def cause(token):
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    date = claims.get("auth_time", claims["iat"])
    if claims["jti"] in known["jti"]:
        return "jti"
    if claims.get("sid") in known["sid"]:
        return "sid"
    if date <= known["sub"].get(name_of(claims["sub"]), [-1])[0]:
        return "sub"
    if date <= known["client_id"].get(claims["client_id"], [-1])[0]:
        return "client_id"
    if claims["iat"] <= known["kid"].get(header["kid"], [-1])[0]:
        return "kid"
    return None


for token in sys.stdin.read().split():
    print(json.dumps({"revoked_by": cause(token)}))
print(json.dumps({"to": number, "documents": documents, "entries": entries, "bytes": size, "time": time.time()}))
