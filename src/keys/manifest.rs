//! The file that says which keys there are and where each stands; written and read as a whole.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::keys::lifecycle::{KeyRecord, KeyState, KeyUse};
use crate::keys::sealing::SealingKeyId;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::base64url;
use crate::protocol::id::Kid;
use crate::protocol::jwk::PublicJwk;
use crate::protocol::time::UnixSeconds;

/// Largest manifest: about two thousand RSA keys.
pub const MANIFEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most keys in a set, those that ended included.
pub const KEYS_MAX: usize = 1_024;

const FORMAT: &str = "mintgate-keyset";
const VERSION: u32 = 1;

/// The records, and how often they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Grows by one with each write.
    pub serial: u64,
    /// Every key that is known.
    pub records: Vec<KeyRecord>,
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of this shape.
    #[error("not a mintgate key set: {0}")]
    Shape(String),
    /// Written by a later version.
    #[error("written in format version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// A record contradicts itself or another one.
    #[error("key {id}: {why}")]
    Record {
        /// Which key.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Over [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    version: u32,
    serial: u64,
    keys: Vec<WrittenKey>,
}

/// What every version has.
#[derive(Deserialize)]
struct Heading {
    format: String,
    version: u32,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenUse {
    Sign,
    Seal,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    id: String,
    r#use: WrittenUse,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    state: String,
    created_at: UnixSeconds,
    published_at: UnixSeconds,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activate_at: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activated_at: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deactivated_at: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retire_at: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<UnixSeconds>,
    #[serde(default)]
    lifetime_seconds: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<Map<String, Value>>,
}

impl Manifest {
    /// The bytes of the file.
    ///
    /// # Errors
    /// [`ManifestError::TooMany`], or any error that reading it back would give: nothing unreadable is written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        check(&self.records)?;
        let keys = self.records.iter().map(WrittenKey::of).collect();
        let written = Written { format: FORMAT.to_owned(), version: VERSION, serial: self.serial, keys };
        let mut bytes = serde_json::to_vec_pretty(&written).map_err(|error| ManifestError::Shape(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads and checks the file as a whole.
    ///
    /// # Errors
    /// A [`ManifestError`]; nothing of a bad manifest is used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let shape = |error: serde_json::Error| ManifestError::Shape(error.to_string());
        // The heading first: a later version must be recognised even if its body has another shape.
        let heading: Heading = serde_json::from_slice(bytes).map_err(shape)?;
        if heading.format != FORMAT {
            return Err(ManifestError::Shape(format!("`format` is not `{FORMAT}`")));
        }
        if heading.version != VERSION {
            return Err(ManifestError::Version(heading.version));
        }
        let written: Written = serde_json::from_slice(bytes).map_err(shape)?;
        let records = written.keys.into_iter().map(WrittenKey::check).collect::<Result<Vec<_>, _>>()?;
        check(&records)?;
        Ok(Self { serial: written.serial, records })
    }
}

/// What no single record can say: ids are unique, and one key of a use is active.
fn check(records: &[KeyRecord]) -> Result<(), ManifestError> {
    if records.len() > KEYS_MAX {
        return Err(ManifestError::TooMany);
    }
    let wrong = |record: &KeyRecord, why| ManifestError::Record { id: record.id.to_string(), why };
    let (mut ids, mut active) = (HashSet::new(), HashSet::new());
    for record in records {
        if !ids.insert(&record.id) {
            return Err(wrong(record, "it is listed twice"));
        }
        if record.state == KeyState::Active && !active.insert(record.usage) {
            return Err(wrong(record, "another key of the same use is active too"));
        }
        if record.state == KeyState::Retiring && record.retire_at.is_none() {
            return Err(wrong(record, "it is retiring but has no `retire_at`"));
        }
    }
    Ok(())
}

impl WrittenKey {
    fn of(record: &KeyRecord) -> Self {
        let (r#use, algorithm) = match record.usage {
            KeyUse::Sign(algorithm) => (WrittenUse::Sign, Some(algorithm)),
            KeyUse::Seal => (WrittenUse::Seal, None),
        };
        Self {
            id: record.id.to_string(),
            r#use,
            algorithm,
            state: record.state.name().to_owned(),
            created_at: record.created_at,
            published_at: record.published_at,
            activate_at: record.activate_at,
            activated_at: record.activated_at,
            deactivated_at: record.deactivated_at,
            retire_at: record.retire_at,
            ended_at: record.ended_at,
            lifetime_seconds: record.lifetime_seconds,
            forced: record.forced,
            public: record.public.as_ref().and_then(|public| public.to_json().as_object().cloned()),
        }
    }

    fn check(self) -> Result<KeyRecord, ManifestError> {
        let wrong = |why| ManifestError::Record { id: self.id.clone(), why };
        let usage = match (self.r#use, self.algorithm) {
            (WrittenUse::Sign, Some(algorithm)) => KeyUse::Sign(algorithm),
            (WrittenUse::Sign, None) => return Err(wrong("a signing key names its algorithm")),
            (WrittenUse::Seal, None) => KeyUse::Seal,
            (WrittenUse::Seal, Some(_)) => return Err(wrong("a sealing key has no algorithm")),
        };
        let state = KeyState::ALL.into_iter().find(|state| state.name() == self.state);
        let state = state.ok_or_else(|| wrong("`state` is none of prepared, active, retiring, retired, tainted"))?;
        // The id becomes a file name, so its alphabet and length are checked before anything else uses it.
        let named_well = match usage {
            KeyUse::Sign(_) => base64url::decode_array::<32>(self.id.as_bytes()).is_some(),
            KeyUse::Seal => self.id.parse::<SealingKeyId>().is_ok(),
        };
        if !named_well {
            return Err(wrong("the id is not a thumbprint or a sealing key id"));
        }
        let public = match (usage, &self.public) {
            (KeyUse::Seal, None) => None,
            (KeyUse::Seal, Some(_)) => return Err(wrong("a sealing key has nothing public")),
            (KeyUse::Sign(_), None) => return Err(wrong("a signing key has its public half here")),
            (KeyUse::Sign(algorithm), Some(members)) => {
                let public = PublicJwk::from_json(members).map_err(|_| wrong("`public` is not a usable JWK"))?;
                if public.algorithm() != algorithm || public.thumbprint().as_str() != self.id {
                    return Err(wrong("`public` is another key's"));
                }
                Some(public)
            }
        };
        Ok(KeyRecord {
            usage,
            state,
            public,
            id: Kid::from(self.id),
            created_at: self.created_at,
            published_at: self.published_at,
            activate_at: self.activate_at,
            activated_at: self.activated_at,
            deactivated_at: self.deactivated_at,
            retire_at: self.retire_at,
            ended_at: self.ended_at,
            lifetime_seconds: self.lifetime_seconds,
            forced: self.forced,
        })
    }
}
