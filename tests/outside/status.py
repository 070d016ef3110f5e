"""Reads status lists with PyJWT and zlib: status.py BASE ISSUER ALG, tokens on standard input, a token a line. BASE is the
address under which ISSUER is reached here. Prints a line of JSON for each token."""
import base64
import json
import sys
import urllib.request
import zlib

import jwt

base, issuer, algorithm = sys.argv[1:4]
keys = jwt.PyJWKClient(f"{base}/jwks.json")
lists = {}


def decode(text, typ, **options):
    assert jwt.get_unverified_header(text)["typ"] == typ
    key = keys.get_signing_key_from_jwt(text)
    return jwt.decode(text, key, algorithms=[algorithm], issuer=issuer, **options)


def read(uri):
    assert uri.startswith(issuer + "/")
    with urllib.request.urlopen(base + uri[len(issuer):]) as answer:
        assert answer.headers["Content-Type"] == "application/statuslist+jwt"
        text = answer.read().decode()
    claims = decode(text, "statuslist+jwt", options={"require": ["iat", "exp", "sub"]})
    assert claims["sub"] == uri
    packed = claims["status_list"]["lst"]
    bits = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    return claims["status_list"]["bits"], bits, len(text)


for token in sys.stdin.read().split():
    claims = decode(token, "at+jwt", audience="https://api.example")
    place = claims["status"]["status_list"]
    if place["uri"] not in lists:
        lists[place["uri"]] = read(place["uri"])
    width, found, size = lists[place["uri"]]
    at = place["idx"] * width
    value = (found[at // 8] >> at % 8) & ((1 << width) - 1)
    print(json.dumps({"status": value, "places": len(found) * 8 // width, "bytes": size}))
