//! One list: the tokens in it, their bits, and the signed document (draft-ietf-oauth-status-list-17, sections 4 and 5).

use bytes::Bytes;
use hyper::header::HeaderValue;
use miniz_oxide::deflate::compress_to_vec_zlib;
use ring::digest;
use serde::Serialize;

use crate::issuer::Document;
use crate::issuer::documents::value;
use crate::issuer::status_list::allot::PLACES;
use crate::issuer::status_list::marks::Marks;
use crate::keys::SigningKey;
use crate::protocol::base64url;
use crate::protocol::time::UnixSeconds;
use crate::store::allotted::Facts;

/// Section 5.1: the header's `typ`.
pub const TYP: &str = "statuslist+jwt";
/// Section 4.1: higher levels take longer and save nothing on bits that are nearly all alike.
const COMPRESSION_LEVEL: u8 = 9;

/// Who gave away the places of a list, and so what a place means that we know nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// This process: nobody has it.
    Us,
    /// An earlier one: somebody may have it, of whom nothing was written down.
    Earlier,
}

/// The tokens of a list and what has become of them.
#[derive(Debug)]
pub(super) struct List {
    /// As they were handed over: a batch is never moved again.
    tokens: Vec<Box<[(u32, Facts)]>>,
    /// Section 4.1: one bit a place, the least significant bit of a byte first. 1 is INVALID (section 7.1).
    bits: Vec<u8>,
    /// Whether the document does not say what the bits say.
    has_changed: bool,
    signed: Option<Signed>,
}

#[derive(Debug)]
struct Signed {
    at: UnixSeconds,
    keys: u64,
    document: Document,
}

/// What a document is written with.
pub(super) struct Terms<'a> {
    pub(super) issuer: &'a str,
    /// `sub`: its own address.
    pub(super) uri: &'a str,
    /// Where all lists are listed.
    pub(super) aggregation_uri: &'a str,
    pub(super) ttl_seconds: u64,
    pub(super) lifetime_seconds: u64,
    pub(super) now: UnixSeconds,
    /// The serial number of the key set.
    pub(super) keys: u64,
    pub(super) renew_seconds: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    iat: UnixSeconds,
    exp: UnixSeconds,
    ttl: u64,
    status_list: Bits<'a>,
}

#[derive(Serialize)]
struct Bits<'a> {
    bits: u8,
    lst: String,
    aggregation_uri: &'a str,
}

impl List {
    pub(super) fn new(giver: Giver) -> Self {
        let unknown = match giver {
            Giver::Us => 0,
            Giver::Earlier => u8::MAX,
        };
        Self { tokens: Vec::new(), bits: vec![unknown; PLACES as usize / 8], has_changed: true, signed: None }
    }

    /// Judges the tokens it has by what is `new`, and takes `fresh` ones in, judged by `all`.
    pub(super) fn advance(&mut self, new: &Marks, fresh: Vec<(u32, Facts)>, all: &Marks) {
        if !new.is_empty() {
            for (index, facts) in self.tokens.iter().flatten() {
                if new.end(facts) {
                    self.has_changed |= write(&mut self.bits, *index, Bit::Invalid);
                }
            }
        }
        for (index, facts) in &fresh {
            let bit = if all.end(facts) { Bit::Invalid } else { Bit::Valid };
            self.has_changed |= write(&mut self.bits, *index, bit);
        }
        if !fresh.is_empty() {
            self.tokens.push(fresh.into_boxed_slice());
        }
    }

    /// The document, as it was signed last.
    pub(super) fn document(&self) -> Option<&Document> {
        self.signed.as_ref().map(|signed| &signed.document)
    }

    /// Whether the document must be signed anew: its bits, its age, or the keys.
    pub(super) fn is_due(&self, terms: &Terms<'_>) -> bool {
        self.has_changed
            || self.signed.as_ref().is_none_or(|signed| {
                let age = terms.now.since(signed.at).as_secs();
                age >= terms.renew_seconds || terms.now < signed.at || signed.keys != terms.keys
            })
    }

    /// Signs the document anew. One that cannot be signed is not shown either: the old one might say VALID of what is not.
    pub(super) fn sign(&mut self, terms: &Terms<'_>, key: &SigningKey) {
        self.signed =
            self.write_and_sign(terms, key).map(|document| Signed { at: terms.now, keys: terms.keys, document });
        self.has_changed = self.signed.is_none();
    }

    fn write_and_sign(&self, terms: &Terms<'_>, key: &SigningKey) -> Option<Document> {
        let claims = Claims {
            iss: terms.issuer,
            sub: terms.uri,
            iat: terms.now,
            exp: UnixSeconds(terms.now.0 + terms.lifetime_seconds),
            ttl: terms.ttl_seconds,
            status_list: Bits {
                bits: 1,
                lst: base64url::encode(&compress_to_vec_zlib(&self.bits, COMPRESSION_LEVEL)),
                aggregation_uri: terms.aggregation_uri,
            },
        };
        let claims = serde_json::to_vec(&claims).ok()?;
        let header = serde_json::json!({"alg": key.algorithm().name(), "typ": TYP, "kid": key.kid().as_str()});
        let mut out = Vec::with_capacity(claims.len() * 4 / 3 + 1_024);
        base64url::append(header.to_string().as_bytes(), &mut out);
        out.push(b'.');
        base64url::append(&claims, &mut out);
        key.sign_onto(0, &mut out).ok()?;
        let hash = digest::digest(&digest::SHA256, &out);
        let tag = base64url::encode(hash.as_ref().get(..16).unwrap_or_default());
        // Kept for a second less than it may be used: that second is for the building.
        let max_age = terms.ttl_seconds.saturating_sub(1);
        Some(Document {
            body: Bytes::from(out),
            content_type: HeaderValue::from_static("application/statuslist+jwt"),
            etag: value(&format!("\"{tag}\"")),
            cache_control: value(&format!("public, max-age={max_age}")),
        })
    }
}

/// Section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bit {
    Valid,
    Invalid,
}

/// Writes a place; answers whether that changed it.
fn write(bits: &mut [u8], index: u32, bit: Bit) -> bool {
    let Some(byte) = bits.get_mut(index as usize / 8) else { return false };
    let mask = 1 << (index % 8);
    let before = *byte;
    match bit {
        Bit::Valid => *byte &= !mask,
        Bit::Invalid => *byte |= mask,
    }
    *byte != before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-ietf-oauth-status-list-17, section 4.1: the first example, bit by bit.
    #[test]
    fn bits_lie_as_in_the_drafts_example() {
        let mut bits = vec![0; 2];
        for index in [0, 3, 4, 5, 7, 8, 9, 13, 15] {
            assert!(write(&mut bits, index, Bit::Invalid));
        }
        assert_eq!(bits, [0xb9, 0xa3]);
        assert!(!write(&mut bits, 0, Bit::Invalid), "no change");
        assert!(!write(&mut bits, 16, Bit::Invalid), "no such place");
        assert!(write(&mut bits, 0, Bit::Valid));
        assert_eq!(bits, [0xb8, 0xa3]);
    }
}
