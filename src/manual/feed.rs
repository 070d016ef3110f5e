//! # The revocation feed: for whoever verifies locally and wants to know at once
//!
//! A verifier with the key set needs nobody to tell whether a token is genuine, and learns of a revocation when the
//! token's `exp` comes. The feed closes the gap: one document, fetched every few seconds, names everything that was
//! revoked and has not ended. This page is all that is needed to write a follower; `tests/outside/follow.py` (PyJWT)
//! and `tests/outside/follow.mjs` (jose; it can wait and read events too) are two of about fifty and a hundred lines.
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
//! follower then knows no more than it knew, as if it could not reach the gateway. A log that was full is complete again when
//! the tokens that found no room have ended, an hour at most by default, and everything else has found room; nothing is ever
//! left out of a document. 400: `since` or `wait` is not a number.
//!
//! ## Waiting
//!
//! `GET /revocations?since=N&wait=SECONDS` is answered at once if there is something after N. Otherwise the answer is held
//! until there is, or the time is up; then it is the document that `?since=N` alone would get, and the next question may
//! follow at once. Whole seconds; without `wait`, or with 0, nothing is held; more than 50 counts as 50
//! (`mintgate_revocations_wait_max` in the metadata). The answer is `Cache-Control: no-store`. Be more patient than `wait`
//! yourself, and let proxies be: 50 seconds fit into their usual minute.
//!
//! 503 with `Retry-After` to a question with `wait`, or to one for events, may also mean that as many followers are held as
//! `[limits] followers_max` allows (4,096, both kinds together). Ask without `wait` then, as often as `max_age` says: that
//! always works, and keeps the time that is promised.
//!
//! ## Events
//!
//! `GET /revocations` with `Accept: text/event-stream` answers with server-sent events (HTML standard, section 9.2):
//!
//! ```text
//! id: 1887436805242883
//! event: revocations
//! data: eyJhbGciOiJFUzI1NiIsInR5cCI6InJldm9jYXRpb25zK2p3dCIs...
//! ```
//!
//! `data` is the same signed document as anywhere else, on one line; `id` is its `to`. The first event comes at once: what
//! came after `Last-Event-ID` (which `EventSource` sends when it connects again), or else after `?since=N`, or else
//! everything. So a stream that was cut resumes without a gap. Big catch-ups come as several events. Then there is an event for
//! every batch of revocations, at most one in 50 milliseconds, and one without entries every minute, so that what a
//! follower holds stays valid. A comment (a line with a colon) shows every 15 seconds that the stream lives; after 45 without
//! a byte, connect again. The gateway ends the stream when it stops, and when it cannot give a document; the next
//! connection gets the status that says why. A follower that leaves 16 kB untaken for ten seconds is cut off.
//!
//! A stream is no request in flight and never idle; it counts among the connections.
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
//! | `from` | integer | the document holds what has numbers above this one. At or below the `since` that was asked for: followers whose numbers differ may get the same document |
//! | `to` | integer | and up to this one: ask with `since=to` next |
//! | `more` | boolean | there is more after `to`: ask at once. A document has at most 50,000 entries |
//! | `max_age` | integer | seconds to wait before asking again, when there is no more |
//! | `published_ms` | integer | milliseconds since 1970 when the entry numbered `to` was published, before its revocation was acknowledged; absent if that is long ago. Now minus this is the follower's own lag, as far as the clocks agree |
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
//! grow, over a restart of the gateway too: it sets numbers aside in blocks of four million, and writes down in
//! `revocations.next` in the state directory where the next block begins, before the first is used. So neither `kill -9`, nor
//! starts that follow fast, nor a clock that was set back make a number come twice. (Numbers begin at the second of the start
//! times 2^20. That is all there is with `durability = "none"`, with a random part then, and when the file is lost.) After a
//! start an entry gets a new number, so that a follower that was away gets everything anew; it need not notice. A follower
//! that asks for a number that was never given gets everything.
//!
//! A follower that has had no valid document (and no 304) for longer than `exp - iat`, 300 seconds, does not know any
//! more what is revoked. Whether it then refuses everything or trusts `exp` alone is the choice of the service; make it,
//! and make it seen.
//!
//! ## What is in it, and what is not
//!
//! Everything that `/revoke`, `mintgate revoke`, `mintgate token revoke`, `mintgate keys taint` and a refresh token
//! that was used twice have ended; made lasting first, then published. At start the log is filled from the state,
//! before anybody can ask. A revocation whose caller went away before the answer is published within a second. Not in it: a user or client that was disabled (their tokens end by `exp`; revoke the subject or
//! the client to end them now), and expired tokens.
//!
//! ## How late
//!
//! T, `mintgate_revocation_latency_max`, is 10 seconds: a cache life and a pause of who polls. The gateway measures what
//! its followers really see, from publication to the answer or event: `mintgate_feed_lag_seconds` by `way` (`poll`,
//! `long_poll`, `stream`). A follower that was away shows there with the time it was. `mintgate_feed_followers` counts who
//! is held, `mintgate_feed_refused_total` who found no place, `mintgate_feed_documents_total` the signatures: one for each
//! document, however many get it. `benches/README.md` has figures.
