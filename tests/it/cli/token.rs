//! `mintgate token`: what it signs, what it refuses, and with which exit code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mintgate::ambient::{ManualClock, SystemEntropy};
use mintgate::cli::Context;
use mintgate::cli::failure::Exit;
use mintgate::cli::output::Output;
use mintgate::cli::token::{Command, Deps, inspect, mint_by_hand, run, verify_by_hand};
use mintgate::client::{Client, ClientKind, GrantType};
use mintgate::keys::{SealingKey, SigningKey, VerifyKey};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::{Audience, ClientId};
use mintgate::token::{SealedKind, Typ, seal};
use zeroize::Zeroizing;

use crate::support::tokens::{AUDIENCE, CLIENT, ISSUER, NOW, TestKey, decoded, draft, limits, minted};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn command(arguments: &[&str]) -> Command {
    Line::try_parse_from([&["token"], arguments].concat()).unwrap_or_else(|error| panic!("{error}")).command
}

fn client(name: &str) -> Client {
    Client {
        id: ClientId::from(name),
        kind: ClientKind::Confidential,
        first_party: false,
        enabled: name != "off",
        secrets: Vec::new(),
        grants: vec![GrantType::ClientCredentials],
        scope: "read write".parse().expect("scope"),
        audiences: vec![Audience::from(AUDIENCE), Audience::from("https://files.example")],
        access_lifetime: None,
    }
}

/// Runs `work` with everything the commands need; the clock stands at [`NOW`].
fn with_deps<T>(
    signer: Option<&SigningKey>,
    keys: &Vec<VerifyKey>,
    work: impl FnOnce(&Deps<'_>, &ManualClock) -> T,
) -> T {
    let find = |name: &str| [CLIENT, "other", "off"].contains(&name).then(|| Arc::new(client(name)));
    let deps = Deps {
        issuer: ISSUER,
        signer,
        keys,
        client: &find,
        limits: limits(),
        access_lifetime: Duration::from_secs(300),
        typ: Typ::AtJwt,
    };
    work(&deps, &ManualClock::at(NOW))
}

fn minted_by(arguments: &[&str], signer: Option<&SigningKey>) -> Result<String, (Exit, String)> {
    let Command::Mint(mint) = command(&[&["mint"], arguments].concat()) else { panic!("mint") };
    with_deps(signer, &Vec::new(), |deps, clock| mint_by_hand(&mint, deps, clock, &SystemEntropy))
        .map(|minted| minted.token)
        .map_err(|failure| (failure.code, failure.to_string()))
}

#[test]
fn mint_signs_what_the_server_would() {
    let key = TestKey::generate(Algorithm::Es256);
    let token = minted_by(&["--client", CLIENT], Some(&key.signing)).expect("minted");
    let (header, claims) = decoded(&token);
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    assert_eq!((claims["sub"].as_str(), claims["client_id"].as_str()), (Some(CLIENT), Some(CLIENT)));
    assert_eq!((claims["aud"].as_str(), claims["scope"].as_str()), (Some(AUDIENCE), Some("read write")));
    assert_eq!(claims["exp"], NOW.0 + 300);

    let arguments = [
        "--client",
        CLIENT,
        "--subject",
        "alice",
        "--audience",
        "https://files.example",
        "--scope",
        "read",
        "--lifetime",
        "3s",
    ];
    let (_, claims) = decoded(&minted_by(&arguments, Some(&key.signing)).expect("minted"));
    assert_eq!((claims["sub"].as_str(), claims["scope"].as_str()), (Some("alice"), Some("read")));
    assert_eq!((claims["aud"].as_str(), claims["exp"].as_u64()), (Some("https://files.example"), Some(NOW.0 + 3)));
}

#[test]
fn mint_refusals_have_their_exit_codes() {
    let key = TestKey::generate(Algorithm::Es256);
    let rows: [(&str, &[&str], Exit); 8] = [
        ("unknown client", &["--client", "nobody"], Exit::NotFound),
        ("disabled client", &["--client", "off"], Exit::Refused),
        ("longer than the longest", &["--client", CLIENT, "--lifetime", "2h"], Exit::Refused),
        ("no lifetime", &["--client", CLIENT, "--lifetime", "0s"], Exit::Refused),
        ("scope that was never granted", &["--client", CLIENT, "--scope", "admin"], Exit::Refused),
        ("foreign audience", &["--client", CLIENT, "--audience", "https://other.example"], Exit::Refused),
        ("another client as subject", &["--client", CLIENT, "--subject", "other"], Exit::Refused),
        ("empty subject", &["--client", CLIENT, "--subject", ""], Exit::Refused),
    ];
    for (name, arguments, code) in rows {
        assert_eq!(minted_by(arguments, Some(&key.signing)).expect_err(name).0, code, "{name}");
    }
    assert_eq!(minted_by(&["--client", CLIENT], None).expect_err("no key").0, Exit::NotReady);
}

#[test]
fn verify_says_why_and_exits_with_refused() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys = vec![key.verify.clone()];
    let token = minted(&key.signing, draft()).token;
    let verify = |token: &str, arguments: &[&str], after: u64| {
        let Command::Verify(check) = command(&[&["verify"], arguments].concat()) else { panic!("verify") };
        with_deps(None, &keys, |deps, clock| {
            clock.advance(Duration::from_secs(after));
            verify_by_hand(token, &check, deps, clock).map(|_| ()).map_err(|failure| (failure.code, failure.message))
        })
    };
    assert_eq!(verify(&token, &[], 0), Ok(()));
    assert_eq!(verify(&token, &["--audience", AUDIENCE], 299), Ok(()));
    for (arguments, after, reason) in
        [(&[][..], 300, "refused (expired)"), (&["--audience", "https://other.example"][..], 0, "refused (aud)")]
    {
        let (code, message) = verify(&token, arguments, after).expect_err(reason);
        assert_eq!(code, Exit::Refused);
        assert!(message.starts_with(reason), "{message}");
    }
    assert_eq!(verify("mgr_AAAA", &[], 0).expect_err("sealed").0, Exit::Refused);
}

