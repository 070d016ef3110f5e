//! Where mintgate departs from a specification, or chooses where it leaves a choice, section by section.
//!
//! | section | what it says | what mintgate does, and why |
//! | --- | --- | --- |
//! | RFC 6749 3.2 | form-encoded requests | another media type is 415 with the body `invalid_request`: the status says what to mend |
//! | RFC 6749 3.2 | unknown parameters are ignored | they are, but at most 64 parameters and 64 KiB are read (THREATS row 45) |
//! | RFC 6749 3.2 | parameters not more than once | `resource` and `audience` may repeat, as RFC 8707 section 2 and RFC 8693 section 2.1 have it |
//! | RFC 6749 4.3 | password grant | off; RFC 9700 section 2.4 forbids it. `[compatibility] password_grant` brings it back for old clients |
//! | RFC 6749 4.4 | client credentials | confidential clients only, and never a refresh token (section 4.4.3) |
//! | RFC 6749 5.1 | `scope` if it differs | always sent: clients that compare it need not know the rule |
//! | RFC 6749 5.2 | 401 with a challenge if the header was used | every 401 carries one: RFC 9110 section 15.5.2 knows no exception |
//! | RFC 6749 5.2 | error codes | 429 has `slow_down`, 503 has `temporarily_unavailable`: names that are known from RFC 8628 and section 4.1.2.1 |
//! | RFC 6749 6 | the server may rotate | always, and a retry within ten seconds gets the same successor generation (FAPI 2.0 section 5.3.2.1) |
//! | RFC 6749 10.10 | at least 128 bits of entropy | a refresh token is authenticated encryption under a 256-bit key with a 192-bit salt |
//! | RFC 7009 2.1 | another client's token is refused | it is not revoked, and the answer is 200: an error would be an oracle |
//! | RFC 7009 2.2.1 | 503 | whenever the change could not be made lasting; clients then treat the token as live |
//! | RFC 7515 4.1.11 | understand `crit` | nothing in it is understood, so any `crit` is refused |
//! | RFC 7519 2 | NumericDate may be a fraction | our own tokens are integers, and the gate takes integers only |
//! | RFC 7519 4.1.4 | a small leeway | none for our own tokens; `exp` is over when `now >= exp` |
//! | RFC 7662 2.1 | who may ask | confidential clients, about tokens that were issued to them or are meant for one of their audiences |
//! | RFC 7662 2.2 | members | a refresh token is shown to its own client only, without `aud` |
//! | RFC 8414 2 | `response_types_supported` is required | an empty list: there is no authorization endpoint |
//! | OIDC Discovery 3 | `authorization_endpoint` is required | left out, because there is none; `subject_types_supported` and `id_token_signing_alg_values_supported` are there for readers that insist. No ID token is issued |
//! | RFC 8707 2 | `resource` is an absolute URI | and one of the client's audiences, compared byte by byte |
//! | RFC 9068 2.2.3 | `roles`, `groups`, `entitlements` | not issued: no personal data by default (section 6) |
//! | RFC 9068 4 | `typ` may be `application/at+jwt` | accepted on our own gate, never written |
//! | RFC 9864 | `Ed25519` instead of `EdDSA` | `EdDSA` is written, because many verifiers know only that; both are accepted |
//! | Token Status List (draft 20) 8.2 | `Content-Encoding` | none: the bits are compressed already. A proxy in front may add one |
//! | Token Status List (draft 20) 12.4 | decoys | none: the feed says how much was revoked anyway; places are scattered |
//! | Token Status List (draft 20) 13.3 | unused places are VALID | in this process's lists; in an earlier process's a place nothing is known of is INVALID |
//! | FAPI 2.0 5.3.2.1 | up to 10 s in the future accepted, over 60 s refused | over 10 s is refused |
//! | ECDSA | a second valid signature `(r, n - s)` | verifies, as everywhere; the denylist goes by `jti`, never by the token's text |
