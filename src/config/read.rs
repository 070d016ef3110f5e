//! Takes settings out of what is written, one by one; what nobody took at the end is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::config::error::{Place, Problem};
use crate::config::value::Value;
use crate::config::written::{Entry, Raw, Written};
use crate::config::{ENVIRONMENT_PREFIX, Inputs, OTHER_VARIABLES, Origin, Setting};

/// How alike two words are when one was probably meant: 0 (nothing) to 1 (the same).
const ALIKE_MIN: f64 = 0.84;

/// Takes settings and notes where each came from and what is wrong.
pub(crate) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    written: Written,
    inputs: &'a Inputs,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
    known: Vec<(&'static str, &'static str)>,
    /// Sections with names of the operator's own, all taken: `verify.policies.`.
    named: Option<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &'a Path, text: &'a str, mut written: Written, inputs: &'a Inputs) -> Self {
        let problems = std::mem::take(&mut written.problems);
        Self { path, text, written, inputs, settings: Vec::new(), problems, known: Vec::new(), named: None }
    }

    /// The value of a setting, or its default.
    pub(crate) fn take<T: Value>(&mut self, section: &'static str, key: &'static str, default: T) -> T {
        self.take_checked(section, key, default, |_| Ok(()))
    }

    /// As [`Reader::take`]; `check` completes the sentence "the value ...".
    pub(crate) fn take_checked<T: Value>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        match self.take_if_given(section, key, check) {
            Some(value) => value,
            None => {
                self.note_default(section, key, default.show());
                default
            }
        }
    }

    /// The value of a setting that may be absent.
    pub(crate) fn take_optional<T: Value>(
        &mut self,
        section: &'static str,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value = self.take_if_given(section, key, check);
        if value.is_none() {
            self.note_default(section, key, Json::Null);
        }
        value
    }

    /// A path; a relative one starts at the configuration file's directory.
    pub(crate) fn take_path(&mut self, section: &'static str, key: &'static str, default: &str) -> PathBuf {
        let written = self.take(section, key, default.to_owned());
        self.resolve(&written)
    }

    /// A path as written, from the configuration file's directory.
    pub(crate) fn resolve(&self, written: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(written)
    }

    /// The sections `prefix.NAME`, each with texts under some of `keys`; from the file alone.
    pub(crate) fn take_named(
        &mut self,
        prefix: &'static str,
        keys: &[&str],
    ) -> Vec<(String, BTreeMap<String, String>)> {
        self.named = Some(prefix);
        let inside = |section: &str| section.strip_prefix(prefix).map(str::to_owned);
        let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (section, at) in &self.written.sections {
            let Some(name) = inside(section).and_then(|rest| rest.strip_prefix('.').map(str::to_owned)) else {
                continue;
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                let problem =
                    Problem::new(Place::in_file(self.text, at), format!("`{name}` is no name for [{prefix}]"));
                self.problems.push(problem.hint("a name is 1 to 64 letters, digits, - and _"));
            }
            found.insert(name, BTreeMap::new());
        }
        for entry in &self.written.entries {
            let Some(rest) = inside(&entry.section) else { continue };
            let place = Place::in_file(self.text, &entry.key_at);
            let text = match &entry.value {
                Raw::Text(text) if keys.contains(&entry.key.as_str()) => text.clone(),
                other if keys.contains(&entry.key.as_str()) => {
                    let message = format!("`{}.{}` is {}", entry.section, entry.key, other.describe());
                    self.problems.push(Problem::new(place, message).hint("expected text in quotes"));
                    continue;
                }
                _ => {
                    let message = format!("unknown key `{}` in [{}]", entry.key, entry.section);
                    self.problems.push(Problem::new(place, message).hint(format!("it has {}", keys.join(", "))));
                    continue;
                }
            };
            let (line, _) = crate::ambient::document::position(self.text, entry.value_at.start);
            self.settings.push(Setting {
                key: format!("{}.{}", entry.section, entry.key),
                value: Json::from(text.as_str()),
                origin: Origin::File { path: self.path.to_owned(), line },
            });
            if let Some(name) = rest.strip_prefix('.') {
                found.entry(name.to_owned()).or_default().insert(entry.key.clone(), text);
            }
        }
        found.into_iter().collect()
    }

    fn is_named(&self, section: &str) -> bool {
        self.named.is_some_and(|prefix| section.starts_with(prefix))
    }

    fn take_if_given<T: Value>(
        &mut self,
        section: &'static str,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.known.push((section, key));
        let (raw, origin, mut place) = self.find(section, key)?;
        let name = dotted(section, key);
        if let (true, Place::File { excerpt, .. }) = (T::IS_SECRET, &mut place) {
            excerpt.clear();
        }
        let read = T::read(&raw).map_err(|why| match why {
            Some(why) => Problem::new(place.clone(), format!("the value of `{name}` {why}"))
                .hint(format!("expected {}", T::expected())),
            None => Problem::new(place.clone(), format!("`{name}` is {}", raw.describe()))
                .hint(format!("expected {}", T::expected())),
        });
        let checked = read.and_then(|value| match check(&value) {
            Ok(()) => Ok(value),
            Err(why) => Err(Problem::new(place, format!("the value of `{name}` {why}"))),
        });
        match checked {
            Ok(value) => {
                self.settings.push(Setting { key: name, value: value.show(), origin });
                Some(value)
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Flags over environment over file.
    fn find(&self, section: &str, key: &str) -> Option<(Raw, Origin, Place)> {
        let name = dotted(section, key);
        if let Some(value) = self.inputs.flags.get(&name) {
            return Some((Raw::Loose(value.clone()), Origin::Flag, Place::Flag(name)));
        }
        let variable = variable(section, key);
        if let Some(value) = self.inputs.environment.get(&variable) {
            let place = Place::Environment(variable.clone());
            return Some((Raw::Loose(value.clone()), Origin::Environment(variable), place));
        }
        let entry = self.entry(section, key)?;
        let place = Place::in_file(self.text, &entry.value_at);
        let (line, _) = crate::ambient::document::position(self.text, entry.value_at.start);
        Some((entry.value.clone(), Origin::File { path: self.path.to_owned(), line }, place))
    }

    fn entry(&self, section: &str, key: &str) -> Option<&Entry> {
        self.written.entries.iter().find(|entry| entry.section == section && entry.key == key)
    }

    fn note_default(&mut self, section: &str, key: &str, value: Json) {
        self.settings.push(Setting { key: dotted(section, key), value, origin: Origin::Default });
    }

    /// Notes a problem with a setting that was taken: where it was set, or with the file as a whole.
    pub(crate) fn refuse(&mut self, section: &str, key: &str, message: &str, hint: &str) {
        let place = self.find(section, key).map_or(Place::Whole, |(_, _, place)| place);
        self.problems.push(Problem::new(place, message).hint(hint));
    }

    /// Whether a setting was refused already, so that what follows from it need not be told.
    pub(crate) fn is_given(&self, section: &str, key: &str) -> bool {
        self.find(section, key).is_some()
    }

    /// Everything is taken: what is left is unknown. Settings, warnings, problems.
    pub(crate) fn finish(mut self) -> (Vec<Setting>, Vec<String>, Vec<Problem>) {
        let sections: BTreeSet<&'static str> =
            self.known.iter().map(|(section, _)| *section).filter(|section| !section.is_empty()).collect();
        let mut unknown = Vec::new();
        for (section, at) in &self.written.sections {
            if !sections.contains(section.as_str()) && !self.is_named(section) {
                let place = Place::in_file(self.text, at);
                let problem = Problem::new(place, format!("unknown section [{section}]"));
                unknown.push(match self.meant_section(section, &sections) {
                    Some(hint) => problem.hint(hint),
                    None => problem.hint(format!("sections are {}", join(sections.iter().copied()))),
                });
            }
        }
        for entry in &self.written.entries {
            let is_known = self.known.iter().any(|(section, key)| *section == entry.section && *key == entry.key);
            let in_known_section = entry.section.is_empty() || sections.contains(entry.section.as_str());
            if !is_known && in_known_section && !self.is_named(&entry.section) {
                unknown.push(self.unknown_key(entry, &sections));
            }
        }
        for name in self.inputs.flags.keys() {
            if !self.known.iter().any(|(section, key)| dotted(section, key) == *name) {
                unknown.push(Problem::new(Place::Flag(name.clone()), "there is no such setting"));
            }
        }
        self.problems.extend(unknown);
        self.problems.sort_by_key(|problem| match problem.place {
            Place::File { line, column, .. } => (line, column),
            Place::Environment(_) | Place::Flag(_) | Place::Whole => (usize::MAX, 0),
        });
        let warnings = self.unknown_variables();
        (self.settings, warnings, self.problems)
    }

    fn unknown_key(&self, entry: &Entry, sections: &BTreeSet<&'static str>) -> Problem {
        let place = Place::in_file(self.text, &entry.key_at);
        let (name, inside) = (&entry.key, &entry.section);
        let message = match inside.as_str() {
            "" => format!("unknown key `{name}`"),
            section => format!("unknown key `{name}` in [{section}]"),
        };
        let problem = Problem::new(place, message);
        if inside.is_empty() && sections.contains(name.as_str()) {
            return problem.hint(format!("[{name}] is a section: write [{name}] on a line of its own, its keys below"));
        }
        let wanted = name.to_lowercase().replace('-', "_");
        // Here first, then the same word elsewhere, then a similar one elsewhere.
        let here = self.alike(&wanted, |section| section == inside);
        let elsewhere = self.known.iter().find(|(_, key)| **key == wanted);
        let similar = self.alike(&wanted, |section| section != inside);
        match here.or(elsewhere).or(similar) {
            Some((section, key)) if section == inside => problem.hint(format!("did you mean `{key}`?")),
            Some(("", key)) => problem.hint(format!("did you mean `{key}`, above the first section?")),
            Some((section, key)) => problem.hint(format!("did you mean `{key}` in [{section}]?")),
            None => {
                let keys = self.known.iter().filter(|(section, _)| section == inside).map(|(_, key)| *key);
                let keys = join(keys);
                match inside.as_str() {
                    "" => problem.hint(format!("above the first section stands {keys}; all else is in sections")),
                    section => problem.hint(format!("[{section}] has {keys}")),
                }
            }
        }
    }

    /// The known key most like `wanted` among the sections that pass.
    fn alike(&self, wanted: &str, among: impl Fn(&str) -> bool) -> Option<&(&'static str, &'static str)> {
        let scored =
            self.known.iter().filter(|(section, _)| among(section)).map(|known| (likeness(wanted, known.1), known));
        scored.filter(|(score, _)| *score >= ALIKE_MIN).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
    }

    fn meant_section(&self, section: &str, sections: &BTreeSet<&'static str>) -> Option<String> {
        let wanted = section.to_lowercase();
        if let Some((known, key)) = self.known.iter().find(|(_, key)| *key == wanted) {
            return Some(match *known {
                "" => format!("`{key}` is a key, not a section: write {key} = \"...\" above the first section"),
                known => format!("`{key}` is a key of [{known}], not a section"),
            });
        }
        let scored = sections.iter().map(|known| (likeness(&wanted, known), known));
        let best = scored.filter(|(score, _)| *score >= ALIKE_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, known)| format!("did you mean [{known}]?"))
    }

    /// A variable that is nearly ours is told, but stops nothing: the environment belongs to others too.
    fn unknown_variables(&self) -> Vec<String> {
        let names: Vec<String> = self.known.iter().map(|(section, key)| variable(section, key)).collect();
        let ours = self.inputs.environment.keys().filter(|name| name.starts_with(ENVIRONMENT_PREFIX));
        let unknown = ours.filter(|name| !names.contains(name) && !OTHER_VARIABLES.contains(&name.as_str()));
        unknown
            .map(|name| {
                let scored = names.iter().map(|known| (likeness(name, known), known));
                let best = scored.filter(|(score, _)| *score >= ALIKE_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
                let meant = best.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
                format!("environment variable {name} is not a setting and is ignored{meant}")
            })
            .collect()
    }
}

fn likeness(wanted: &str, known: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(wanted, known).max(strsim::jaro_winkler(wanted, known) - 0.05)
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// `section.key`, or the key alone above the first section.
pub(crate) fn dotted(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// The environment variable of a setting.
fn variable(section: &str, key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", dotted(section, key).replace('.', "_").to_uppercase())
}
