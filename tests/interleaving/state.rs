//! `crate::state` as the files under test see it.

pub use mintgate::state::*;

pub mod sync {
    pub use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
}

#[allow(dead_code)]
#[path = "../../src/state/segment.rs"]
pub mod segment;
#[allow(dead_code)]
#[path = "../../src/state/table.rs"]
pub mod table;
