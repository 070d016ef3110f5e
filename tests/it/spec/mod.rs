//! One test for each MUST of the specifications, its section in the name.

mod access_token;
mod census;
mod feed_followers;
mod forward_auth;
mod keys_and_jwks;
mod login;
mod metadata;
mod refresh_rotation;
mod revocation;
mod revocation_feed;
mod status_list;
mod token_endpoint;
mod token_format;
mod verification;
