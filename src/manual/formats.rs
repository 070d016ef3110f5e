//! What tokens look like, byte by byte.
//!
//! # Access tokens
//!
//! A compact JWS (RFC 7515 section 7.1) that anyone verifies with the key set: `header.claims.signature`, each part in
//! base64url without padding, at most 4,096 bytes unless configured otherwise. The header has exactly three members:
//!
//! | member | value |
//! | --- | --- |
//! | `alg` | `ES256`, `ES384`, `EdDSA` or `RS256`: the one algorithm of the key |
//! | `typ` | `at+jwt` (RFC 9068 section 2.1), or `JWT` for audiences that take nothing else |
//! | `kid` | the RFC 7638 thumbprint of the key, 43 characters |
//!
//! The claims, in this order:
//!
//! | claim | type | when | value |
//! | --- | --- | --- | --- |
//! | `iss` | string | always | the configured issuer, byte for byte |
//! | `sub` | string | always | the user, `usr_...`; the client id for a client alone |
//! | `aud` | string, or array of 2 to 16 strings | always | whom it is for |
//! | `exp` | integer | always | the first second at which it is no longer valid |
//! | `iat` | integer | always | the second it was signed |
//! | `jti` | string of 22 characters | always | 128 random bits |
//! | `client_id` | string | always | who asked |
//! | `scope` | string | unless empty | scope tokens with one space between them |
//! | `sid` | string of 22 characters | after a log-in | the family: four bytes say by which hour it has ended, twelve are random |
//! | `auth_time` | integer | after a log-in | the second the user logged in |
//! | `status` | object | for an audience with status lists | the token's place in one: [`super::status_list`] |
//!
//! Dates are whole seconds since 1970 (NumericDate, RFC 7519 section 2), never with a fraction. ECDSA signatures are
//! r and s side by side (RFC 7518 section 3.4). An ECDSA signature has a twin (r, n - s) that verifies too, so a token
//! is named by its `jti`, never by its bytes or their hash.
//!
//! # Sealed tokens
//!
//! What only the gateway reads again: a prefix that names the kind, then base64url without padding of
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | version of this layout: 1 |
//! | 1 | 4 | id of the sealing key, big-endian |
//! | 5 | 24 | salt, random, used once |
//! | 29 | n | ciphertext, as long as the content |
//! | 29 + n | 16 | tag |
//!
//! at most 4,096 characters altogether. Each text has its own AES-256-GCM key, derived from the sealing key and the
//! salt. Authenticated beside the content, and part of the derivation: the prefix, the version and the key id.
//!
//! | prefix | kind |
//! | --- | --- |
//! | `mgr_` | refresh token |
//!
//! The content of a refresh token; integers are big-endian, texts are UTF-8, nothing may follow:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version of this layout: 1, or 2 with the mark |
//! | 16 | family |
//! | 4 | generation |
//! | 8 | `auth_time`: when the user logged in |
//! | 8 | `issued_at`: when this token was sealed |
//! | 8 | `family_ends_at`: the absolute end |
//! | 8 | in version 2 alone: a mark of the stored password, from a directory that does not say when one changes |
//! | 1 + 1 to 255 | client id, length in front |
//! | 1 + 1 to 255 | subject, length in front |
//! | 2 + 0 to 2,048 | scope, length in front |
//! | 1 | number of audiences, 1 to 16 |
//! | 1 + 1 to 255, each | audience, length in front |
//!
//! # The state's log
//!
//! `state.redb` in the state directory, mode 0600: a file of the embedded database redb (its format 4) with one table,
//! `log`. Keys are two integers of eight bytes; values are bytes. All integers below are big-endian. `state.redb.new`
//! is one that was not finished; it is made anew.
//!
//! | key | value |
//! | --- | --- |
//! | (0, 0) | the head |
//! | (end of the bucket in seconds since 1970, sequence number) | a record |
//!
//! Each commit writes the records of one batch of changes and the head. When a bucket has ended, its range of keys is
//! removed. When the log is four times as long as what it says, and at least 64 MiB, what the state holds is written
//! again at the end, and then everything older is removed; in between some things are said twice. Saying things twice,
//! or in another order, changes nothing.
//!
//! A record, version 1:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version of this layout: 1 |
//! | 4 | number of changes |
//! | n | the changes, one after the other |
//! | 8 | checksum |
//!
//! The checksum is the first eight bytes of SHA-256 over the two integers of the key and everything before the
//! checksum. A record whose version is not known is refused as later, one whose checksum is wrong as damaged; either
//! way the gateway does not start.
//!
//! | first byte | change | then |
//! | --- | --- | --- |
//! | 1 | a family moved on | family 16, live generation 4, when 8 |
//! | 2 | a family is revoked | family 16 |
//! | 3 | a token is denied | `jti` 16, `exp` 8 |
//! | 4 | a token of unknown `exp` is denied | `jti` 16, until 8 |
//! | 5 | a one-time id is spent | id 16, end 8, space 1: code 1, pushed request 2, assertion 3, proof 4 |
//! | 6 | an epoch moved | of 1 (subject 1, client 2, key 3), not before 8, end 8, length 4, name |
//!
//! The head, version 1:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version of this layout: 1 |
//! | 8 | when the log was made: log-ins from before are refused, for nobody knows what became of them |
//! | 8 | the latest time it has seen; at most a minute and the length of a batch behind |
//! | 8 | the next sequence number |
//! | 8 | number of records |
//! | 8 | the checksums of all records, added up modulo 2^64 |
//! | 8 | checksum, as of a record with the key (0, 0) |
//!
//! Number and sum make a missing record, or one that should be gone, as visible as a damaged one. There is no torn
//! tail to forgive: a commit that was cut short is not there at all, because the database ends each with a checksum of its
//! own.
