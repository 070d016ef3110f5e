//! # The revocation feed: for whoever verifies locally and wants to know at once
//!
//! A verifier with the key set needs nobody to tell whether a token is genuine, and learns of a revocation when the
//! token's `exp` comes. The feed closes the gap: one document, fetched every few seconds, names everything that was
//! revoked and has not ended. This page is all that is needed to write a follower; `tests/outside/follow.py` (PyJWT)
//! and `tests/outside/follow.mjs` (jose) are two, in about fifty lines each.
//!
//! ## Fetching
//!
//! `GET /revocations` answers with what came after number 0: everything. `GET /revocations?since=N` answers with what
//! came after number N. No credentials are asked for. The metadata documents name the address
//! (`mintgate_revocations_uri`) and the longest time in seconds from an acknowledged revocation to its knowledge in a
//! follower that asks as often as `max_age` says (`mintgate_revocation_latency_max`: one cache life and one pause, 10).
//!
//! | header | value |
//! | --- | --- |
//! | `Content-Type` | `application/revocations+jwt` |
//! | `Cache-Control` | `public, max-age=5` |
//! | `ETag` | strong; `If-None-Match` is answered 304 while nothing has changed and the document is fresh |
//! | `Access-Control-Allow-Origin` | `*` |
//!
//! 503 with `Retry-After` means that the log is not complete (more than 1,000,000 entries) or that there is no key: a
//! follower then knows no more than it knew, as if it could not reach the gateway. 400: `since` is not a number.
//!
//! ## The document
//!
//! A compact JWS (RFC 7515 section 7.1) with a payload of JSON, signed by a key of the key set. The header has `alg`,
//! `kid`, and `typ` with the value `revocations+jwt`. Verify it like a token: the key by `kid`, the algorithm from the
//! key, `typ`, `iss`, `exp`. It has no `aud`: it is for everybody.
//!
//! | claim | type | value |
//! | --- | --- | --- |
//! | `iss` | string | the issuer whose tokens these are |
//! | `iat`, `exp` | integer | when it was signed; from when on it says nothing about the present any more |
//! | `from` | integer | the document holds what has numbers above this one |
//! | `to` | integer | and up to this one: ask with `since=to` next |
//! | `more` | boolean | there is more after `to`: ask at once. A document has at most 50,000 entries |
//! | `max_age` | integer | seconds to wait before asking again, when there is no more |
//! | `revoked` | object | the entries, in five arrays; names that are not in this table are to be passed over |
//!
//! | member of `revoked` | entry | a token is revoked if |
//! | --- | --- | --- |
//! | `jti` | `[id, end]` | its `jti` is `id` |
//! | `sid` | `[id, end]` | its `sid` is `id`: that log-in is over |
//! | `sub` | `[hash, before, end]` | `hash` is that of its `sub`, and its `auth_time`, or its `iat` where it has no `auth_time`, is at or before `before` |
//! | `client_id` | `[id, before, end]` | its `client_id` is `id`, and the same date is at or before `before` |
//! | `kid` | `[id, before, end]` | its header's `kid` is `id`, and its `iat` is at or before `before` |
//!
//! `before` and `end` are seconds since 1970. From `end` on an entry may be forgotten: every token it concerns has expired
//! by then. The hash of a subject is the first 16 bytes of the SHA-256 of its UTF-8 text, in base64url without padding (22
//! characters): everybody may read the feed, and it names nobody to those who do not hold that person's token.
//!
//! ## Following
//!
//! 1. Keep a number `n`, 0 at first, and five maps.
//! 2. Fetch `?since=n`. On 304, wait and fetch again.
//! 3. Verify. If `from` is above `n`, something is missing: discard the document, set `n` to 0, fetch again.
//! 4. Put every entry into its map. The same name again: keep the later `before`, the later `end`. Never remove an entry
//!    because a document lacks it; remove it at its `end`.
//! 5. Set `n` to `to`. If `more`, go to 2 at once; otherwise wait `max_age` seconds, then go to 2.
//!
//! Entries only add up, so a document that is applied twice, or late, or after a later one, does no harm. Numbers only
//! grow, over a restart of the gateway too. There an entry gets a new number, so that a follower that was away gets
//! everything anew; it need not notice. A follower that asks for a number that was never given gets everything. (Two starts
//! within one second are told apart by a random part of the number alone: then the later run's numbers may be the lower
//! ones, which a follower meets as a number that was never given.)
//!
//! A follower that has had no valid document (and no 304) for longer than `exp - iat`, 300 seconds, does not know any
//! more what is revoked. Whether it then refuses everything or trusts `exp` alone is the choice of the service; make it,
//! and make it seen.
//!
//! ## What is in it, and what is not
//!
//! Everything that `/revoke`, `mintgate revoke`, `mintgate token revoke`, `mintgate keys taint` and a refresh token
//! that was used twice have ended; made lasting first, then published. At start the log is filled from the state,
//! before anybody can ask. Not in it: a user or client that was disabled (their tokens end by `exp`; revoke the subject or
//! the client to end them now), and expired tokens.
