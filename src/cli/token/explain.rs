//! `token explain`: the gate's checks, one a line, and what to do about the one that fails.

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::token::{Check, Deps, requirements};
use crate::protocol::jws::JwsError;
use crate::token::{Outcome, Refused, SealedKind, Step, explain};

/// What to do about a refusal.
pub(super) fn advice(refused: Refused) -> &'static str {
    match refused {
        Refused::Form(JwsError::Form) => {
            "an access token has three parts between two dots; was it cut, or pasted with quotes, blanks or padding?"
        }
        Refused::Form(JwsError::TooLong) => "no token of this gateway is that long",
        Refused::Form(JwsError::Kid) => "this gateway names its key in every token; this one is from elsewhere",
        Refused::Form(_) => "this gateway writes no such header; somebody else made it, perhaps to attack",
        Refused::UnknownKey => {
            "another gateway signed it, or its key was retired or tainted since; see `mintgate keys list`"
        }
        Refused::Algorithm => "a header that disagrees with its key was tampered with",
        Refused::Type => "it is a token of another kind; check which token the client sends",
        Refused::Signature => "header or claims were changed after signing, or another key signed it",
        Refused::Claims(_) => "the key is ours, the claims are not an access token's; what signed it?",
        Refused::Issuer => "compare `issuer` in the configuration with the token's `iss`, byte by byte",
        Refused::Audience => {
            "the client asked for another audience; it should send `resource`, or you another --audience"
        }
        Refused::Expired => "ask for a new one with the refresh token; if it is fresh, compare the clocks",
        Refused::NotYet | Refused::IssuedInFuture => "the clock that signed it is ahead of this one; compare them",
    }
}

/// Prints every check with its outcome.
pub(super) fn run(token: &str, check: &Check, context: &Context<'_>, deps: &Deps<'_>) -> Result<(), Failure> {
    if token.starts_with(SealedKind::RefreshToken.prefix()) {
        return Err(Failure::new(
            Exit::Refused,
            "this is a refresh token: sealed, so there is nothing to verify in it",
        )
        .hint("only the gateway opens it; see `mintgate token inspect`"));
    }
    let steps = explain(token, deps.keys, &requirements(check, deps), context.clock.now());
    let failed = steps.iter().find_map(|step| match step.outcome {
        Outcome::Failed(refused) => Some(refused),
        _ => None,
    });
    if context.json {
        let steps: Vec<Value> = steps.iter().map(step_json).collect();
        context.output.json(&json!({"valid": failed.is_none(), "steps": steps}))?;
    } else {
        for step in &steps {
            print_step(step, context)?;
        }
    }
    match failed {
        None => {
            context.output.remark("whether it was revoked is not known here: ask POST /introspect");
            Ok(())
        }
        Some(refused) => Err(Failure::new(Exit::Refused, format!("refused ({}): {refused}", refused.name()))),
    }
}

fn print_step(step: &Step, context: &Context<'_>) -> Result<(), Failure> {
    let mark = match step.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "FAILED",
        Outcome::NotReached => "-",
    };
    context.output.line(&format!("{mark:<6}  {:<9}  {} ({})", step.name, step.meaning, step.source))?;
    if let Outcome::Failed(refused) = step.outcome {
        context.output.line(&format!("{:<19}{refused}", ""))?;
        context.output.line(&format!("{:<19}{}", "", advice(refused)))?;
    }
    Ok(())
}

fn step_json(step: &Step) -> Value {
    let (outcome, reason, message) = match step.outcome {
        Outcome::Passed => ("passed", None, None),
        Outcome::Failed(refused) => ("failed", Some(refused.name()), Some(advice(refused))),
        Outcome::NotReached => ("not_reached", None, None),
    };
    json!({
        "check": step.name, "meaning": step.meaning, "source": step.source, "outcome": outcome, "reason": reason,
        "advice": message,
    })
}
