//! How a key lives: prepared, active, retiring, retired; or tainted, when it leaked. Pure: no clock, no disk.

use std::fmt;
use std::time::Duration;

use crate::keys::sealing::SealingKeyId;
use crate::protocol::algorithm::Algorithm;
use crate::protocol::id::Kid;
use crate::protocol::jwk::PublicJwk;
use crate::protocol::time::UnixSeconds;

/// Where a key stands in its life. It only ever moves forward; no clock takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyState {
    /// Published, not signing yet: verifiers learn it before they need it.
    Prepared,
    /// The one key of its use that signs (or seals).
    Active,
    /// Verifies (or opens) what it signed; signs nothing any more.
    Retiring,
    /// Over. Nothing it signed is alive; its private part is deleted.
    Retired,
    /// Leaked. Out of the key set at once; what it signed is refused.
    Tainted,
}

impl KeyState {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Prepared, Self::Active, Self::Retiring, Self::Retired, Self::Tainted];

    /// The word for it in files, tables and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Tainted => "tainted",
        }
    }

    /// Whether the life is over: no private part is kept.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Retired | Self::Tainted)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a key is for. One key, one use (RFC 8725 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyUse {
    /// Signs with this algorithm; its public half is published.
    Sign(Algorithm),
    /// Seals what only the gateway reads again; nothing of it is published.
    Seal,
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sign(algorithm) => f.write_str(algorithm.name()),
            Self::Seal => f.write_str("sealing"),
        }
    }
}

/// What is known of a key, without its private part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The RFC 7638 thumbprint; for a sealing key its eight hexadecimal digits.
    pub id: Kid,
    /// What it is for.
    pub usage: KeyUse,
    /// Where it stands.
    pub state: KeyState,
    /// The public half; none for a sealing key.
    pub public: Option<PublicJwk>,
    /// When it was made or imported.
    pub created_at: UnixSeconds,
    /// When the set first named it.
    pub published_at: UnixSeconds,
    /// When it shall take over even if its predecessor is not due: set by `keys rotate`.
    pub activate_at: Option<UnixSeconds>,
    /// When it took over.
    pub activated_at: Option<UnixSeconds>,
    /// When it signed for the last time.
    pub deactivated_at: Option<UnixSeconds>,
    /// When the last thing it signed has ended.
    pub retire_at: Option<UnixSeconds>,
    /// When it was retired or tainted.
    pub ended_at: Option<UnixSeconds>,
    /// The longest life, in whole seconds, that it may have given to what it signed.
    pub lifetime_seconds: u64,
    /// Retired by hand before `retire_at`: a decision, not a mistake.
    pub forced: bool,
}

impl KeyRecord {
    /// A key that is published at `now` and does not sign yet.
    #[must_use]
    pub fn prepared(id: Kid, usage: KeyUse, public: Option<PublicJwk>, now: UnixSeconds) -> Self {
        Self {
            id,
            usage,
            state: KeyState::Prepared,
            public,
            created_at: now,
            published_at: now,
            activate_at: None,
            activated_at: None,
            deactivated_at: None,
            retire_at: None,
            ended_at: None,
            lifetime_seconds: 0,
            forced: false,
        }
    }

    /// From when on no cache that honours its header lacks this key.
    #[must_use]
    pub fn ready_at(&self, rules: &Rules) -> UnixSeconds {
        self.published_at.after(whole_seconds(rules.publish_ahead))
    }

    /// Whether something it signed may still be alive at `now`. A tainted key's tokens are dead by decision.
    #[must_use]
    pub fn may_have_live_tokens(&self, now: UnixSeconds) -> bool {
        match self.state {
            KeyState::Active => true,
            KeyState::Retiring => !self.retire_at.is_some_and(|end| end.has_passed(now)),
            KeyState::Prepared | KeyState::Retired | KeyState::Tainted => false,
        }
    }

    /// The id of a sealing key; none for a signing key.
    #[must_use]
    pub fn sealing_id(&self) -> Option<SealingKeyId> {
        match self.usage {
            KeyUse::Seal => self.id.as_str().parse().ok(),
            KeyUse::Sign(_) => None,
        }
    }
}

/// Whether keys are replaced by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic {
    /// A successor is prepared and activated every `rotate_every`.
    On,
    /// Only a person prepares; what a person scheduled or tainted is still carried out.
    Off,
}

/// How long the different parts of a life last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The algorithms to sign with; the first is the default.
    pub algorithms: Vec<Algorithm>,
    /// How long a key is active. Zero: until somebody rotates.
    pub rotate_every: Duration,
    /// How long a key is published before it signs. The cache header of the key set is computed from it.
    pub publish_ahead: Duration,
    /// The longest life of a signed token.
    pub token_lifetime_max: Duration,
    /// The longest life of anything sealed: the absolute life of a family.
    pub family_lifetime_max: Duration,
    /// How far clocks may differ; also how late another gateway may learn of a rotation.
    pub skew: Duration,
    /// Whether the calendar replaces keys.
    pub automatic: Automatic,
}

