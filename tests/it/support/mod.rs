//! What tests share: a temporary directory, a plain HTTP client, a real server process.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod http;
pub mod server;
pub mod temp;
