//! `[status_list]`.

use std::sync::Arc;
use std::time::Duration;

use crate::client::file::check_audience;
use crate::config::read::Reader;
use crate::config::value::Texts;
use crate::issuer::StatusListSettings;
use crate::protocol::claims::AUDIENCES_MAX;
use crate::protocol::id::Audience;
use crate::protocol::time::format_span;

/// A list that is kept for a shorter time is asked for more often than it is built.
const TTL_MIN: Duration = Duration::from_secs(2);
const TTL_MAX: Duration = Duration::from_secs(3_600);

pub(crate) fn status_list(reader: &mut Reader<'_>) -> Arc<StatusListSettings> {
    let standard = StatusListSettings::default();
    let audiences = reader.take_checked("status_list", "audiences", Texts::default(), |texts: &Texts| {
        if texts.0.len() > AUDIENCES_MAX {
            return Err(format!("has more than {AUDIENCES_MAX} members"));
        }
        let bad = texts.0.iter().find_map(|text| check_audience(text).err().map(|why| (text, why)));
        bad.map_or(Ok(()), |(text, why)| Err(format!("does not fit: \"{text}\" {why}")))
    });
    let ttl = reader.take_checked("status_list", "ttl", standard.ttl, |ttl: &Duration| {
        if !(TTL_MIN..=TTL_MAX).contains(ttl) {
            return Err(format!("is out of bounds: {} to {}", format_span(TTL_MIN), format_span(TTL_MAX)));
        }
        // draft-ietf-oauth-status-list-17, section 5.1: `ttl` is told in seconds.
        if ttl.subsec_nanos() == 0 { Ok(()) } else { Err("is not in whole seconds".to_owned()) }
    });
    let entries_max = reader.take_checked("status_list", "entries_max", standard.entries_max, |entries: &usize| {
        if (1_000..=100_000_000).contains(entries) {
            return Ok(());
        }
        Err("is out of bounds: 1000 to 100000000".to_owned())
    });
    let audiences = audiences.0.into_iter().map(Audience::from).collect();
    Arc::new(StatusListSettings { audiences, ttl, entries_max })
}
