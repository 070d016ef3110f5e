//! Request parameters (RFC 6749 section 3.2, appendix B), parsed once and within bounds.

use std::borrow::Cow;

use crate::protocol::error::RequestReason;

/// Most parameters in one request.
pub const PARAMS_MAX: usize = 64;

/// The parameters that may be given more than once (RFC 8707 section 2, RFC 8693 section 2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// The parameters of one form: each name once, empty values dropped, unknown names kept and ignored.
#[derive(Clone, Debug, Default)]
pub struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Params<'a> {
    /// Parses `application/x-www-form-urlencoded` bytes.
    ///
    /// # Errors
    /// `Duplicate` for a name given twice, `Malformed` for broken percent-encoding or bytes that are not UTF-8,
    /// `TooMany` above [`PARAMS_MAX`].
    pub fn parse(body: &'a [u8]) -> Result<Self, RequestReason> {
        let body = std::str::from_utf8(body).map_err(|_| RequestReason::Malformed)?;
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        // Bytes, not characters: both delimiters are ASCII, so each piece of the text is text.
        for piece in Pieces(body).filter(|piece| !piece.is_empty()) {
            let (name, value) = cut(piece, b'=').unwrap_or((piece, ""));
            let name = form_decode(name).ok_or(RequestReason::Malformed)?;
            let value = form_decode(value).ok_or(RequestReason::Malformed)?;
            // RFC 6749 section 3.2: parameters must not be included more than once.
            if !REPEATABLE.contains(&name.as_ref()) && pairs.iter().any(|(own, _)| *own == name) {
                return Err(RequestReason::Duplicate);
            }
            if pairs.len() == PARAMS_MAX {
                return Err(RequestReason::TooMany);
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Builds parameters from decoded pairs, under the same rules as [`Params::parse`].
    ///
    /// # Errors
    /// `Duplicate` and `TooMany`, as there.
    pub fn from_pairs(source: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, RequestReason> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in source {
            if pairs.iter().any(|(own, _)| *own == name) {
                return Err(RequestReason::Duplicate);
            }
            if pairs.len() == PARAMS_MAX {
                return Err(RequestReason::TooMany);
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The names given, those with an empty value too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_ref())
    }

    /// The value of `name`; an empty value counts as absent (RFC 6749 section 3.2).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every value of a parameter that may be repeated, empty ones left out.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(own, value)| own == name && !value.is_empty()).map(|(_, value)| value.as_ref())
    }

    /// The value of `name`, which this request cannot do without.
    ///
    /// # Errors
    /// `Missing` if it is absent or empty.
    pub fn required(&self, name: &str) -> Result<&str, RequestReason> {
        self.value(name).ok_or(RequestReason::Missing)
    }
}

/// What stands between the `&` of a form.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (piece, rest) = cut(self.0, b'&').unwrap_or((self.0, ""));
        self.0 = rest;
        Some(piece)
    }
}

/// What stands before and after the first `at`, which is ASCII. The general search of the standard library is made for
/// long texts, and its start costs more than all of a short one.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| byte == at)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Decodes one piece of a form: `+` is a space, `%XX` a byte; `None` for broken escapes, NUL, or broken UTF-8.
#[must_use]
pub fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+' | 0)) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let high = hex_digit(bytes.next()?)?;
                let low = hex_digit(bytes.next()?)?;
                high << 4 | low
            }
            other => other,
        };
        if decoded == 0 {
            return None;
        }
        out.push(decoded);
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_empty_is_absent() {
        let params = Params::parse(b"grant_type=a%20b+c&scope=&flag&x=%C3%A9").expect("valid");
        assert_eq!(params.value("grant_type"), Some("a b c"));
        assert_eq!(params.value("scope"), None);
        assert_eq!(params.value("flag"), None);
        assert_eq!(params.value("x"), Some("\u{e9}"));
        assert_eq!(params.required("scope"), Err(RequestReason::Missing));
    }

    #[test]
    fn refusals() {
        let rows: [(&[u8], RequestReason); 7] = [
            (b"a=1&a=2", RequestReason::Duplicate),
            (b"a=1&%61=2", RequestReason::Duplicate),
            (b"a=&a=", RequestReason::Duplicate),
            (b"a=%4", RequestReason::Malformed),
            (b"a=%zz", RequestReason::Malformed),
            (b"a=%ff", RequestReason::Malformed),
            (b"a=%00", RequestReason::Malformed),
        ];
        for (body, reason) in rows {
            assert_eq!(Params::parse(body).err(), Some(reason), "{:?}", String::from_utf8_lossy(body));
        }
        let many: Vec<String> = (0..=PARAMS_MAX).map(|n| format!("p{n}=1")).collect();
        assert_eq!(Params::parse(many.join("&").as_bytes()).err(), Some(RequestReason::TooMany));
    }

    #[test]
    fn resource_may_repeat() {
        let params = Params::parse(b"resource=a&resource=b").expect("RFC 8707 section 2");
        assert_eq!(params.values("resource").collect::<Vec<_>>(), ["a", "b"]);
    }
}