#[test]
fn inspect_shows_without_trusting() {
    let key = TestKey::generate(Algorithm::Es256);
    let token = minted(&key.signing, draft()).token;
    // No key set is at hand, and the signature is broken: it is shown all the same.
    let said = inspect(&format!("{}AAAA", &token[..token.len() - 4]), NOW).expect("shown");
    assert_eq!(said.claims["client_id"], CLIENT);
    assert_eq!(said.header["typ"], "at+jwt");
    let exp = said.dates.iter().find(|(name, _)| *name == "exp").map(|(_, text)| text.as_str());
    assert_eq!(exp, Some("2027-01-15T08:05:00Z (in 5m)"));

    let sealing = SealingKey::new(&[1; 32]);
    let text = seal(SealedKind::RefreshToken, &sealing, [1; 24], Zeroizing::new(vec![1; 40])).expect("sealed");
    let said = inspect(&text, NOW).expect("shown");
    assert_eq!(said.sealed, Some(("refresh token", sealing.id().to_string())));
    assert!(said.claims.is_empty());

    for bad in ["", "hello", "a.b.c", "mgr_", "mgr_AAAA", "{}"] {
        assert_eq!(inspect(bad, NOW).expect_err(bad).code, Exit::Refused, "{bad:?}");
    }
}

#[test]
fn every_command_runs_to_its_exit_code() {
    let key = TestKey::generate(Algorithm::Es256);
    let keys = vec![key.verify.clone()];
    let token = minted(&key.signing, draft()).token;
    let bent = format!("{}AAAA", &token[..token.len() - 4]);
    let rows: [(&[&str], Option<Exit>); 9] = [
        (&["mint", "--client", CLIENT], None),
        (&["mint", "--client", "nobody"], Some(Exit::NotFound)),
        (&["inspect", &bent], None),
        (&["inspect", "mgr_"], Some(Exit::Refused)),
        (&["verify", &token], None),
        (&["verify", &bent], Some(Exit::Refused)),
        (&["explain", &token], None),
        (&["explain", &bent], Some(Exit::Refused)),
        (&["explain", "mgr_AAAA"], Some(Exit::Refused)),
    ];
    for json in [false, true] {
        for (arguments, code) in rows {
            let verdict = with_deps(Some(&key.signing), &keys, |deps, clock| {
                let context = Context {
                    config_path: PathBuf::new(),
                    json,
                    output: Output::keeping(),
                    clock,
                    entropy: &SystemEntropy,
                };
                run(&command(arguments), &context, Some(deps))
            });
            assert_eq!(verdict.err().map(|failure| failure.code), code, "{arguments:?}");
        }
    }
}

#[test]
fn only_inspect_does_without_a_configuration() {
    assert!(!command(&["inspect", "x"]).needs_configuration());
    for arguments in [&["mint", "--client", "x"][..], &["verify", "x"], &["explain"]] {
        assert!(command(arguments).needs_configuration());
    }
}
