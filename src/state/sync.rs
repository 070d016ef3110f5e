//! What threads share state with. In one place, so that a test can compile the files that use it with primitives whose
//! every interleaving it chooses (`tests/interleaving`).

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
