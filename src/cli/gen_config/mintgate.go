package main

// Verifies the access tokens of {{issuer}} locally. Printed by `mintgate gen-config go`: keep it as mintgate.go,
//
//	go get github.com/golang-jwt/jwt/v5 github.com/MicahParks/keyfunc/v3
//
// and protect a route: mux.Handle("GET /orders", auth.Require(scope, orders)).

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	issuer    = "{{issuer}}"
	audience  = "{{audience}}"
	jwksURL   = "{{jwks_url}}"
	algorithm = "{{algorithm}}"
	tokenType = "{{typ}}"
	scope     = "{{scope}}"
)

// Claims are what an access token says (RFC 9068 section 2.2).
type Claims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// Validate is called by the parser after its own checks, which take a missing claim for a good one.
func (c Claims) Validate() error {
	if c.Subject == "" || c.ID == "" || c.ClientID == "" || c.IssuedAt == nil {
		return errors.New("a required claim is missing")
	}
	return nil
}

// Auth verifies tokens with a key set that follows rotations.
type Auth struct {
	keys   keyfunc.Keyfunc
	parser *jwt.Parser
}

// NewAuth fetches the key set: now, every five minutes, and when a token names a key that is not in it, but for that
// once in five seconds at most. While the issuer cannot be reached the keys that are known stay in use.
func NewAuth(ctx context.Context) (*Auth, error) {
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{jwksURL}, keyfunc.Override{
		HTTPTimeout:       5 * time.Second,
		RefreshInterval:   5 * time.Minute,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(5*time.Second), 1),
		// Less than the cool-down, so that one request at most is held for it; it bounds the fetch as well.
		RateLimitWaitMax: 4 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{algorithm}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(5*time.Second),
	)
	return &Auth{keys, parser}, nil
}

// Verify gives the claims of a good token.
func (a *Auth) Verify(text string) (*Claims, error) {
	claims := &Claims{}
	token, err := a.parser.ParseWithClaims(text, claims, a.keyOf)
	if err != nil {
		return nil, err
	}
	// RFC 9068 section 4: an ID token, or a list that the same issuer signed, is no access token.
	if typ, _ := token.Header["typ"].(string); !strings.EqualFold(typ, tokenType) {
		return nil, errors.New("not an access token")
	}
	return claims, nil
}

// keyOf insists on a kid: without one, every key would be tried.
func (a *Auth) keyOf(token *jwt.Token) (any, error) {
	if kid, _ := token.Header["kid"].(string); kid == "" {
		return nil, errors.New("the token names no key")
	}
	return a.keys.Keyfunc(token)
}

type callerKey struct{}

// Caller is who asks, in a handler behind Require.
func Caller(r *http.Request) *Claims {
	claims, _ := r.Context().Value(callerKey{}).(*Claims)
	return claims
}

// Require lets requests pass whose token has the scope.
func (a *Auth) Require(needed string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			deny(w, http.StatusUnauthorized, "Bearer") // RFC 6750 section 3.1: no error code
			return
		}
		claims, err := a.Verify(token)
		if err != nil {
			log.Printf("refused: %v", err) // for us; the caller learns no more than the code
			deny(w, http.StatusUnauthorized, `Bearer error="invalid_token"`)
			return
		}
		for _, one := range strings.Fields(needed) {
			if !slices.Contains(strings.Fields(claims.Scope), one) {
				deny(w, http.StatusForbidden, fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, needed))
				return
			}
		}
		next(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, claims)))
	})
}

func deny(w http.ResponseWriter, status int, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(status), status)
}
