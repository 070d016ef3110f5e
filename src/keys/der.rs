//! As much of DER (X.690) as private keys need: definite lengths, whole bytes, nothing else.

use zeroize::Zeroizing;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const CONTEXT_1: u8 = 0xa1;

/// One value: tag, length, contents.
pub(super) fn value(tag: u8, contents: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = contents.len().to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(contents.len() + 10));
    out.push(tag);
    if contents.len() < 0x80 {
        out.extend(length.iter().skip(length.len() - 1));
    } else {
        let significant = length.iter().skip_while(|byte| **byte == 0);
        // At most eight length bytes, so the count fits the low bits (X.690 section 8.1.3.5).
        out.push(0x80 | u8::try_from(significant.clone().count()).unwrap_or(8));
        out.extend(significant);
    }
    out.extend_from_slice(contents);
    out
}

/// A sequence of finished values.
pub(super) fn sequence(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    value(SEQUENCE, &Zeroizing::new(parts.concat()))
}

/// A non-negative integer from its big-endian bytes, in the shortest form (X.690 section 8.3).
pub(super) fn unsigned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut contents = Zeroizing::new(vec![0]);
    contents.extend(bytes.iter().skip_while(|byte| **byte == 0));
    match contents.get(1) {
        Some(first) if *first < 0x80 => value(INTEGER, contents.get(1..).unwrap_or_default()),
        _ => value(INTEGER, &contents),
    }
}

/// Reads values one after the other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value, whatever it is: tag and contents.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.rest.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if *first >= 0x80 {
            let count = usize::from(*first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, tail) = rest.split_at_checked(count)?;
            length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest = tail;
        }
        let (contents, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*tag, contents))
    }

    /// The contents of the next value, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }

    /// The next integer without its sign byte.
    pub(super) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let bytes = self.expect(INTEGER)?;
        Some(match bytes.split_first() {
            Some((0, rest)) if !rest.is_empty() => rest,
            _ => bytes,
        })
    }
}

/// The contents of `bytes`, if they are exactly one sequence.
pub(super) fn whole_sequence(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut outer = Reader::new(bytes);
    let contents = outer.expect(SEQUENCE)?;
    outer.is_empty().then(|| Reader::new(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let contents = vec![7; length];
            let written = value(OCTET_STRING, &contents);
            let mut reader = Reader::new(&written);
            assert_eq!(reader.expect(OCTET_STRING), Some(contents.as_slice()), "{length}");
            assert!(reader.is_empty());
            for cut in 0..written.len().min(300) {
                assert_eq!(Reader::new(&written[..cut]).next(), None, "{length} cut to {cut}");
            }
        }
    }

    #[test]
    fn integers_are_short_and_positive() {
        let rows: [(&[u8], &[u8]); 4] =
            [(&[], &[2, 1, 0]), (&[0, 0], &[2, 1, 0]), (&[0x7f], &[2, 1, 0x7f]), (&[0, 0x80], &[2, 2, 0, 0x80])];
        for (bytes, written) in rows {
            assert_eq!(unsigned(bytes).as_slice(), written, "{bytes:?}");
        }
    }
}
