//! Who has fetched which key set: `keys census`, and what `activate` and `rotate --now` ask before they go on.

use crate::cli::failure::{Exit, Failure};
use crate::cli::gateway;
use crate::cli::keys::Desk;
use crate::keys::census::survey::{Standing, Survey, Surveyed};
use crate::keys::lifecycle::KeyUse;
use crate::protocol::id::Kid;
use crate::protocol::time::format_span;

/// Most names in one sentence; `keys census` has all of them.
const NAMES_SHOWN_MAX: usize = 20;

/// `keys census`.
pub(super) fn run(desk: &Desk) -> Result<(), Failure> {
    let answer = gateway::look(desk.state, "/admin/census")?;
    if desk.context.json {
        return desk.context.output.json(&answer);
    }
    let survey = read(answer)?;
    let output = &desk.context.output;
    if survey.verifiers.is_empty() {
        return output.line("nobody has fetched the key set or the revocation feed since the gateway started");
    }
    let rows: Vec<Vec<String>> = survey.verifiers.iter().map(|one| row(one, &survey)).collect();
    output.table(&["VERIFIER", "LAST SEEN", "KEY SET", "LACKS"], &rows)?;
    for key in &survey.keys {
        let (seen, of, plural) = (key.seen_by, key.of, if key.of == 1 { "verifier has" } else { "verifiers have" });
        output.line(&format!("{seen} of {of} {plural} seen the {} key {} {}", key.state, key.algorithm, key.kid))?;
    }
    for one in survey.verifiers.iter().filter(|one| !one.still_trusts.is_empty()) {
        let kids: Vec<&str> = one.still_trusts.iter().map(Kid::as_str).collect();
        output.line(&format!("{} still trusts the tainted key {}", one.name, kids.join(", ")))?;
    }
    if survey.dropped > 0 {
        output.line(&format!("{} verifiers were dropped since the start: see keys.verifiers_max", survey.dropped))?;
    }
    Ok(())
}

fn row(one: &Surveyed, survey: &Survey) -> Vec<String> {
    let lacks = |kid: &Kid| {
        let key = survey.keys.iter().find(|key| key.kid == *kid);
        format!("{} {kid}", key.map_or("", |key| key.state.as_str()))
    };
    let standing = match one.key_set {
        Standing::Behind if !one.counts => "behind (asked once)",
        standing => standing.name(),
    };
    let ago = format!("{} ago", format_span(survey.at.since(one.last_seen)));
    let lacking: Vec<String> = one.lacks.iter().map(lacks).collect();
    vec![one.name.clone(), ago, standing.to_owned(), lacking.join(", ")]
}

fn read(answer: serde_json::Value) -> Result<Survey, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {error}")))
}

/// What the running gateway says about a key that shall sign.
#[derive(Default)]
pub(super) struct Outlook {
    /// Labelled verifiers that lack it, in a sentence.
    pub(super) behind: Option<String>,
    /// Whether the configuration says to wait for those.
    pub(super) waits: bool,
    /// What else a person should know: others that lack it, or that nobody could be asked.
    pub(super) remarks: Vec<String>,
}

impl Outlook {
    /// Everything, for somebody who goes on all the same.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.behind.iter().chain(&self.remarks).cloned().collect()
    }
}

/// Asks the running gateway who lacks a key; `None` stands for a key that is yet to be made. Never fails: where nobody
/// answers, the overlap alone decides. No verifier sees sealing keys, so nobody is asked about them.
pub(super) fn outlook(desk: &Desk, usage: KeyUse, kid: Option<&Kid>) -> Outlook {
    if usage == KeyUse::Seal {
        return Outlook::default();
    }
    let survey = match gateway::look(desk.state, "/admin/census").and_then(read) {
        Ok(survey) => survey,
        Err(failure) => {
            let why = failure.message;
            let remark = format!("could not ask a running gateway which verifiers have seen the key: {why}");
            return Outlook { remarks: vec![remark], ..Outlook::default() };
        }
    };
    let name = kid.map_or("the new key".to_owned(), |kid| format!("key {kid}"));
    let (labelled, strangers) = survey.lacking(kid);
    let remarks = (!strangers.is_empty())
        .then(|| format!("verifiers without a label that have not fetched {name}: {}", sentence(&strangers)));
    Outlook {
        behind: (!labelled.is_empty())
            .then(|| format!("verifiers that have not fetched {name}: {}", sentence(&labelled))),
        waits: survey.wait_max > 0,
        remarks: remarks.into_iter().collect(),
    }
}

fn sentence(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(NAMES_SHOWN_MAX).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more (mintgate keys census)", shown.join(", ")),
    }
}
