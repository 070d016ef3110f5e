//! Strict JSON for what strangers send: one meaning for each text, and a bound on its depth.
//!
//! A parser that keeps the last of two equal names and one that keeps the first disagree about who the token is for;
//! so a name given twice is refused at any depth (RFC 8725 section 2.4; RFC 7515 section 4; RFC 7519 section 4).

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting read: an object of strings has depth 1.
pub const DEPTH_MAX: usize = 8;

/// Why a JSON text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, not UTF-8, nested deeper than [`DEPTH_MAX`], with a name given twice, or with bytes behind it.
    #[error("not strict JSON: malformed, not UTF-8, nested too deep, a name given twice, or trailing bytes")]
    Malformed,
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotObject,
}

/// Reads one JSON object from `bytes`, whole.
///
/// Cost: linear. The caller bounds the length; the depth is bounded by [`DEPTH_MAX`].
///
/// # Errors
/// [`JsonError`]; the text is refused as a whole.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::NotObject),
    }
}

/// Reads one JSON value from `bytes`, whole; see [`object`].
///
/// # Errors
/// `Malformed`.
pub fn value(bytes: &[u8]) -> Result<Value, JsonError> {
    // RFC 8259 section 8.1: UTF-8, and no byte order mark (serde_json refuses it as no JSON).
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::Malformed)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: DEPTH_MAX }.deserialize(&mut reader).map_err(|_| JsonError::Malformed)?;
    reader.end().map_err(|_| JsonError::Malformed)?;
    Ok(value)
}

/// Appends a string in its quotes (RFC 8259 section 7). Nearly every text needs no escape and is copied whole.
///
/// # Errors
/// None: writing into memory does not fail. The type is what a serialiser's caller hands on.
pub fn append_string(text: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    // Without an early exit: the loop over all bytes is one the compiler vectorises.
    let needs_escape = text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == b'"') | (b == b'\\'));
    if needs_escape {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Reads a value and counts the levels that are still allowed.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut out = Map::new();
        // `a` and `a` written as an escape are the same name: serde_json decodes before we compare.
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if out.insert(name, value).is_some() {
                return Err(A::Error::custom("a name given twice"));
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let deep = format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        let rows: [(&str, &[u8]); 15] = [
            ("empty", b""),
            ("trailing bytes", b"{}x"),
            ("two documents", b"{}{}"),
            ("trailing NUL", b"{}\0"),
            ("byte order mark", b"\xef\xbb\xbf{}"),
            ("not UTF-8", b"{\"a\":\"\xff\"}"),
            ("lone surrogate", br#"{"a":"\ud800"}"#),
            ("raw control character", b"{\"a\":\"\n\"}"),
            ("trailing comma", br#"{"a":1,}"#),
            ("single quotes", b"{'a':1}"),
            ("comment", b"{/**/}"),
            ("number out of range", br#"{"a":1e999}"#),
            ("duplicate", br#"{"a":1,"b":2,"a":1}"#),
            ("duplicate, one escaped, deep", br#"{"x":[{"a":1,"\u0061":1}]}"#),
            ("nine levels", deep.as_bytes()),
        ];
        for (name, text) in rows {
            assert_eq!(value(text), Err(JsonError::Malformed), "{name}");
        }
        assert_eq!(object(b"[]"), Err(JsonError::NotObject));
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        for text in ["", "plain", "\u{e9}\u{1f600}", "a\"b", "a\\b", "\u{1f}", "\u{7f}\u{80}", "line\nbreak"] {
            let mut out = Vec::new();
            append_string(text, &mut out).expect(text);
            assert_eq!(out, serde_json::to_vec(text).expect(text));
        }
    }

    #[test]
    fn what_is_strict_json_is_read_like_serde_json_reads_it() {
        let deep = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        for text in [r#" {"a":[1,-2,3.5,true,null,"\u00e9\n"],"b":{"a":{}}} "#, "18446744073709551615", deep.as_str()] {
            assert_eq!(value(text.as_bytes()), Ok(serde_json::from_str(text).expect(text)));
        }
    }
}
