//! The configuration file as it is written: sections, keys and values, each with its place.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::ambient::document::{self, FileError};
use crate::config::error::{ConfigError, Place, Problem};

/// A value as it stands somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// An array of strings.
    List(Vec<String>),
    /// Something no setting is; what TOML calls it.
    Other(&'static str),
    /// Text from the environment or a flag: its type is whatever the setting wants.
    Loose(String),
}

impl Raw {
    /// What it is, in a word, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(name) => name,
            Self::Loose(_) => "text",
        }
    }
}

/// One key of the file.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Empty for keys above the first section.
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) value: Raw,
    pub(crate) value_at: Range<usize>,
}

/// The tables whose members are tables with names of the operator's own: `[verify.policies.NAME]`.
const NAMED: [(&str, &str); 1] = [("verify", "policies")];

/// The file, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) entries: Vec<Entry>,
    pub(crate) sections: Vec<(String, Range<usize>)>,
    /// What is no TOML at all.
    pub(crate) problems: Vec<Problem>,
}

impl Written {
    fn take(&mut self, section: &str, key: &toml::Spanned<toml::de::DeString<'_>>, value: &toml::Spanned<DeValue<'_>>) {
        let DeValue::Table(named) = value.get_ref() else { return self.entries.push(entry(section, key, value)) };
        if !NAMED.contains(&(section, key.get_ref())) {
            return self.entries.push(entry(section, key, value));
        }
        for (name, member) in named {
            let own = format!("{section}.{}.{}", key.get_ref(), name.get_ref());
            match member.get_ref() {
                DeValue::Table(settings) => {
                    self.sections.push((own.clone(), name.span()));
                    for (key, value) in settings {
                        self.entries.push(entry(&own, key, value));
                    }
                }
                // Not a table: told as an unknown key of the section that stands for all the names.
                _ => self.entries.push(entry(&format!("{section}.{}", key.get_ref()), name, member)),
            }
        }
    }
}

/// Reads the text of the file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    document::read(path).map_err(|error| {
        let problem = match error {
            FileError::Missing { .. } => Problem::new(Place::Whole, "there is no such file")
                .hint("`mintgate init` writes one; --config or MINTGATE_CONFIG names another place"),
            FileError::Unreadable { source, .. } => Problem::new(Place::Whole, format!("cannot be read: {source}")),
            FileError::Malformed { line, column, detail, .. } => {
                Problem::new(Place::File { line, column, width: 1, excerpt: String::new() }, detail)
            }
            other => Problem::new(Place::Whole, other.to_string()),
        };
        ConfigError { path: path.to_owned(), problems: vec![problem] }
    })
}

/// Takes the text apart. Broken lines become problems; the rest is read all the same.
pub(crate) fn parse(text: &str) -> Written {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut written = Written::default();
    // What follows a broken line may be read wrongly, so only the first is reported.
    if let Some(error) = errors.first() {
        let span = error.span().unwrap_or(0..0);
        let problem = Problem::new(Place::in_file(text, &span), format!("not TOML: {}", error.message()));
        written.problems.push(match text.get(span) {
            Some(found) if found.contains(['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}']) => {
                problem.hint("use straight quotes: \"...\"")
            }
            _ => problem.hint("a line is `key = value`; text is in \"quotes\""),
        });
    }
    for (key, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) => {
                written.sections.push((key.get_ref().to_string(), key.span()));
                for (own, value) in table {
                    written.take(key.get_ref(), own, value);
                }
            }
            _ => written.entries.push(entry("", key, value)),
        }
    }
    // In the order of the file, so that the first problem told is the first one met.
    written.entries.sort_by_key(|entry| entry.key_at.start);
    written
}

fn entry(section: &str, key: &toml::Spanned<toml::de::DeString<'_>>, value: &toml::Spanned<DeValue<'_>>) -> Entry {
    Entry {
        section: section.to_owned(),
        key: key.get_ref().to_string(),
        key_at: key.span(),
        value: raw(value.get_ref()),
        value_at: value.span(),
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("an integer too large to use"), Raw::Integer),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Float(_) => Raw::Other("a number with a point"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map_or(Raw::Other("a list of something else than strings"), Raw::List)
        }
    }
}