impl Rules {
    /// The longest life of what a key of this use gives out.
    #[must_use]
    pub fn lifetime_max(&self, usage: KeyUse) -> Duration {
        whole_seconds(match usage {
            KeyUse::Sign(_) => self.token_lifetime_max,
            KeyUse::Seal => self.family_lifetime_max,
        })
    }

    /// Every use that needs an active key.
    pub fn uses(&self) -> impl Iterator<Item = KeyUse> + '_ {
        self.algorithms.iter().map(|algorithm| KeyUse::Sign(*algorithm)).chain([KeyUse::Seal])
    }
}

/// Rounded up: a key is never published or kept shorter than the rule says.
#[must_use]
pub fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)))
}

/// Why a key cannot make a move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No record has this id.
    #[error("there is no key {0}")]
    Unknown(Kid),
    /// The move does not lead on from where the key stands.
    #[error("key {id} is {state}; it cannot become {to}")]
    State {
        /// Which key.
        id: Kid,
        /// Where it stands.
        state: KeyState,
        /// Where it should have gone.
        to: KeyState,
    },
}

/// The active key of a use.
#[must_use]
pub fn active(records: &[KeyRecord], usage: KeyUse) -> Option<&KeyRecord> {
    records.iter().find(|record| record.usage == usage && record.state == KeyState::Active)
}

/// Lets a prepared (or, to undo a rotation, a retiring) key take over; its predecessor goes retiring.
///
/// # Errors
/// [`Forbidden`] for an unknown key and one that has ended; an active key stays as it is.
pub fn activate(records: &mut [KeyRecord], id: &Kid, rules: &Rules, now: UnixSeconds) -> Result<(), Forbidden> {
    let record = find(records, id)?;
    let usage = record.usage;
    match record.state {
        KeyState::Active => return Ok(()),
        KeyState::Prepared | KeyState::Retiring => {}
        state => return Err(Forbidden::State { id: id.clone(), state, to: KeyState::Active }),
    }
    for other in records.iter_mut().filter(|record| record.usage == usage && record.state == KeyState::Active) {
        deactivate(other, rules, now);
    }
    let record = find(records, id)?;
    record.state = KeyState::Active;
    record.activate_at = None;
    record.activated_at = Some(now);
    record.deactivated_at = None;
    record.retire_at = None;
    record.lifetime_seconds = record.lifetime_seconds.max(rules.lifetime_max(usage).as_secs());
    Ok(())
}

fn deactivate(record: &mut KeyRecord, rules: &Rules, now: UnixSeconds) {
    // What was signed when the limit was higher keeps its life: the longest limit ever seen counts.
    let lifetime = record.lifetime_seconds.max(rules.lifetime_max(record.usage).as_secs());
    record.state = KeyState::Retiring;
    record.lifetime_seconds = lifetime;
    record.deactivated_at = Some(now);
    record.retire_at = Some(now.after(Duration::from_secs(lifetime)).after(whole_seconds(rules.skew)));
}

/// Ends a key. Before `retire_at` the record remembers that it was forced.
///
/// # Errors
/// [`Forbidden`] for an unknown key and one that has ended already.
pub fn retire(records: &mut [KeyRecord], id: &Kid, now: UnixSeconds) -> Result<(), Forbidden> {
    let record = find(records, id)?;
    if record.state.has_ended() {
        return Err(Forbidden::State { id: id.clone(), state: record.state, to: KeyState::Retired });
    }
    record.forced = record.may_have_live_tokens(now);
    if record.state == KeyState::Active {
        record.deactivated_at = Some(now);
    }
    record.state = KeyState::Retired;
    record.activate_at = None;
    record.ended_at = Some(now);
    Ok(())
}

/// Marks a key as leaked: nothing it signed counts any more. A retired key can be tainted too; twice is once.
///
/// # Errors
/// [`Forbidden::Unknown`].
pub fn taint(records: &mut [KeyRecord], id: &Kid, now: UnixSeconds) -> Result<(), Forbidden> {
    let record = find(records, id)?;
    if record.state != KeyState::Tainted {
        if record.state == KeyState::Active {
            record.deactivated_at = Some(now);
        }
        record.state = KeyState::Tainted;
        record.activate_at = None;
        record.ended_at = Some(now);
    }
    Ok(())
}

fn find<'a>(records: &'a mut [KeyRecord], id: &Kid) -> Result<&'a mut KeyRecord, Forbidden> {
    records.iter_mut().find(|record| record.id == *id).ok_or_else(|| Forbidden::Unknown(id.clone()))
}
