//! What a census keeps over a restart: verifiers with a label, and the edition each holds.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::keys::census::{Census, Edition, Held, Name, Verifier, Who, is_label};
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// One verifier, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    label: String,
    last_seen: UnixSeconds,
    etag: String,
    kids: Vec<Kid>,
    since: UnixSeconds,
}

impl Census {
    /// The verifiers with a label whose key set is known, those seen longest ago first.
    #[must_use]
    pub fn remembered(&self, now: UnixSeconds) -> Vec<Remembered> {
        let mut table = self.lock();
        table.forget(now);
        let labelled = table.labelled.iter().filter_map(|(_, key)| table.known.get(key));
        labelled
            .filter_map(|one| {
                let (Name::Label(label), Some(held)) = (&one.name, &one.held) else { return None };
                Some(Remembered {
                    label: label.to_string(),
                    last_seen: one.seen_at,
                    etag: held.edition.etag.clone(),
                    kids: held.edition.kids.clone(),
                    since: held.since,
                })
            })
            .collect()
    }

    /// Takes what an earlier run remembered, within the bounds. Whoever is known already is known better.
    pub fn recall(&self, remembered: Vec<Remembered>, now: UnixSeconds) {
        let mut editions: HashMap<String, Arc<Edition>> = HashMap::new();
        let mut table = self.lock();
        for one in remembered.into_iter().filter(|one| is_label(&one.label)) {
            let key = self.hasher.hash_one(Who::Label(&one.label));
            if table.known.contains_key(&key) {
                continue;
            }
            table.make_room(1);
            let fresh = || Arc::new(Edition { etag: one.etag.clone(), kids: one.kids.clone() });
            let edition = Arc::clone(editions.entry(one.etag.clone()).or_insert_with(fresh));
            // A date that is yet to come would keep it for ever.
            let seen_at = one.last_seen.min(now);
            let name = Name::Label(one.label.into());
            let held = Some(Held { edition, since: one.since });
            table.known.insert(key, Verifier { name, seen_at, held, key_set_fetches: 0, feed_fetches: 0 });
            table.labelled.insert((seen_at, key));
        }
        table.forget(now);
    }
}
