"""An API of one route that verifies access tokens by itself: GET /orders asks for a scope.

Nothing is asked for a request: the key set is fetched once, and again when a token names a key that is not in it.
The settings are what `mintgate gen-config env` prints.
"""
import json
import os
import sys
import threading
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import jwt

ISSUER = os.environ["AUTH_ISSUER"]
AUDIENCE = os.environ["AUTH_AUDIENCE"]
JWKS_URL = os.environ["AUTH_JWKS_URL"]
ALGORITHM = os.environ.get("AUTH_ALGORITHM", "ES256")
TYPE = os.environ.get("AUTH_TYP", "at+jwt")
SCOPE = os.environ.get("AUTH_SCOPE", "")


class KeySet(jwt.PyJWKClient):
    """PyJWT's client, with two changes: whatever keys tokens name, it asks once in five seconds at most, and while
    the issuer cannot be reached it keeps the keys it has."""

    COOL_DOWN = 5

    def __init__(self, url):
        super().__init__(url, lifespan=300, timeout=5)
        self._lock = threading.Lock()
        self._tried_at = float("-inf")
        self._held = None

    def fetch_data(self):
        with self._lock:
            now = time.monotonic()
            if now - self._tried_at >= self.COOL_DOWN:
                self._tried_at = now
                try:
                    self._held = super().fetch_data()
                except jwt.PyJWKClientConnectionError as error:
                    print(f"the key set cannot be fetched: {error}", file=sys.stderr)
                self.jwk_set_cache.put(self._held)
        if self._held is None:
            raise jwt.PyJWKClientError("there is no key set yet")
        return self._held


keys = KeySet(JWKS_URL)


def verify(token):
    """The claims of a good token; jwt.PyJWTError for any other."""
    # RFC 9068 section 4: an ID token, or a list that the same issuer signed, is no access token.
    if str(jwt.get_unverified_header(token).get("typ")).lower() != TYPE.lower():
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=[ALGORITHM],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=5,
        options={"require": ["iss", "aud", "sub", "exp", "iat", "jti", "client_id"]},
    )


def application(environ, start_response):
    def answer(status, body, challenge=None):
        headers = [("Content-Type", "application/json")]
        if challenge:
            headers.append(("WWW-Authenticate", challenge))
        start_response(status, headers)
        return [json.dumps(body).encode()]

    if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) != ("GET", "/orders"):
        return answer("404 Not Found", {"error": "not_found"})
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer":
        return answer("401 Unauthorized", {"error": "no token"}, "Bearer")
    try:
        claims = verify(token)
    except jwt.PyJWTError as error:
        print(f"refused: {error}", file=sys.stderr)  # for us; the caller learns no more than the code
        return answer("401 Unauthorized", {"error": "invalid_token"}, 'Bearer error="invalid_token"')
    if not set(SCOPE.split()) <= set(claims.get("scope", "").split()):
        challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
        return answer("403 Forbidden", {"error": "insufficient_scope"}, challenge)
    return answer("200 OK", {"subject": claims["sub"], "orders": [{"id": 1, "item": "tea"}]})


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    with make_server("127.0.0.1", port, application, Server, Quiet) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
