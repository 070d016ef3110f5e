//! The keys as the whole server reads them: one immutable snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use ring::digest;
use serde_json::json;

use crate::keys::backend::{BackendError, KeyBackend, file_name};
use crate::keys::caching::Caching;
use crate::keys::census::Edition;
use crate::keys::lifecycle::{KeyRecord, KeyState, KeyUse, Rules};
use crate::keys::manifest::Manifest;
use crate::keys::sealing::{SealingKey, SealingKeyId};
use crate::keys::signing::SigningKey;
use crate::keys::verifying::VerifyKey;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// The published key set (RFC 7517 section 5), ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The JSON document.
    pub body: Bytes,
    /// A strong entity tag, quotes included (RFC 9110 section 8.8.3).
    pub etag: String,
    /// The `Cache-Control` value, computed from the plan; see [`Caching`].
    pub cache_control: String,
    /// The same as numbers.
    pub caching: Caching,
    /// The tag with the keys in the document, for the census.
    pub edition: Arc<Edition>,
}

/// All keys at one moment. Only whole and sound sets become one.
pub struct KeySet {
    serial: u64,
    records: Vec<KeyRecord>,
    /// In the order of the configuration; the default algorithm first.
    signers: Vec<Arc<SigningKey>>,
    verify_keys: HashMap<Kid, VerifyKey>,
    tainted: HashSet<Kid>,
    sealer: Option<Arc<SealingKey>>,
    openers: HashMap<SealingKeyId, Arc<SealingKey>>,
    jwks: Jwks,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("serial", &self.serial).field("records", &self.records).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Builds the snapshot of a manifest, reading the private parts it needs: those of prepared and active signing
    /// keys, and of every sealing key that has not ended.
    ///
    /// # Errors
    /// A [`BackendError`] if a private part is missing, unreadable, too readable, or another key's.
    pub fn build(manifest: &Manifest, backend: &dyn KeyBackend, rules: &Rules) -> Result<Self, BackendError> {
        let mut set = Self {
            serial: manifest.serial,
            records: manifest.records.clone(),
            signers: Vec::new(),
            verify_keys: HashMap::new(),
            tainted: HashSet::new(),
            sealer: None,
            openers: HashMap::new(),
            jwks: jwks(&manifest.records, rules),
        };
        for record in &manifest.records {
            match (record.usage, record.state) {
                (_, KeyState::Retired) => {}
                (_, KeyState::Tainted) => {
                    set.tainted.insert(record.id.clone());
                }
                (KeyUse::Seal, state) => {
                    let key = sealing_key(record, backend)?;
                    if state == KeyState::Active {
                        set.sealer = Some(Arc::clone(&key));
                    }
                    set.openers.insert(key.id(), key);
                }
                (KeyUse::Sign(algorithm), state) => {
                    if let Some(public) = &record.public {
                        set.verify_keys.insert(record.id.clone(), VerifyKey::new(public.clone()));
                    }
                    // A prepared key is parsed too: its turn must not be the moment at which its file turns out bad.
                    if matches!(state, KeyState::Active | KeyState::Prepared) {
                        let key = signing_key(record, algorithm, backend)?;
                        if state == KeyState::Active {
                            set.signers.push(Arc::new(key));
                        }
                    }
                }
            }
        }
        set.signers.sort_by_key(|key| preference(rules, key.algorithm()));
        Ok(set)
    }

    /// What is published of a manifest; no private part is read.
    #[must_use]
    pub fn published(manifest: &Manifest, rules: &Rules) -> Jwks {
        jwks(&manifest.records, rules)
    }

    /// The key that signs with this algorithm now.
    #[must_use]
    pub fn signer(&self, algorithm: Algorithm) -> Option<&Arc<SigningKey>> {
        self.signers.iter().find(|key| key.algorithm() == algorithm)
    }

    /// The key of the first configured algorithm that has an active one.
    #[must_use]
    pub fn default_signer(&self) -> Option<&Arc<SigningKey>> {
        self.signers.first()
    }

    /// The key with exactly this id, if tokens may be verified with it: prepared, active or retiring.
    #[must_use]
    pub fn verify_key(&self, kid: &str) -> Option<&VerifyKey> {
        self.verify_keys.get(kid)
    }

    /// The key that seals now.
    #[must_use]
    pub fn sealer(&self) -> Option<&Arc<SealingKey>> {
        self.sealer.as_ref()
    }

    /// The key that opens what names it: active or retiring; prepared too, because another gateway that shares the
    /// keys may have activated it a moment earlier.
    #[must_use]
    pub fn opener(&self, id: SealingKeyId) -> Option<&Arc<SealingKey>> {
        self.openers.get(&id)
    }

