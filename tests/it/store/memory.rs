//! The memory store passes the suite.

use std::sync::Arc;

use mintgate::store::{MemoryStore, Settings, Store};

fn memory(settings: Settings) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(settings))
}

store_suite!(memory);
