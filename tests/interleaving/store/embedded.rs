//! `crate::store::embedded` as the queue sees it: a log that is a list.

#[allow(dead_code)]
#[path = "../../../src/store/embedded/queue.rs"]
pub mod queue;

pub mod log {
    /// Changes of one bucket.
    #[derive(Debug, Default)]
    pub struct Draft {
        pub bucket: u64,
        pub count: u32,
        pub changes: Vec<u8>,
    }
}

pub mod record {
    use mintgate::state::Change;

    /// One byte names the family that a test revokes.
    pub fn write_change(out: &mut Vec<u8>, change: &Change) {
        if let Change::RevokeFamily { family } = change {
            out.push(family.0[15]);
        }
    }
}
