//! mintgate: a stateless JWT issuing gateway.
//!
//! It signs short-lived access tokens that everybody verifies locally, rotates refresh tokens against a small state in
//! memory, and publishes its keys on a plan that no verifier's cache can miss.
//!
//! # The code map
//!
//! Imports go down only; `tests/it/tidy.rs` holds the floors.
//!
//! | floor | part | what |
//! | --- | --- | --- |
//! | top | `cli` | one file a noun; `output` is the only printer |
//! | | `app` | wiring: configuration in, a running gateway out |
//! | | `config` | as written, checked, with the origin of each value; reload |
//! | wire | `http` | server and limits, TLS, `router`, one file an `endpoint` |
//! | story | `issuer` | one story an endpoint, in numbered steps: refuse, sign and hold, commit, release |
//! | decision | `grant` | facts and a time in, a decision or a refusal out; never does anything |
//! | | `token` | draft, check, mint; verify; seal |
//! | who and what | `client` | registry, authentication |
//! | | `user` | directory, passwords on their own threads, slow-down |
//! | | `keys` | life cycle and plan (pure), key set, rotator, files |
//! | | `store` | verbs that are atomic and lasting |
//! | rules | `policy` | scope, audience, lifetime |
//! | | `state` | what must not happen twice, or any more: pure, monotone |
//! | | `telemetry` | metrics, log |
//! | | `ambient` | the only clock, the only randomness, files that are replaced as a whole |
//! | ground | `protocol` | the RFCs' vocabulary |
//! | beside | `verifier` | for services in Rust: the gate, a cache of the key set, a follower of the feed; no server in it |
//! | | `manual` | the long texts: flow, rotation, formats, the revocation feed, status lists, divergences |
//!
//! # The path of a token, in a minute
//!
//! `POST /token` arrives at [`http::router`], which names the endpoint: [`http::endpoint::token`] reads the form and
//! calls `Issuer::token` in `issuer/token.rs`. That story authenticates the client ([`client::authenticate`]),
//! reads the facts, and asks a grant, say [`grant::client_credentials::decide`]. The decision goes to
//! `Issuer::carry_out` in `issuer/commit.rs`: it drafts and checks ([`token::draft`]), signs ([`mod@token::mint`]), rotates the
//! family if there is one ([`store::Store::rotate`]), and only then releases the answer.

pub mod ambient;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod grant;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod issuer;
pub mod keys;
#[cfg(feature = "server")]
pub mod manual;
#[cfg(feature = "server")]
pub mod policy;
pub mod protocol;
#[cfg(feature = "server")]
pub mod state;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod token;
#[cfg(feature = "server")]
pub mod user;
pub mod verifier;
