//! Mirrors `src/state`.

mod family;
pub mod merge;
mod model;

use std::sync::Arc;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Quota, RetryRules, Rotation, State};

pub fn state() -> State {
    State::new(Arc::new(Quota::new(1_000_000)))
}

pub fn order(family: FamilyId, from: u32, retry: RetryRules) -> Rotation {
    Rotation {
        family,
        from: Generation(from),
        subject: Subject::from("usr_a"),
        client: ClientId::from("app"),
        auth_time: UnixSeconds(100),
        retry,
    }
}
