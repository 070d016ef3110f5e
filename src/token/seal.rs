//! Sealed tokens: what only this gateway reads again. The byte layout is in [`crate::manual::formats`].

use zeroize::Zeroizing;

use crate::keys::sealing::{SALT_BYTES, SealingKey, SealingKeyId, TAG_BYTES};
use crate::protocol::base64url;

/// Longest sealed text, in bytes: it travels in forms and cookies, which end at 4 KiB.
pub const SEALED_TEXT_BYTES_MAX: usize = 4_096;

/// The layout this code writes and reads.
const VERSION: u8 = 1;
/// Version and key id.
const PREAMBLE_BYTES: usize = 5;

/// What is sealed. Each kind has its own prefix, and one kind never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedKind {
    /// A refresh token (RFC 6749 section 1.5).
    RefreshToken,
}

impl SealedKind {
    /// What the text starts with, for people and for secret scanners.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::RefreshToken => "mgr_",
        }
    }

    /// What is authenticated beside the content: the kind, the layout and the key.
    fn purpose(self, id: SealingKeyId) -> [u8; 9] {
        let kind = match self {
            Self::RefreshToken => *b"mgr_",
        };
        let [a, b, c, d] = kind;
        let [e, f, g, h] = id.0.to_be_bytes();
        [a, b, c, d, VERSION, e, f, g, h]
    }
}

/// The content is too long to be sealed into [`SEALED_TEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too long to be sealed into {SEALED_TEXT_BYTES_MAX} bytes")]
pub struct SealError;

/// The text was not sealed by this gateway for this purpose. One error for every cause: whoever probes learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed token of this kind and gateway, or altered")]
pub struct OpenError;

/// Seals `payload`: prefix, then base64url of version, key id, salt, ciphertext and tag.
///
/// `salt`: random and used once. The payload is wiped.
///
/// # Errors
/// [`SealError`] if the text would be longer than [`SEALED_TEXT_BYTES_MAX`].
pub fn seal(
    kind: SealedKind,
    key: &SealingKey,
    salt: [u8; SALT_BYTES],
    payload: Zeroizing<Vec<u8>>,
) -> Result<String, SealError> {
    let length = PREAMBLE_BYTES + SALT_BYTES + payload.len() + TAG_BYTES;
    let prefix = kind.prefix();
    let text_length = prefix.len() + (length * 4).div_ceil(3);
    if text_length > SEALED_TEXT_BYTES_MAX {
        return Err(SealError);
    }
    let mut bytes = Vec::with_capacity(length);
    bytes.push(VERSION);
    bytes.extend_from_slice(&key.id().0.to_be_bytes());
    bytes.extend_from_slice(&salt);
    key.seal(&kind.purpose(key.id()), &salt, payload, &mut bytes).map_err(|_| SealError)?;
    let mut text = Vec::with_capacity(text_length);
    text.extend_from_slice(prefix.as_bytes());
    base64url::append(&bytes, &mut text);
    // Prefix and base64url are ASCII, so this never fails.
    String::from_utf8(text).map_err(|_| SealError)
}

/// Opens what [`seal`] made. `find` is asked at most once, for the key the text names.
///
/// # Errors
/// [`OpenError`] for another kind, another version, an unknown key, and any altered, missing or added character.
pub fn open<'k>(
    kind: SealedKind,
    text: &str,
    find: impl FnOnce(SealingKeyId) -> Option<&'k SealingKey>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Envelope { id, salt, bytes } = Envelope::read(kind, text).ok_or(OpenError)?;
    let key = find(id).ok_or(OpenError)?;
    let sealed = bytes.get(PREAMBLE_BYTES + SALT_BYTES..).ok_or(OpenError)?;
    key.open(&kind.purpose(id), &salt, sealed).map_err(|_| OpenError)
}

/// The id of the key that a text claims to be sealed with. Not authenticated: for `token inspect` and for logs.
#[must_use]
pub fn named_key(kind: SealedKind, text: &str) -> Option<SealingKeyId> {
    Envelope::read(kind, text).map(|envelope| envelope.id)
}

/// A sealed text taken apart.
struct Envelope {
    id: SealingKeyId,
    salt: [u8; SALT_BYTES],
    bytes: Vec<u8>,
}

impl Envelope {
    fn read(kind: SealedKind, text: &str) -> Option<Self> {
        // The bound comes before the work.
        if text.len() > SEALED_TEXT_BYTES_MAX {
            return None;
        }
        let bytes = base64url::decode(text.strip_prefix(kind.prefix())?.as_bytes())?;
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (id, rest) = rest.split_first_chunk::<4>()?;
        let id = SealingKeyId(u32::from_be_bytes(*id));
        let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>()?;
        let salt = *salt;
        if sealed.len() < TAG_BYTES {
            return None;
        }
        Some(Self { id, salt, bytes })
    }
}
