//! A stored password, whoever stored it: our own Argon2id, or one of Django's forms. Verified, never changed.

use crate::user::django::Django;
use crate::user::phc::{Cost, Memory, Phc, PhcError};

/// Longest stored form read, in bytes.
const STORED_BYTES_MAX: usize = 512;

/// A stored password, parsed and within the bounds of what one comparison may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Argon2id (RFC 9106), as `users.toml` and Django's `argon2` hold it.
    Argon2(Phc),
    /// One of Django's other forms.
    Django(Django),
}

impl Stored {
    /// Reads a stored form: a PHC string, or `ALGORITHM$...` as Django's `make_password` writes it.
    ///
    /// # Errors
    /// `Form` for what is neither, also for Django's unusable password (`!...`); `Cost` for one that asks for more than
    /// one comparison may cost.
    pub fn parse(text: &str) -> Result<Self, PhcError> {
        if text.len() > STORED_BYTES_MAX {
            return Err(PhcError::Form);
        }
        // Django puts its own name before the string of the reference implementation.
        match text.strip_prefix("argon2$") {
            Some(rest) => Phc::parse(&format!("${rest}"), Cost::MAX).map(Self::Argon2),
            None if text.starts_with('$') => Phc::parse(text, Cost::MAX).map(Self::Argon2),
            None => Django::parse(text).map(Self::Django),
        }
    }

    /// Whether `password` is the one. Compares in constant time.
    ///
    /// # Errors
    /// `Memory`, or `Cost` for parameters the algorithm itself refuses.
    pub fn verify(&self, password: &str, memory: &mut Memory) -> Result<bool, PhcError> {
        match self {
            Self::Argon2(phc) => phc.verify(password, memory),
            Self::Django(django) => django.verify(password),
        }
    }

    /// What one comparison costs, in a unit of its algorithm: KiB written, or rounds of the hash.
    #[must_use]
    pub fn work(&self) -> u64 {
        match self {
            Self::Argon2(phc) => phc.cost().work(),
            Self::Django(django) => django.work(),
        }
    }

    /// Whether a comparison with `other` takes the same path and the same time.
    #[must_use]
    pub fn costs_like(&self, other: &Self) -> bool {
        self.algorithm() == other.algorithm() && self.work() == other.work()
    }

    /// One of the same algorithm and cost that no password opens: its hash is not a hash of anything, but bytes drawn by
    /// chance. What an unknown user's password is compared with.
    #[must_use]
    pub fn dummy_like(&self, random: &[u8; 64]) -> Self {
        match self {
            Self::Argon2(phc) => Self::Argon2(phc.dummy_like(random)),
            Self::Django(django) => Self::Django(django.dummy_like(random)),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Argon2(_) => "argon2",
            Self::Django(django) => django.algorithm(),
        }
    }
}