    /// The published key set.
    #[must_use]
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// Whether this key leaked.
    #[must_use]
    pub fn is_tainted(&self, kid: &str) -> bool {
        self.tainted.contains(kid)
    }

    /// Every record, those that ended included.
    #[must_use]
    pub fn records(&self) -> &[KeyRecord] {
        &self.records
    }

    /// The algorithms that have an active key, the default first.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.signers.iter().map(|key| key.algorithm())
    }

    /// The manifest's serial number.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// A key of this set that may have live tokens and that `next` does not know how to verify: such a set must
    /// never be served. A key that `next` names as tainted, or as retired on purpose, was let go by decision.
    #[must_use]
    pub fn lost_in<'a>(&'a self, next: &KeySet, now: UnixSeconds) -> Option<&'a KeyRecord> {
        self.records.iter().filter(|record| record.may_have_live_tokens(now)).find(|record| {
            let successor = next.records.iter().find(|other| other.id == record.id);
            !successor.is_some_and(|other| match other.state {
                KeyState::Active | KeyState::Retiring | KeyState::Tainted => true,
                // By its own account its tokens have ended, or a person said that they do not matter.
                KeyState::Retired => other.forced || other.retire_at.is_some_and(|end| end.has_passed(now)),
                KeyState::Prepared => false,
            })
        })
    }
}

impl KeySet {
    /// A key that has ended in this set and lives in `next`: a restored backup, or a hand in the file. What was
    /// tainted or retired never comes back.
    #[must_use]
    pub fn revived_in<'a>(&'a self, next: &KeySet) -> Option<&'a KeyRecord> {
        let alive = |id: &Kid| next.records.iter().any(|other| other.id == *id && !other.state.has_ended());
        let tainted = |id: &Kid| next.is_tainted(id.as_str());
        self.records.iter().find(|record| match record.state {
            KeyState::Retired => alive(&record.id),
            KeyState::Tainted => !tainted(&record.id) && next.records.iter().any(|other| other.id == record.id),
            KeyState::Prepared | KeyState::Active | KeyState::Retiring => false,
        })
    }
}

/// Position of an algorithm in the configuration; those it does not name come last.
fn preference(rules: &Rules, algorithm: Algorithm) -> (usize, Algorithm) {
    (rules.algorithms.iter().position(|one| *one == algorithm).unwrap_or(usize::MAX), algorithm)
}

fn wrong_key(record: &KeyRecord) -> BackendError {
    BackendError::Key { path: file_name(record).into(), why: "it holds another key than the set says".to_owned() }
}

fn signing_key(record: &KeyRecord, algorithm: Algorithm, backend: &dyn KeyBackend) -> Result<SigningKey, BackendError> {
    let der = backend.private(record)?;
    SigningKey::from_der(algorithm, &der).ok().filter(|key| *key.kid() == record.id).ok_or_else(|| wrong_key(record))
}

fn sealing_key(record: &KeyRecord, backend: &dyn KeyBackend) -> Result<Arc<SealingKey>, BackendError> {
    let secret = backend.private(record)?;
    let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| wrong_key(record))?;
    let key = SealingKey::new(secret);
    if key.id().to_string() != record.id.as_str() {
        return Err(wrong_key(record));
    }
    Ok(Arc::new(key))
}

/// The document: active keys first, because some readers stop at the first key of a type they do not know.
fn jwks(records: &[KeyRecord], rules: &Rules) -> Jwks {
    let mut published: Vec<(u8, (usize, Algorithm), u64, &KeyRecord)> = records
        .iter()
        .filter_map(|record| {
            let KeyUse::Sign(algorithm) = record.usage else { return None };
            let (rank, order) = match record.state {
                KeyState::Active => (0, 0),
                KeyState::Prepared => (1, record.published_at.0),
                // The youngest first: it is the one that is asked for.
                KeyState::Retiring => (2, u64::MAX - record.deactivated_at.unwrap_or_default().0),
                KeyState::Retired | KeyState::Tainted => return None,
            };
            Some((rank, preference(rules, algorithm), order, record))
        })
        .collect();
    published.sort_by_key(|entry| (entry.0, entry.1, entry.2));
    let keys: Vec<_> = published.iter().filter_map(|entry| entry.3.public.as_ref()).map(|key| key.to_json()).collect();
    let body = json!({ "keys": keys }).to_string();
    let hash = digest::digest(&digest::SHA256, body.as_bytes());
    let etag = format!("\"{}\"", base64url::encode(hash.as_ref().get(..16).unwrap_or_default()));
    let caching = Caching::of(rules.publish_ahead);
    let kids = published.iter().map(|entry| entry.3.id.clone()).collect();
    let edition = Arc::new(Edition { etag: etag.clone(), kids });
    Jwks { body: Bytes::from(body), etag, cache_control: caching.header(), caching, edition }
}
