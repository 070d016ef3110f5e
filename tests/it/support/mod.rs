//! What several tests need: temporary directories, a plain HTTP client, a reader of events, a real server process, keys made at run time,
//! drafts, public vectors, the corpus of attacks.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod attacks;
pub mod disk;
pub mod events;
pub mod http;
pub mod matrix;
pub mod postgres;
pub mod scratch;
pub mod server;
pub mod temp;
pub mod tokens;
pub mod vectors;
