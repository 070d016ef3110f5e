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
//! | 1 | version of this layout: 1 |
//! | 16 | family |
//! | 4 | generation |
//! | 8 | `auth_time`: when the user logged in |
//! | 8 | `issued_at`: when this token was sealed |
//! | 8 | `family_ends_at`: the absolute end |
//! | 1 + 1 to 255 | client id, length in front |
//! | 1 + 1 to 255 | subject, length in front |
//! | 2 + 0 to 2,048 | scope, length in front |
//! | 1 | number of audiences, 1 to 16 |
//! | 1 + 1 to 255, each | audience, length in front |
