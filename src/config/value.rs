//! The types a setting can have: how each is read from the file and from text, and how it is shown.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::written::Raw;
use crate::config::{Behind, Durability, LogFormat, LogLevel, Rotation, TokenTyp};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::time::{Span, format_span, parse_span};

/// A type a setting can have.
pub(crate) trait Value: Sized {
    /// Whether what is written may hold a secret: then no message quotes it.
    const IS_SECRET: bool = false;

    /// What it is and how it is written, for messages.
    fn expected() -> String;

    /// Reads it. `Err(None)`: another type altogether; `Err(Some(..))`: the right type, but no such value.
    fn read(raw: &Raw) -> Result<Self, Option<String>>;

    /// Shows it, as the file would say it.
    fn show(&self) -> Json;
}

impl Value for String {
    fn expected() -> String {
        "text in quotes: \"...\"".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Text(text) | Raw::Loose(text) if text.is_empty() => Err(Some("is empty".to_owned())),
            Raw::Text(text) | Raw::Loose(text) => Ok(text.clone()),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(self.as_str())
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false, without quotes".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Loose(text) => text.parse().map_err(|_| None),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(*self)
    }
}

impl Value for usize {
    fn expected() -> String {
        "a whole number without quotes: 1000 or 100_000_000".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Integer(value) => Self::try_from(*value).map_err(|_| Some("is negative or too large".to_owned())),
            Raw::Loose(text) => text.replace('_', "").parse().map_err(|_| None),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(*self)
    }
}

impl Value for Duration {
    fn expected() -> String {
        "a duration in quotes: \"250ms\", \"90s\", \"10m\", \"1h\", \"14d\"".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Text(text) | Raw::Loose(text) => parse_span(text).map_err(|_| Some("is no duration".to_owned())),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(format_span(*self))
    }
}

impl Value for Span {
    fn expected() -> String {
        Duration::expected()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        Duration::read(raw).map(Self)
    }

    fn show(&self) -> Json {
        self.0.show()
    }
}

impl Value for SocketAddr {
    fn expected() -> String {
        "an IP address and a port in quotes: \"127.0.0.1:8080\", \"[::]:8080\"".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Text(text) | Raw::Loose(text) => {
                text.parse().map_err(|_| Some("is no IP address with a port".to_owned()))
            }
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(self.to_string())
    }
}

/// A list of texts; empty if nothing stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl Value for Texts {
    fn expected() -> String {
        "a list of texts in brackets: [\"https://api.example\"]".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::List(items) => Ok(Self(items.clone())),
            Raw::Loose(text) if text.is_empty() => Ok(Self::default()),
            Raw::Loose(text) => Ok(Self(text.split(',').map(|item| item.trim().to_owned()).collect())),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(self.0.as_slice())
    }
}

/// A value out of a short list of words.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Choice> Value for T {
    fn expected() -> String {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        format!("one of {}", words.join(", "))
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Text(text) | Raw::Loose(text) => (T::WORDS.iter().find(|(word, _)| word == text))
                .map(|(_, value)| *value)
                .ok_or_else(|| Some("is not one of the words".to_owned())),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        Json::from(T::WORDS.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word))
    }
}

impl<T: Choice> Value for Vec<T> {
    fn expected() -> String {
        let word = T::WORDS.first().map_or("", |(word, _)| word);
        format!("a list in brackets: [\"{word}\"], each {}", T::expected())
    }

    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        let read = |text: &str| T::read(&Raw::Text(text.to_owned()));
        match raw {
            Raw::List(items) => items.iter().map(|item| read(item)).collect(),
            Raw::Loose(text) => text.split(',').map(|item| read(item.trim())).collect(),
            _ => Err(None),
        }
    }

    fn show(&self) -> Json {
        self.iter().map(Value::show).collect()
    }
}

impl Choice for Algorithm {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ES256", Self::Es256), ("ES384", Self::Es384), ("EdDSA", Self::EdDsa), ("RS256", Self::Rs256)];
}

impl Choice for TokenTyp {
    const WORDS: &'static [(&'static str, Self)] = &[("at+jwt", Self::AtJwt), ("JWT", Self::Jwt)];
}

impl Choice for Durability {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Self::Always), ("batch", Self::Batch), ("none", Self::None)];
}

impl Choice for Rotation {
    const WORDS: &'static [(&'static str, Self)] = &[("automatic", Self::Automatic), ("manual", Self::Manual)];
}

impl Choice for Behind {
    const WORDS: &'static [(&'static str, Self)] = &[("warn", Self::Warn), ("wait", Self::Wait)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// Where users come from; a word with one choice, so that the next one is not a surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserSource {
    /// `users.toml`.
    File,
    /// A database.
    Sql,
}

impl Choice for UserSource {
    const WORDS: &'static [(&'static str, Self)] = &[("file", Self::File), ("sql", Self::Sql)];
}

/// Who wrote the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserPreset {
    /// Django; another table or other columns by their keys.
    Django,
    /// Somebody else: the operator writes the queries.
    Queries,
}

impl Choice for UserPreset {
    const WORDS: &'static [(&'static str, Self)] = &[("django", Self::Django), ("queries", Self::Queries)];
}
