//! A secret key that seals what only the gateway reads again.
//!
//! Each sealed value has its own AES-256-GCM key, derived from the sealing key and a 192-bit random salt, so a nonce
//! is never used twice under one key: safe for 2^48 values and far beyond (the salt collides after about 2^96).

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::ambient::entropy::draw;
use crate::ambient::{Entropy, EntropyError};

/// Bytes of salt in front of each sealed value.
pub const SALT_BYTES: usize = 24;
/// Bytes of authentication tag behind it.
pub const TAG_BYTES: usize = 16;

/// Names a sealing key: eight hexadecimal digits for people, four bytes inside what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingKeyId(pub u32);

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl std::str::FromStr for SealingKeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| hex)
            .map(Self)
            .ok_or_else(|| "a sealing key id is eight lower-case hexadecimal digits".to_owned())
    }
}

/// The value was not sealed by this key for this purpose, or was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sealed by this key for this purpose, or altered")]
pub struct OpenError;

/// A sealing key: 256 random bits, wiped when dropped.
pub struct SealingKey {
    id: SealingKeyId,
    derive: hmac::Key,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SealingKey {
    /// Draws a new secret.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Zeroizing<[u8; 32]>, EntropyError> {
        draw(entropy).map(Zeroizing::new)
    }

    /// Prepares a secret for use. Its id is derived from it, so the same secret has the same id everywhere.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&derive, b"mintgate sealing key id");
        let id = tag.as_ref().iter().take(4).fold(0, |id, byte| id << 8 | u32::from(*byte));
        Self { id: SealingKeyId(id), derive }
    }

    /// Which key this is.
    #[must_use]
    pub fn id(&self) -> SealingKeyId {
        self.id
    }

    /// Seals `plain` in place behind `salt`: appends the ciphertext and its tag to `out`.
    ///
    /// `purpose` is authenticated, not stored: what was sealed for one purpose opens for no other.
    ///
    /// # Errors
    /// [`OpenError`] if the cipher refuses the length (over 64 GiB).
    pub fn seal(
        &self,
        purpose: &[u8],
        salt: &[u8; SALT_BYTES],
        mut plain: Zeroizing<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let key = self.key_for(purpose, salt)?;
        let nonce = Nonce::assume_unique_for_key([0; 12]); // the key is unique, so the nonce may be constant
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(purpose), &mut plain).map_err(|_| OpenError)?;
        out.extend_from_slice(&plain);
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens what [`SealingKey::seal`] appended.
    ///
    /// # Errors
    /// [`OpenError`] for another key, another purpose, or any altered bit.
    pub fn open(
        &self,
        purpose: &[u8],
        salt: &[u8; SALT_BYTES],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let key = self.key_for(purpose, salt)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = key.open_in_place(nonce, Aad::from(purpose), &mut buffer).map_err(|_| OpenError)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    /// The key of one sealed value: HMAC-SHA-256 as a key derivation function (NIST SP 800-108r1 section 4.1).
    fn key_for(&self, purpose: &[u8], salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, OpenError> {
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(b"mintgate seal 1");
        context.update(&[u8::try_from(purpose.len()).map_err(|_| OpenError)?]);
        context.update(purpose);
        context.update(salt);
        UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).map(LessSafeKey::new).map_err(|_| OpenError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &SealingKey, purpose: &[u8], salt: &[u8; SALT_BYTES], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key.seal(purpose, salt, Zeroizing::new(plain.to_vec()), &mut out).expect("sealed");
        out
    }

    #[test]
    fn opens_for_the_same_key_purpose_and_salt_only() {
        let (key, other) = (SealingKey::new(&[1; 32]), SealingKey::new(&[2; 32]));
        let salt = [3; SALT_BYTES];
        let text = sealed(&key, b"refresh", &salt, b"attack at dawn");
        assert_eq!(text.len(), 14 + TAG_BYTES);
        assert_eq!(key.open(b"refresh", &salt, &text).expect("opens").as_slice(), b"attack at dawn");
        assert!(other.open(b"refresh", &salt, &text).is_err(), "another key");
        assert!(key.open(b"code", &salt, &text).is_err(), "another purpose");
        assert!(key.open(b"refresh", &[4; SALT_BYTES], &text).is_err(), "another salt");
        for bit in 0..text.len() * 8 {
            let mut bent = text.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(b"refresh", &salt, &bent).is_err(), "bit {bit}");
        }
        for length in 0..text.len() {
            assert!(key.open(b"refresh", &salt, &text[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn the_id_follows_from_the_secret() {
        assert_eq!(SealingKey::new(&[1; 32]).id(), SealingKey::new(&[1; 32]).id());
        assert_ne!(SealingKey::new(&[1; 32]).id(), SealingKey::new(&[2; 32]).id());
        let id = SealingKey::new(&[1; 32]).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("0xabcdef".parse::<SealingKeyId>().is_err());
    }
}
