//! Tokens that passed the gate, so that the next request with the same one costs a hash and no signature check.
//!
//! Only tokens that passed are kept, so nobody without one can push others out. What can change after the gate (time,
//! keys, revocations) is not remembered at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest;

use crate::issuer::verify::Known;

/// Parts with a lock each: enough that requests with different tokens rarely meet.
const PARTS: usize = 16;

/// SHA-256 of the whole token, signature included: two texts are never taken for one another.
type Name = [u8; 32];

/// A bounded memory of tokens: the ones used lately, and before them the ones used a while ago.
#[derive(Debug)]
pub(in crate::issuer) struct Verdicts {
    parts: [Mutex<Part>; PARTS],
    /// Most entries in each of a part's two halves.
    half_max: usize,
}

#[derive(Debug, Default)]
struct Part {
    fresh: HashMap<Name, Arc<Known>>,
    old: HashMap<Name, Arc<Known>>,
}

impl Verdicts {
    /// A memory of at most about `entries_max` tokens; 0 remembers none.
    pub(in crate::issuer) fn new(entries_max: usize) -> Self {
        Self { parts: Default::default(), half_max: entries_max.div_ceil(2 * PARTS) }
    }

    pub(super) fn name(token: &str) -> Name {
        let mut name = [0; 32];
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        // Both have 32 bytes.
        name.copy_from_slice(hash.as_ref().get(..32).unwrap_or(&[0; 32]));
        name
    }

    pub(super) fn find(&self, name: &Name) -> Option<Arc<Known>> {
        let mut part = self.part(name).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = part.fresh.get(name) {
            return Some(Arc::clone(known));
        }
        let known = part.old.remove(name)?;
        part.keep(*name, Arc::clone(&known), self.half_max);
        Some(known)
    }

    pub(super) fn insert(&self, name: Name, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        if self.half_max > 0 {
            let mut part = self.part(&name).lock().unwrap_or_else(PoisonError::into_inner);
            part.keep(name, Arc::clone(&known), self.half_max);
        }
        known
    }

    fn part(&self, name: &Name) -> &Mutex<Part> {
        let [first, ..] = self.parts.each_ref();
        self.parts.get(usize::from(name[0]) % PARTS).unwrap_or(first)
    }
}

impl Part {
    /// Keeps one more; when the fresh half is full it becomes the old half, and what was old is forgotten.
    fn keep(&mut self, name: Name, known: Arc<Known>, half_max: usize) {
        if self.fresh.len() >= half_max {
            self.old = std::mem::take(&mut self.fresh);
        }
        self.fresh.insert(name, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::verify::Identity;
    use crate::protocol::claims::AccessClaims;
    use crate::protocol::id::{Audience, ClientId, Jti, Kid, Subject};
    use crate::protocol::scope::Scope;
    use crate::protocol::time::UnixSeconds;
    use crate::token::{Typ, Verified};
    use hyper::header::HeaderValue;

    fn known() -> Known {
        let claims = AccessClaims {
            issuer: "https://auth.example".to_owned(),
            subject: Subject::from("usr_1"),
            audiences: vec![Audience::from("https://api.example")],
            expires_at: UnixSeconds(10),
            issued_at: UnixSeconds(1),
            not_before: None,
            jti: Jti([0; 16]),
            client: ClientId::from("web"),
            scope: Scope::empty(),
            session: None,
            auth_time: None,
        };
        let none = HeaderValue::from_static("");
        let identity = Identity { subject: none.clone(), client: none.clone(), scope: none.clone(), expires: none };
        let verified = Verified { claims, kid: Kid::from("k"), typ: Typ::AtJwt, expires_at: UnixSeconds(10) };
        Known { verified, identity }
    }

    fn len(verdicts: &Verdicts) -> usize {
        let count = |part: &Mutex<Part>| part.lock().map(|part| part.fresh.len() + part.old.len()).unwrap_or(0);
        verdicts.parts.iter().map(count).sum()
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let verdicts = Verdicts::new(320);
        let used = Verdicts::name("used");
        verdicts.insert(used, known());
        for n in 0..10_000 {
            verdicts.insert(Verdicts::name(&n.to_string()), known());
            assert!(verdicts.find(&used).is_some(), "after {n} others");
            assert!(len(&verdicts) <= 320, "{n}");
        }
        assert!(verdicts.find(&Verdicts::name("0")).is_none());
        assert!(verdicts.find(&Verdicts::name("9999")).is_some());
    }

    #[test]
    fn zero_remembers_nothing() {
        let verdicts = Verdicts::new(0);
        verdicts.insert(Verdicts::name("a"), known());
        assert!(verdicts.find(&Verdicts::name("a")).is_none());
    }
}
