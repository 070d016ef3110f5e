//! Identifiers: who, which token, which login, which key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::protocol::base64url;
use crate::protocol::time::UnixSeconds;

/// A text identifier: shared, cheap to clone, compared byte by byte.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// `client_id` (RFC 6749 section 2.2): printable ASCII, at most [`ID_CHARS_MAX`] characters.
    ClientId
);
text_id!(
    /// `sub` (RFC 7519 section 4.1.2): a user's stable id, or the client id for a client alone.
    Subject
);
text_id!(
    /// `kid` (RFC 7515 section 4.1.4): the RFC 7638 thumbprint of the key.
    Kid
);
text_id!(
    /// One member of `aud` (RFC 7519 section 4.1.3): an absolute URI or a plain name.
    Audience
);

/// Longest client id, subject or audience: 255 characters.
pub const ID_CHARS_MAX: usize = 255;

/// Whether `text` can be a client id: 1 to [`ID_CHARS_MAX`] of VSCHAR (RFC 6749 appendix A.1).
#[must_use]
pub fn is_client_id(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

/// A random 128-bit identifier, written as 22 characters of base64url.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&base64url::encode_id(&self.0)).unwrap_or_default())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                base64url::decode_array(text.as_bytes()).map(Self).ok_or_else(|| {
                    concat!("not a ", stringify!($name), ": expected 22 base64url characters").to_owned()
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id!(
    /// `jti` (RFC 7519 section 4.1.7): names one access token.
    Jti
);
random_id!(
    /// Names a family: all refresh tokens of one login. On the wire it is `sid`.
    ///
    /// The first four bytes are the hour (since the epoch, rounded up) by which the family has ended, the other
    /// twelve are random: whoever holds an access token's `sid` knows which bucket to ask, without a look-up.
    FamilyId
);

impl FamilyId {
    /// Names a new family that ends at `ends_at`, from 96 random bits.
    #[must_use]
    pub fn new(random: [u8; 12], ends_at: UnixSeconds) -> Self {
        let hours = u32::try_from(ends_at.0.div_ceil(HOUR_SECONDS)).unwrap_or(u32::MAX);
        let [a, b, c, d] = hours.to_be_bytes();
        let [e, f, g, h, i, j, k, l, m, n, o, p] = random;
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// The full hour by which the family has ended; never earlier than its real end.
    #[must_use]
    pub fn ends_by(self) -> UnixSeconds {
        let [a, b, c, d, ..] = self.0;
        UnixSeconds(u64::from(u32::from_be_bytes([a, b, c, d])).saturating_mul(HOUR_SECONDS))
    }
}

/// Seconds in an hour, the grain of [`FamilyId::ends_by`].
const HOUR_SECONDS: u64 = 3_600;

/// Which refresh token of a family: 0 comes from the login, each rotation adds one.
///
/// An integer and never a time, so rotations within one instant stay ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The successor; the last generation (2^32 - 1) is its own successor and so never rotates.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_have_one_spelling() {
        let jti = Jti([7; 16]);
        assert_eq!(jti.to_string().len(), 22);
        assert_eq!(jti.to_string().parse(), Ok(jti));
        for bad in ["", "short", "BwcHBwcHBwcHBwcHBwcHBw==", "BwcHBwcHBwcHBwcHBwcHBx"] {
            assert!(bad.parse::<Jti>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_family_names_the_hour_it_ends_by() {
        for end in [0, 1, 3_599, 3_600, 3_601, 1_800_000_000, 4_294_967_296] {
            let ends_by = FamilyId::new([9; 12], UnixSeconds(end)).ends_by();
            assert!(ends_by >= UnixSeconds(end) && ends_by.0 - end < 3_600, "{end}");
        }
    }

    #[test]
    fn client_ids_are_visible_ascii() {
        assert!(is_client_id("s6BhdRkqt3"));
        for bad in ["", "a b", "a\u{0}", "\u{e9}t\u{e9}", "a\n"] {
            assert!(!is_client_id(bad), "{bad:?}");
        }
        assert!(!is_client_id(&"x".repeat(256)));
    }

    #[test]
    fn generations_stop_at_the_end_instead_of_wrapping() {
        assert_eq!(Generation(0).next(), Generation(1));
        assert_eq!(Generation(u32::MAX).next(), Generation(u32::MAX));
    }
}
