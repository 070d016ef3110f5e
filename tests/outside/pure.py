"""Verifies signatures without OpenSSL, by the pure Python packages `ecdsa` and `rsa`: pure.py JWKS_URL, a token on each
line of standard input. Prints the header and claims of each as one line of JSON; exits 1 at the first bad signature."""
import base64
import hashlib
import json
import sys
import urllib.request

import ecdsa
import rsa


def bytes_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(key, message, signature):
    if key["kty"] == "RSA":
        number = lambda name: int.from_bytes(bytes_of(key[name]), "big")
        assert rsa.verify(message, signature, rsa.PublicKey(number("n"), number("e"))) == "SHA-256"
        return
    curve, digest = {
        "P-256": (ecdsa.NIST256p, hashlib.sha256),
        "P-384": (ecdsa.NIST384p, hashlib.sha384),
        "Ed25519": (ecdsa.Ed25519, None),
    }[key["crv"]]
    point = bytes_of(key["x"]) + bytes_of(key.get("y", ""))
    verifier = ecdsa.VerifyingKey.from_string(point, curve=curve, hashfunc=digest)
    if digest is None:
        verifier.verify(signature, message)
    else:
        verifier.verify(signature, message, hashfunc=digest, sigdecode=ecdsa.util.sigdecode_string)


keys = {key["kid"]: key for key in json.load(urllib.request.urlopen(sys.argv[1]))["keys"]}
for token in sys.stdin.read().split():
    header, claims, signature = token.split(".")
    parsed = json.loads(bytes_of(header))
    key = keys[parsed["kid"]]
    assert parsed["alg"] == key["alg"]
    verify(key, f"{header}.{claims}".encode(), bytes_of(signature))
    print(json.dumps({"header": parsed, "claims": json.loads(bytes_of(claims))}))
