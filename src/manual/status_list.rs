//! # Status lists: revocation for readers of the IETF format
//!
//! The [feed](super::feed) is the shortest way to know what was revoked. Some verifiers read another: the Token Status List
//! (draft-ietf-oauth-status-list-20; numbers of sections may still move), where a token names a place in a list and the
//! list has a bit for it. mintgate serves both from one log.
//!
//! ## Turning it on
//!
//! ```toml
//! [status_list]
//! audiences = ["https://api.example"]   # whose access tokens get a place
//! # ttl = "5s"                          # 2s to 1h, whole seconds
//! # entries_max = 1_000_000             # live tokens with a place; one more is answered 503
//! ```
//!
//! From then on, `status_list_aggregation_endpoint` stands in the metadata, and an access token of which one audience is in
//! the list carries `"status":{"status_list":{"idx":N,"uri":"https://auth.example/status/..."}}` (section 6.2): about 110
//! bytes more, and about 150 in base64url. A reload takes effect at once; turned off, lists are served until their last token has
//! expired. `mintgate token mint` works without the running gateway, so its tokens have no place.
//!
//! ## Reading
//!
//! | | |
//! | --- | --- |
//! | `GET /status/{list}` | the list, a JWT with `typ: statuslist+jwt` (section 5.1), as `application/statuslist+jwt`; `ETag`, `HEAD`, `Access-Control-Allow-Origin: *`, `Cache-Control: public, max-age=` `ttl` less one second |
//! | `GET /status` | `{"status_lists":[...]}`, the addresses of all lists (section 9.3) |
//! | 404 | there is no such list: it never was, or everything in it has expired |
//! | 503 | the log is not complete, or there is no key: as for the feed |
//!
//! The claims are `iss`, `sub` (the list's own address, equal to the token's `uri`), `iat`, `exp` (300 seconds later), `ttl`, and
//! `status_list` with `bits` (1), `lst` (base64url of zlib of 131,072 bytes) and `aggregation_uri`. Place `idx` is bit
//! `idx % 8`, from the least significant, of byte `idx / 8`: 0 is VALID, 1 is INVALID (section 7.1). Section 8.3 has the
//! steps; `tests/outside/status.mjs` (jose, zlib) and `tests/outside/status.py` (PyJWT, zlib) take them in about forty
//! lines each. First the token itself is verified; its status is one more reason to refuse it, never a reason to take it.
//!
//! **T is twice `ttl`**, 10 seconds by default: an answer may lie in a cache for `ttl - 1` seconds, is built within one
//! second of the revocation, and is used for `ttl`. Measured by the tests: the server has the bit after 0.1 s, a reader
//! with jose knows after 5.0 s.
//!
//! ## How a token gets its place
//!
//! Tokens whose `exp` falls into the same ten minutes share lists of 1,048,576 places, whatever their audience. A counter in
//! memory gives the places away, scattered over the list by a keyed permutation. There is no look-up and no wait for a store or
//! a disk; no two tokens ever share a place, because a list belongs to one start of one process (the first part of its name is
//! drawn then). The list ends with the ten minutes, and is forgotten as a whole.
//!
//! The other way, a place computed from the `jti`, needs no memory at all, and was not taken: an entry of the log that ends a
//! log-in, everything of a user, of a client or of a key names no `jti`, so its bits could not be found; and two tokens may
//! meet in one bit, so that revoking one refuses the other (with 100,000 live tokens in a million places, one in ten). One
//! bit for a whole log-in finds log-ins, but neither users nor single tokens.
//!
//! So each list remembers seven numbers of each live token (`jti`, `sid`, `sub`, `client_id`, `kid`, cut to 64 bits; `iat`;
//! `auth_time`): 64 bytes, and up to 160 while buffers grow. `entries_max` bounds them; at the bound a token for such an
//! audience is answered 503 with `Retry-After`, never issued without a place. `mintgate config check` says what that can take.
//! Two tokens whose numbers agree by chance would be revoked together: under one in ten million with a million of both.
//!
//! ## Why the list cannot disagree
//!
//! Bits are set from the log that `/revocations` publishes, by the comparisons that `/introspect` makes. A builder, twice a
//! second and off the threads that answer requests, reads what is new in the log, judges the tokens it knows by that, and those
//! that were issued since by the whole log. It signs a list when a bit of it has changed, when the document is a minute
//! old, or when the keys have changed; readers are given what was signed last. A test runs random histories (log-ins,
//! refreshes, replays, revocations of every kind, leaked keys, restarts) and compares the three for every live token.
//!
//! Measured on two busy cores, optimised: a place 0.3 µs, the numbers of the token 0.6 µs, no allocation more for the
//! minting. One list with a million tokens: 48 ms to judge all of them by one new revocation, 96 ms by 100,000; to compress it,
//! and the size of `lst`:
//!
//! | INVALID | compressing | `lst` |
//! | --- | --- | --- |
//! | none | 0.3 ms | 200 bytes |
//! | 1 in 1,000 | 6 ms | 3.7 kB |
//! | 1 in 100 | 39 ms | 21 kB |
//! | 1 in 10 | 113 ms | 97 kB |
//! | every other | 8 ms | 175 kB |
//!
//! ## Restarts and crashes
//!
//! After a start the log is whole again, but it names users and log-ins, not places. So the places are written behind, without
//! a sync, to `status_lists/` in the state directory, 72 bytes a token, one file for each start and end, removed at that end. Nobody
//! waits for it. A gateway that was stopped goes on exactly where it was: its old lists are served, and follow the log.
//! After `kill -9` the places given away in the last half second may be missing from the file; after a power failure more. A
//! place of an earlier process that nothing is known of reads INVALID: its holder gets a new token a few minutes early. It never
//! reads VALID. (A list of which nothing at all was written is 404, which a verifier takes for a refusal, section 8.3.) With `durability = "none"` nothing is written, and old lists are 404 after a restart.
//!
//! ## What it tells outsiders
//!
//! Anyone may read a list (section 12). The order of the places tells neither when a token was issued nor how many were: a
//! place nobody has looks like one whose token is good. The number of INVALID places tells how many tokens were revoked, which
//! the feed tells too; there are no decoys. After a crash an old list looks nearly all INVALID. A list belongs to ten
//! minutes and up to a million tokens of all audiences, so fetching it does not tell the gateway whose token a service holds,
//! unless few tokens are live. The permutation is no cipher; what it hides stands in the token as `iat`.
//!
//! ## Limits
//!
//! - Another gateway's lists are unknown to this one. Behind a balancer, route `/status/` by the list's name, or follow the feed.
//! - One place a token: a verifier of two issuers' tokens fetches two lists. No CWT form, no history (section 8.4).
//! - A user or client that was disabled is not in it, as in the feed.
