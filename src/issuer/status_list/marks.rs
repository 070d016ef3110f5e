//! What has been revoked, as the lists ask for it: by the numbers of [`Facts`].

use std::collections::HashMap;

use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf};
use crate::store::allotted::Facts;

/// Revocations, each with the second from which it may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Marks {
    jtis: HashMap<u64, UnixSeconds>,
    families: HashMap<u64, UnixSeconds>,
    subjects: HashMap<u64, Epoch>,
    clients: HashMap<u64, Epoch>,
    keys: HashMap<u64, Epoch>,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    not_before: UnixSeconds,
    ends_at: UnixSeconds,
}

impl Marks {
    /// Takes a revocation in. They only add up.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::DenyJti { jti, expires_at: end } | Change::DenyUndatedJti { jti, until: end } => {
                later(self.jtis.entry(Facts::of_jti(*jti)).or_insert(*end), *end);
            }
            Change::RevokeFamily { family } => {
                let end = family.ends_by();
                later(self.families.entry(Facts::of_family(*family)).or_insert(end), end);
            }
            Change::MoveEpoch { of, not_before, ends_at } => {
                let (epochs, name) = match of {
                    EpochOf::Subject(subject) => (&mut self.subjects, subject.as_str()),
                    EpochOf::Client(client) => (&mut self.clients, client.as_str()),
                    EpochOf::Key(kid) => (&mut self.keys, kid.as_str()),
                };
                let new = Epoch { not_before: *not_before, ends_at: *ends_at };
                let epoch = epochs.entry(Facts::of_name(name)).or_insert(new);
                later(&mut epoch.not_before, *not_before);
                later(&mut epoch.ends_at, *ends_at);
            }
            Change::RotateFamily { .. } | Change::SpendId { .. } => {}
        }
    }

    /// Whether one of them ends this token: the same comparisons as `Issuer::is_revoked`, on shorter names.
    pub(super) fn end(&self, token: &Facts) -> bool {
        let over = |epochs: &HashMap<u64, Epoch>, of: u64, at: UnixSeconds| {
            !epochs.is_empty() && epochs.get(&of).is_some_and(|epoch| at <= epoch.not_before)
        };
        (!self.jtis.is_empty() && self.jtis.contains_key(&token.jti))
            || (token.family != 0 && !self.families.is_empty() && self.families.contains_key(&token.family))
            || over(&self.subjects, token.subject, token.authenticated_at)
            || over(&self.clients, token.client, token.authenticated_at)
            || over(&self.keys, token.key, token.issued_at)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.jtis.is_empty()
            && self.families.is_empty()
            && self.subjects.is_empty()
            && self.clients.is_empty()
            && self.keys.is_empty()
    }

    /// Forgets what has ended.
    pub(super) fn drop_ended(&mut self, now: UnixSeconds) {
        self.jtis.retain(|_, end| !end.has_passed(now));
        self.families.retain(|_, end| !end.has_passed(now));
        for epochs in [&mut self.subjects, &mut self.clients, &mut self.keys] {
            epochs.retain(|_, epoch| !epoch.ends_at.has_passed(now));
        }
    }
}

fn later(known: &mut UnixSeconds, new: UnixSeconds) {
    *known = (*known).max(new);
}
