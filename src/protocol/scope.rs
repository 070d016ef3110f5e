//! Scope: a set of scope tokens in the order they were written (RFC 6749 section 3.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest scope string accepted, in bytes.
pub const SCOPE_BYTES_MAX: usize = 2_048;
/// Most scope tokens in one scope.
pub const SCOPE_TOKENS_MAX: usize = 64;

/// A checked scope: tokens of `%x21 / %x23-5B / %x5D-7E`, each once, one space between them.
///
/// Cheap to clone; the text is exactly what goes on the wire. May be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// The scope without any token.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no token is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|token| !token.is_empty())
    }

    /// Whether `token` is one of the tokens.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.tokens().any(|own| own == token)
    }

    /// Whether every token of `narrower` is also here.
    #[must_use]
    pub fn covers(&self, narrower: &Self) -> bool {
        narrower.tokens().all(|token| self.contains(token))
    }

    /// The tokens that are also in `other`, in this one's order.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        if other.covers(self) {
            return self.clone();
        }
        let kept: Vec<&str> = self.tokens().filter(|token| other.contains(token)).collect();
        Self(Arc::from(kept.join(" ")))
    }
}

impl FromStr for Scope {
    type Err = String;

    /// Reads a scope as clients send it; repeated tokens and repeated spaces are folded.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > SCOPE_BYTES_MAX {
            return Err(format!("a scope has at most {SCOPE_BYTES_MAX} bytes"));
        }
        let mut tokens: Vec<&str> = Vec::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            // RFC 6749 section 3.3: NQCHAR only, so no control character, quote or backslash.
            if !token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
                return Err("a scope token is visible ASCII without quote or backslash".to_owned());
            }
            if !tokens.contains(&token) {
                if tokens.len() == SCOPE_TOKENS_MAX {
                    return Err(format!("a scope has at most {SCOPE_TOKENS_MAX} tokens"));
                }
                tokens.push(token);
            }
        }
        Ok(Self(Arc::from(tokens.join(" "))))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().expect(text)
    }

    #[test]
    fn order_is_kept_and_repeats_fold() {
        assert_eq!(scope("write  read write").as_str(), "write read");
        assert!(scope("").is_empty());
        assert!(scope("a b c").covers(&scope("c a")));
        assert!(!scope("a b").covers(&scope("a c")));
        assert_eq!(scope("a b c").intersection(&scope("c b x")).as_str(), "b c");
    }

    #[test]
    fn bounds_and_characters() {
        for bad in ["a\"b", "a\\b", "a\tb", "caf\u{e9}", "a\u{0}"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(SCOPE_BYTES_MAX + 1).parse::<Scope>().is_err());
        let many: Vec<String> = (0..=SCOPE_TOKENS_MAX).map(|n| n.to_string()).collect();
        assert!(many.join(" ").parse::<Scope>().is_err());
    }
}
