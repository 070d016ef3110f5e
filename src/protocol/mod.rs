//! The RFCs' vocabulary: ids, time, scope, parameters, keys and errors. Pure; imports nothing of the house.

pub mod algorithm;
pub mod base64url;
pub mod claims;
pub mod error;
pub mod id;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod metadata;
pub mod params;
pub mod refresh;
pub mod reply;
pub mod scope;
pub mod time;
