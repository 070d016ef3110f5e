//! A row as the directory reads it: a few columns by name, whatever engine they come from.

use crate::protocol::time::UnixSeconds;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Null,
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// Seconds since 1970, from a column with a date and a time.
    Seconds(i64),
    /// Of a type that no column of ours has.
    Other,
}

/// The columns of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(String, Field)>);

impl Row {
    fn field(&self, column: &str) -> &Field {
        self.0.iter().find(|(name, _)| name == column).map_or(&Field::Null, |(_, field)| field)
    }

    /// A text, or a number as a text; `None` if it is missing, null or neither.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        match self.field(column) {
            Field::Text(text) => Some(text.clone()),
            Field::Integer(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Yes or no, also as 1 or 0, which is what SQLite and MySQL keep.
    pub(super) fn boolean(&self, column: &str) -> Result<Option<bool>, ()> {
        match self.field(column) {
            Field::Null => Ok(None),
            Field::Boolean(value) => Ok(Some(*value)),
            Field::Integer(0) => Ok(Some(false)),
            Field::Integer(1) => Ok(Some(true)),
            _ => Err(()),
        }
    }

    /// A moment; 1970 if it is missing or null.
    pub(super) fn seconds(&self, column: &str) -> Result<UnixSeconds, ()> {
        match self.field(column) {
            Field::Null => Ok(UnixSeconds(0)),
            Field::Integer(seconds) | Field::Seconds(seconds) => {
                u64::try_from(*seconds).map(UnixSeconds).map_err(|_| ())
            }
            _ => Err(()),
        }
    }
}
