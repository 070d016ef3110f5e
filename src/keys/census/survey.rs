//! The census as it is shown: to a person by `mintgate keys census`, to the gate of `mintgate keys activate`.

use serde::{Deserialize, Serialize};

use crate::keys::census::{Census, STRANGER_FETCHES_MIN, Verifier};
use crate::keys::lifecycle::{KeyRecord, KeyState, KeyUse};
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// Where a verifier stands with the key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It holds what is served now.
    Current,
    /// It holds an older edition with every prepared and active key.
    Older,
    /// It lacks a prepared or an active key.
    Behind,
    /// It has not fetched the key set, as far as this gateway knows.
    Unknown,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Older => "older",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
        }
    }
}

/// One verifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surveyed {
    /// Its label, or its user agent and address.
    pub name: String,
    /// Whether it gave itself a label: keys wait for those alone.
    pub labelled: bool,
    /// Whether it is counted as a verifier: it has a label, or fetched the key set more than once.
    pub counts: bool,
    /// When it was last seen, at the key set or the feed.
    pub last_seen: UnixSeconds,
    /// What it holds.
    pub key_set: Standing,
    /// The entity tag of what it holds.
    pub etag: Option<String>,
    /// When it first fetched what it holds.
    pub held_since: Option<UnixSeconds>,
    /// Prepared and active keys that it has not seen.
    pub lacks: Vec<Kid>,
    /// Tainted keys in what it holds: it goes on trusting them until it fetches anew.
    pub still_trusts: Vec<Kid>,
    /// How often it fetched the key set, 304 included.
    pub key_set_fetches: u64,
    /// How often it asked for the revocation feed.
    pub feed_fetches: u64,
}

/// A key that verifiers have to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyedKey {
    /// Its id.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: String,
    /// `prepared` or `active`.
    pub state: String,
    /// How many verifiers have it.
    pub seen_by: usize,
    /// Of how many whose key set is known.
    pub of: usize,
}

/// Everything that is known of the verifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// When this was true.
    pub at: UnixSeconds,
    /// The entity tag of the key set that is served.
    pub etag: String,
    /// How long, in whole seconds, a key that is due waits for labelled verifiers; 0: it does not.
    pub wait_max: u64,
    /// The prepared and the active signing keys, in the order of their records.
    pub keys: Vec<SurveyedKey>,
    /// By name; those with a label first.
    pub verifiers: Vec<Surveyed>,
    /// Verifiers that were dropped since the start because there were too many.
    pub dropped: u64,
}

impl Survey {
    /// How many verifiers are behind.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.verifiers.iter().filter(|one| one.counts && one.key_set == Standing::Behind).count()
    }

    /// The verifiers that are known to lack a key: those with a label, and the others. A key that the gateway does not
    /// publish, or that is yet to be made, is one that nobody has.
    #[must_use]
    pub fn lacking(&self, kid: Option<&Kid>) -> (Vec<&str>, Vec<&str>) {
        let published = kid.filter(|kid| self.keys.iter().any(|key| key.kid == **kid));
        let lacks = |one: &&Surveyed| {
            one.key_set != Standing::Unknown && published.is_none_or(|published| one.lacks.contains(published))
        };
        let (labelled, strangers): (Vec<&Surveyed>, Vec<&Surveyed>) =
            self.verifiers.iter().filter(|one| one.counts).filter(lacks).partition(|one| one.labelled);
        (names(labelled), names(strangers))
    }
}

impl Census {
    /// Everything that is known of the verifiers, held against `records` and the tag of what is served.
    #[must_use]
    pub fn survey(&self, records: &[KeyRecord], etag: &str, now: UnixSeconds) -> Survey {
        let signing = || records.iter().filter(|one| one.usage != KeyUse::Seal);
        let needed: Vec<&KeyRecord> =
            signing().filter(|one| matches!(one.state, KeyState::Prepared | KeyState::Active)).collect();
        let tainted: Vec<&KeyRecord> = signing().filter(|one| one.state == KeyState::Tainted).collect();
        let mut table = self.lock();
        table.forget(now);
        let mut verifiers: Vec<Surveyed> =
            table.known.values().map(|one| surveyed(one, etag, &needed, &tainted)).collect();
        let (dropped, wait_max) = (table.dropped, table.settings.wait_max.as_secs());
        drop(table);
        verifiers.sort_by(|a, b| (!a.labelled, &a.name).cmp(&(!b.labelled, &b.name)));
        let informed = || verifiers.iter().filter(|one| one.counts && one.key_set != Standing::Unknown);
        let keys = needed.iter().map(|record| SurveyedKey {
            kid: record.id.clone(),
            algorithm: record.usage.to_string(),
            state: record.state.name().to_owned(),
            seen_by: informed().filter(|one| !one.lacks.contains(&record.id)).count(),
            of: informed().count(),
        });
        Survey { at: now, etag: etag.to_owned(), wait_max, keys: keys.collect(), verifiers, dropped }
    }
}

fn names(found: Vec<&Surveyed>) -> Vec<&str> {
    found.into_iter().map(|one| one.name.as_str()).collect()
}

fn surveyed(one: &Verifier, etag: &str, needed: &[&KeyRecord], tainted: &[&KeyRecord]) -> Surveyed {
    let held = one.held.as_ref();
    let kids = |records: &[&KeyRecord], wanted: bool| -> Vec<Kid> {
        let Some(held) = held else { return Vec::new() };
        let found = records.iter().filter(|record| held.edition.has(&record.id) == wanted);
        found.map(|record| record.id.clone()).collect()
    };
    let lacks = kids(needed, false);
    let key_set = match held {
        None => Standing::Unknown,
        Some(_) if !lacks.is_empty() => Standing::Behind,
        Some(held) if held.edition.etag == etag => Standing::Current,
        Some(_) => Standing::Older,
    };
    Surveyed {
        name: one.name.shown(),
        labelled: one.name.is_label(),
        counts: one.name.is_label() || one.key_set_fetches >= STRANGER_FETCHES_MIN,
        last_seen: one.seen_at,
        key_set,
        etag: held.map(|held| held.edition.etag.clone()),
        held_since: held.map(|held| held.since),
        lacks,
        still_trusts: kids(tainted, true),
        key_set_fetches: one.key_set_fetches,
        feed_fetches: one.feed_fetches,
    }
}
