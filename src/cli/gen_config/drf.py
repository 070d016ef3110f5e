"""Django REST framework verifies the access tokens of {{issuer}} by itself. Printed by `mintgate gen-config drf`.

Keep it as mintgate_auth.py in your project, install `PyJWT[crypto]` and `djangorestframework`, and say in settings.py:

    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["mintgate_auth.MintgateAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["mintgate_auth.HasScope"],
    }

A view that demands another scope says so: `required_scope = "write"`. request.user is the token's subject, with its
claims; `user_of` is the place for users of your own.
"""
import threading
import time

import jwt
from rest_framework import authentication, exceptions, permissions

ISSUER = "{{issuer}}"
AUDIENCE = "{{audience}}"
JWKS_URL = "{{jwks_url}}"
ALGORITHM = "{{algorithm}}"
TYPE = "{{typ}}"
SCOPE = "{{scope}}"


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
                except jwt.PyJWKClientConnectionError:
                    pass
                self.jwk_set_cache.put(self._held)
        if self._held is None:
            raise jwt.PyJWKClientError("there is no key set yet")
        return self._held


keys = KeySet(JWKS_URL)


class Caller:
    """Who a token speaks for."""

    is_authenticated = True
    is_anonymous = False

    def __init__(self, claims):
        self.pk = self.username = claims["sub"]
        self.claims = claims

    def __str__(self):
        return self.username


def user_of(claims):
    """To have a row of your own: `return User.objects.get(username=claims["sub"])`."""
    return Caller(claims)


class MintgateAuthentication(authentication.BaseAuthentication):
    def authenticate(self, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = self.verify(token)
        except jwt.PyJWTError as error:
            raise exceptions.AuthenticationFailed("the token is not good", code="invalid_token") from error
        return user_of(claims), claims

    def verify(self, token):
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

    def authenticate_header(self, request):
        # RFC 6750 section 3.1: no error code for a request that brought no token.
        return 'Bearer error="invalid_token"' if request.headers.get("Authorization") else "Bearer"


class InsufficientScope(exceptions.PermissionDenied):
    """RFC 6750 section 3.1: 403, and the scope that is needed."""

    default_code = "insufficient_scope"

    def __init__(self, scope):
        super().__init__("the token's scope is not enough")
        self.auth_header = f'Bearer error="insufficient_scope", scope="{scope}"'


class HasScope(permissions.BasePermission):
    def has_permission(self, request, view):
        claims = request.auth
        if not isinstance(claims, dict):
            return False
        needed = getattr(view, "required_scope", SCOPE)
        if set(needed.split()) <= set(claims.get("scope", "").split()):
            return True
        raise InsufficientScope(needed)
