//! base64url without padding (RFC 7515 section 2), strict in both directions.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{NO_PAD, URL_SAFE_NO_PAD};

/// The engine that writes tokens: wide instructions where the processor has them. What strangers send is read by the
/// plain one.
#[cfg(target_arch = "x86_64")]
static WRITER: LazyLock<base64::engine::Simd> = LazyLock::new(|| base64::engine::Simd::url_safe(NO_PAD));
#[cfg(not(target_arch = "x86_64"))]
static WRITER: LazyLock<base64::engine::GeneralPurpose> =
    LazyLock::new(|| base64::engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD));

/// Encodes `bytes`; no padding, no line breaks.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends the encoding of `bytes` to `out`; allocates only if `out` is too small.
pub fn append(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), false).unwrap_or(0);
    out.resize(start + length, 0);
    if let Some(room) = out.get_mut(start..) {
        // The room is exactly as long as the encoding, so this cannot come up short.
        let written = WRITER.encode_slice(bytes, room).unwrap_or(0);
        out.truncate(start + written);
    }
}

/// Encodes 16 bytes on the stack: ids are written into every token, and none should cost an allocation.
#[must_use]
pub fn encode_id(bytes: &[u8; 16]) -> [u8; 22] {
    let mut out = [0; 22];
    // 16 bytes are exactly 22 characters, so this cannot come up short.
    let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out);
    out
}

/// Decodes `text`, refusing padding, white space, foreign characters and non-zero trailing bits:
/// one byte string has exactly one spelling (RFC 7515 section 2; RFC 4648 section 3.5).
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes into an array of exactly `N` bytes, or refuses.
#[must_use]
pub fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_each_byte_string() {
        assert_eq!(decode(b"AQ").as_deref(), Some(&[1_u8][..]));
        for other in ["AR", "AQ=", "AQ==", " AQ", "A Q", "AQ\n", "A", "+/+/"] {
            assert_eq!(decode(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn append_agrees_with_encode() {
        for length in 0..70_u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut out = b"x.".to_vec();
            append(&bytes, &mut out);
            assert_eq!(out, format!("x.{}", encode(&bytes)).into_bytes());
            assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }
    }
}
