//! `mintgate doctor verifier`: what a deployed verifier really accepts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cli::doctor::cases::{Case, Expected, Forge, ForgeError, Sent, new_key};
use crate::cli::doctor::issuer::{Published, serve};
use crate::cli::doctor::visit::{Seen, Visit, Way};
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Context, runtime};
use crate::config::check_issuer;
use crate::keys::SigningKey;
use crate::protocol::time::{Span, format_span};

/// What the help says behind the options.
pub const AFTER_HELP: &str = "Let the verifier trust the issuer that is printed, on a route made for this test; the \
    tests begin when a good token passes. Take the trust away afterwards.\n\
    Exit codes: 0 all right, 1 it refuses what is good or floods the issuer, 3 the good token never passed, 4 it accepts \
    what it must refuse";

/// Between two looks whether the good token passes.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a person hears that nothing has happened yet.
const REMARK_EVERY: Duration = Duration::from_secs(10);
/// Tokens with invented keys.
const INVENTED: usize = 20;
/// Fetches of the key set that these may cost: one, and one more where two processes share the load.
const FETCHES_MAX: usize = 4;

/// Whom to look at, and how it is reached.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A protected route: http:// on this machine or a private network, https:// anywhere
    #[arg(value_name = "URL")]
    pub url: String,
    /// Where the throw-away issuer listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The issuer as the verifier reaches it, if not by the address it listens on
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The audience that the route demands
    #[arg(long, default_value = "https://doctor.mintgate.example")]
    pub audience: String,
    /// The scope that the route demands
    #[arg(long, default_value = "")]
    pub scope: String,
    /// The `typ` of good tokens
    #[arg(long, default_value = "at+jwt")]
    pub typ: String,
    /// The header that carries the token
    #[arg(long, value_name = "NAME", default_value = "Authorization")]
    pub header: String,
    /// What stands before the token; empty for the token alone
    #[arg(long, value_name = "WORD", default_value = "Bearer")]
    pub scheme: String,
    /// The method of the requests
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// PEM: who signed the verifier's certificate, if it is nobody the system trusts
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How long to wait until the good token passes
    #[arg(long, value_name = "SPAN", default_value = "5m")]
    pub wait: Span,
    /// How long the verifier may take to learn of a new key; the key set may be kept for 10 s
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    pub rotation_wait: Span,
}

/// What was found in one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    case: String,
    expected: Expected,
    got: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Right,
    /// It let a bad token in.
    WronglyAccepted,
    /// It kept a good token out.
    WronglyRefused,
    /// Refused by breaking down, not by an answer that says so.
    Odd,
    /// The key set was fetched more often than it had to be.
    Floods,
    /// Either is defensible.
    Noted,
}

impl Verdict {
    fn shown(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::WronglyAccepted => "WRONGLY ACCEPTED",
            Self::WronglyRefused => "WRONGLY REFUSED",
            Self::Odd => "refused, oddly",
            Self::Floods => "FLOODS THE ISSUER",
            Self::Noted => "noted",
        }
    }
}

impl From<ForgeError> for Failure {
    fn from(error: ForgeError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

/// Serves a throw-away issuer, waits until the verifier trusts it, sends every case, and prints what it found.
///
/// # Errors
/// `Refused` if anything bad was accepted, `Failed` if anything good was refused, `NotReady` if the good token never
/// passed, `Usage` for options that cannot be used.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let visit = Visit::new(&Way { url: &args.url, method: &args.method, header: &args.header, ca: args.ca.as_ref() })?;
    if let Some(issuer) = &args.issuer {
        check_issuer(issuer).map_err(|why| Failure::new(Exit::Usage, format!("--issuer: it {why}")))?;
    }
    let findings = runtime()?.block_on(examine(args, &visit, context))?;
    report(&findings, context)
}

/// What stays the same through all cases.
struct Bench<'a> {
    args: &'a Args,
    visit: &'a Visit,
    context: &'a Context<'a>,
    issuer: Arc<str>,
    published: Arc<Published>,
    stranger: SigningKey,
}

async fn examine(args: &Args, visit: &Visit, context: &Context<'_>) -> Result<Vec<Finding>, Failure> {
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot listen on {}: {error}", args.listen)))?;
    let issuer = match &args.issuer {
        Some(issuer) => issuer.trim_end_matches('/').to_owned(),
        None => format!("http://{}", listener.local_addr()?),
    };
    let forge_failed = |error: crate::keys::signing::KeyError| Failure::from(ForgeError::from(error));
    let bench = Bench {
        args,
        visit,
        context,
        issuer: Arc::from(issuer),
        published: Arc::default(),
        stranger: new_key().map_err(forge_failed)?,
    };
    let (first, second) = (new_key().map_err(forge_failed)?, new_key().map_err(forge_failed)?);
    bench.published.add(&first);
    tokio::spawn(serve(listener, Arc::clone(&bench.published), Arc::clone(&bench.issuer)));
    bench.say_what_to_trust();
    bench.wait_for_trust(&first).await?;

    let mut findings = vec![bench.judge(&bench.good_case(&first, "a good token")?).await];
    for case in bench.forge(&first).cases()? {
        findings.push(bench.judge(&case).await);
    }
    findings.push(bench.bait());
    bench.rotation(&first, &second, &mut findings).await?;
    findings.push(bench.invented_keys(&first).await?);
    findings.push(bench.judge(&bench.good_case(&first, "a good token, after all this")?).await);
    Ok(findings)
}

impl Bench<'_> {
    fn forge<'b>(&'b self, key: &'b SigningKey) -> Forge<'b> {
        Forge {
            key,
            stranger: &self.stranger,
            issuer: &self.issuer,
            audience: &self.args.audience,
            scope: &self.args.scope,
            typ: &self.args.typ,
            entropy: self.context.entropy,
            now: self.context.clock.now(),
        }
    }

    fn good_case(&self, key: &SigningKey, name: &'static str) -> Result<Case, ForgeError> {
        Ok(Case { name, expected: Expected::Pass, sent: Sent::Token(self.forge(key).good()?) })
    }

    fn say_what_to_trust(&self) {
        let (issuer, audience) = (&self.issuer, &self.args.audience);
        self.context.output.remark(&format!(
            "let the verifier trust, for this test alone:\n  issuer    {issuer}\n  key set   {issuer}/jwks.json\n  \
             audience  {audience}\n  algorithm ES256, typ {}\nthe tests begin when {} lets a good token in",
            self.args.typ, self.args.url
        ));
    }

    async fn ask(&self, sent: &Sent) -> Seen {
        let with_scheme = |token: &str| format!("{} {token}", self.args.scheme).trim_start().to_owned();
        match sent {
            Sent::Token(token) => self.visit.ask(Some(&with_scheme(token)), None).await,
            Sent::Header(value) => self.visit.ask(value.as_deref(), None).await,
            Sent::Query(token) => self.visit.ask(None, Some(&format!("access_token={token}"))).await,
        }
    }

    /// Asks again and again until a good token passes; says now and then what it gets instead.
    async fn until_passes(
        &self,
        key: &SigningKey,
        what: &str,
        patience: Duration,
    ) -> Result<(Seen, Duration), Failure> {
        let clock = self.context.clock;
        let began = clock.monotonic();
        let mut remarked = began;
        loop {
            let seen = self.ask(&Sent::Token(self.forge(key).good()?)).await;
            let waited = clock.monotonic().saturating_sub(began);
            if is_pass(&seen) || waited >= patience {
                return Ok((seen, waited));
            }
            if clock.monotonic().saturating_sub(remarked) >= REMARK_EVERY {
                remarked = clock.monotonic();
                let fetches = self.published.key_set_fetches();
                let (got, after, limit) = (shown(&seen), waited.as_secs(), format_span(patience));
                self.context
                    .output
                    .remark(&format!("{what}: {got} after {after} s of {limit}; key set fetched {fetches} times"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn wait_for_trust(&self, key: &SigningKey) -> Result<(), Failure> {
        let (seen, _) = self.until_passes(key, "waiting for the good token", self.args.wait.0).await?;
        if is_pass(&seen) {
            return Ok(());
        }
        let hint = match self.published.key_set_fetches() {
            0 => {
                "the key set was never fetched: can the verifier reach the issuer's address? see --listen and --issuer"
            }
            _ => {
                "the key set was fetched: do issuer, audience, algorithm and typ agree? see --audience, --typ, --scope"
            }
        };
        Err(Failure::new(Exit::NotReady, format!("a good token never passed: {}", shown(&seen))).hint(hint))
    }

    async fn judge(&self, case: &Case) -> Finding {
        let seen = self.ask(&case.sent).await;
        let verdict = verdict(case.expected, &seen);
        Finding { case: case.name.to_owned(), expected: case.expected, got: shown(&seen), verdict }
    }

    /// No token may make a verifier fetch what it names (RFC 8725 section 3.10).
    fn bait(&self) -> Finding {
        let count = self.published.bait_fetches();
        let verdict = if count == 0 { Verdict::Right } else { Verdict::WronglyAccepted };
        Finding {
            case: "addresses in tokens are not fetched".to_owned(),
            expected: Expected::Refuse,
            got: format!("{count} fetched"),
            verdict,
        }
    }

    /// A new key is published, then signs; the old one stays published.
    async fn rotation(
        &self,
        first: &SigningKey,
        second: &SigningKey,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Failure> {
        self.published.add(second);
        let patience = self.args.rotation_wait.0;
        let (seen, waited) = self.until_passes(second, "waiting for the new key to be known", patience).await?;
        findings.push(Finding {
            case: "a new key, published, then signing".to_owned(),
            expected: Expected::Pass,
            got: format!("{} after {} s", shown(&seen), waited.as_secs()),
            verdict: verdict(Expected::Pass, &seen),
        });
        findings.push(self.judge(&self.good_case(first, "the old key, still published")?).await);
        Ok(())
    }

    /// Everybody can invent key ids: they must not cost the issuer a fetch each.
    async fn invented_keys(&self, key: &SigningKey) -> Result<Finding, Failure> {
        let before = self.published.key_set_fetches();
        let mut worst = Verdict::Right;
        for _ in 0..INVENTED {
            let seen = self.ask(&Sent::Token(self.forge(key).unknown_key()?)).await;
            match verdict(Expected::Refuse, &seen) {
                Verdict::WronglyAccepted => worst = Verdict::WronglyAccepted,
                Verdict::Odd if worst == Verdict::Right => worst = Verdict::Odd,
                _ => {}
            }
        }
        let fetches = self.published.key_set_fetches() - before;
        if worst != Verdict::WronglyAccepted && fetches > FETCHES_MAX {
            worst = Verdict::Floods;
        }
        Ok(Finding {
            case: format!("{INVENTED} invented keys"),
            expected: Expected::Refuse,
            got: format!("{fetches} fetches of the key set"),
            verdict: worst,
        })
    }
}

fn is_pass(seen: &Seen) -> bool {
    matches!(seen, Ok(200..=299))
}

fn shown(seen: &Seen) -> String {
    match seen {
        Ok(status) => status.to_string(),
        Err(why) => why.clone(),
    }
}

fn verdict(expected: Expected, seen: &Seen) -> Verdict {
    match (expected, is_pass(seen)) {
        (Expected::Either, _) => Verdict::Noted,
        (Expected::Pass, true) => Verdict::Right,
        (Expected::Pass, false) => Verdict::WronglyRefused,
        (Expected::Refuse, true) => Verdict::WronglyAccepted,
        (Expected::Refuse, false) => match seen {
            // RFC 6750 section 3.1, and what servers say to a header that is too large.
            Ok(400 | 401 | 403 | 413 | 431) => Verdict::Right,
            _ => Verdict::Odd,
        },
    }
}

fn report(findings: &[Finding], context: &Context<'_>) -> Result<(), Failure> {
    let count = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (accepted, floods) = (count(Verdict::WronglyAccepted), count(Verdict::Floods));
    let refused = count(Verdict::WronglyRefused);
    if context.json {
        context.output.json(&json!({
            "ok": accepted + refused + floods == 0, "cases": findings, "wrongly_accepted": accepted,
            "wrongly_refused": refused, "odd": count(Verdict::Odd), "floods": floods > 0,
        }))?;
    } else {
        let row = |finding: &Finding| {
            let expected = match finding.expected {
                Expected::Pass => "passes",
                Expected::Refuse => "refused",
                Expected::Either => "either",
            };
            vec![finding.case.clone(), expected.to_owned(), finding.got.clone(), finding.verdict.shown().to_owned()]
        };
        let rows: Vec<Vec<String>> = findings.iter().map(row).collect();
        context.output.table(&["case", "expected", "got", "verdict"], &rows)?;
    }
    context.output.remark("a spoofed identity header cannot be seen from here: look at what the application is sent");
    match (accepted, refused, floods) {
        (0, 0, 0) => Ok(()),
        (0, 0, _) => Err(Failure::new(Exit::Failed, "invented keys make the verifier flood its issuer")),
        (0, refused, _) => Err(Failure::new(Exit::Failed, format!("{refused} good requests were refused"))),
        (accepted, ..) => Err(Failure::new(Exit::Refused, format!("{accepted} bad requests were accepted"))
            .hint("until this is mended, whoever can reach the route can pass it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        use Expected::{Either, Pass, Refuse};
        let rows = [
            (Pass, Ok(204), Verdict::Right),
            (Pass, Ok(401), Verdict::WronglyRefused),
            (Pass, Err("closed".to_owned()), Verdict::WronglyRefused),
            (Refuse, Ok(200), Verdict::WronglyAccepted),
            (Refuse, Ok(401), Verdict::Right),
            (Refuse, Ok(431), Verdict::Right),
            (Refuse, Ok(500), Verdict::Odd),
            (Refuse, Ok(302), Verdict::Odd),
            (Refuse, Err("closed".to_owned()), Verdict::Odd),
            (Either, Ok(200), Verdict::Noted),
            (Either, Ok(401), Verdict::Noted),
        ];
        for (expected, seen, right) in rows {
            assert_eq!(verdict(expected, &seen), right, "{expected:?} {seen:?}");
        }
    }
}
