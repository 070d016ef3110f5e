//! The house's rules, held by a test: who may import whom, what may not be called, how large a room may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// For each part of `src`, the parts it may import. A part may always import itself.
const FLOORS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("policy", &["protocol"]),
    ("state", &["protocol"]),
    ("ambient", &["protocol"]),
    ("telemetry", &["protocol"]),
    ("client", &["protocol", "policy", "state", "ambient", "telemetry"]),
    ("user", &["protocol", "policy", "state", "ambient", "telemetry"]),
    ("keys", &["protocol", "policy", "state", "ambient", "telemetry"]),
    ("store", &["protocol", "policy", "state", "ambient", "telemetry"]),
    // Narrower than its floor: a grant is asked with facts and a time, and answers with a decision.
    ("grant", &["protocol", "policy", "state", "client", "user"]),
    ("token", &["protocol", "policy", "state", "ambient", "telemetry", "keys"]),
    // Compiled without the server: it stands on nothing that the server alone needs.
    ("verifier", &["protocol", "ambient", "keys", "token"]),
    (
        "issuer",
        &["protocol", "policy", "state", "ambient", "telemetry", "client", "user", "keys", "store", "grant", "token"],
    ),
    (
        "http",
        &[
            "protocol",
            "policy",
            "state",
            "ambient",
            "telemetry",
            "client",
            "user",
            "keys",
            "store",
            "grant",
            "token",
            "issuer",
        ],
    ),
    (
        "config",
        &[
            "protocol",
            "policy",
            "state",
            "ambient",
            "telemetry",
            "client",
            "user",
            "keys",
            "store",
            "grant",
            "token",
            "issuer",
            "http",
        ],
    ),
    (
        "app",
        &[
            "protocol",
            "policy",
            "state",
            "ambient",
            "telemetry",
            "client",
            "user",
            "keys",
            "store",
            "grant",
            "token",
            "issuer",
            "http",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "protocol",
            "policy",
            "state",
            "ambient",
            "telemetry",
            "client",
            "user",
            "keys",
            "store",
            "grant",
            "token",
            "issuer",
            "http",
            "config",
            "app",
        ],
    ),
    ("manual", &[]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Text that may not stand in `src` outside tests, why, and the files that are excused.
const BANNED: &[(&str, &str, &[&str])] = &[
    ("SystemTime::now", "only ambient/ reads the clock", &["src/ambient/clock.rs"]),
    ("Instant::now", "only ambient/ reads the clock", &["src/ambient/clock.rs", "src/telemetry/"]),
    ("getrandom::", "only ambient/ draws randomness", &["src/ambient/entropy.rs"]),
    ("SystemRandom::new", "only ambient/ draws randomness", &["src/ambient/entropy.rs"]),
    ("Header::default()", "jsonwebtoken's default algorithm is HS256", &[]),
    ("Validation::default()", "jsonwebtoken's default algorithm is HS256", &[]),
    ("println!", "cli/output.rs is the only printer", &["src/cli/output.rs"]),
    ("std::process::exit", "only main ends the process", &["src/main.rs"]),
    ("dangerous_insecure", "nothing is read from an unverified token", &[]),
    ("unsafe ", "forbidden", &[]),
];

/// Test files whose subject is a whole folder of `src`, not one of its files.
const THEMES: &[(&str, &str)] = &[
    ("suite", "the shared behaviour of one folder's backends"),
    ("interleavings", "several grants against one store, in random order"),
    ("merge", "changes in any order give the same state"),
    ("model", "the refresh protocol, searched exhaustively"),
    ("simulation", "the key plan, and verifiers with caches"),
    ("attacks", "tokens that every door refuses"),
    ("vectors", "public test vectors"),
    ("oracle", "another library's verdict"),
    ("differential", "other libraries' verdicts on every case, and the causes of all differences"),
    ("fuzz", "strange bytes into every parser"),
    ("h2", "HTTP/2 on the wire"),
    ("crash", "kill -9 and broken disks"),
    ("clock", "a clock that goes back, against every story"),
    ("algorithms", "every algorithm, from generation to verification"),
];

/// Lines a file in `src` may have, tests at its end not counted.
const FILE_LINES_MAX: usize = 450;
/// Lines a function in `src` may have.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Path relative to the package, and the text without the tests at its end.
fn sources() -> Vec<(String, String)> {
    rust_files(&root().join("src"))
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable");
            let body = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            (name, body)
        })
        .collect()
}

/// The first folder or file name below `src`.
fn part_of(name: &str) -> &str {
    name.trim_start_matches("src/").split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// Code without line comments, so that prose may name anything.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let part = part_of(&name);
        let Some((_, allowed)) = FLOORS.iter().find(|(own, _)| *own == part) else {
            wrong.push(format!("{name}: `{part}` has no floor; add it to FLOORS"));
            continue;
        };
        for (at, line) in code(&text) {
            for prefix in ["crate::", "mintgate::"] {
                for (start, _) in line.match_indices(prefix) {
                    let rest = &line[start + prefix.len()..];
                    let target: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    let known = FLOORS.iter().any(|(own, _)| *own == target);
                    if known && target != part && !allowed.contains(&target.as_str()) {
                        wrong.push(format!("{name}:{at}: {part} may not import {target}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden imports:\n{}", wrong.join("\n"));
}

#[test]
fn banned_calls_are_absent() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        for (banned, why, excused) in BANNED {
            if excused.iter().any(|excuse| name.starts_with(excuse)) {
                continue;
            }
            for (at, line) in code(&text).filter(|(_, line)| line.contains(banned)) {
                wrong.push(format!("{name}:{at}: `{banned}`: {why}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "banned calls:\n{}", wrong.join("\n"));
}

#[test]
fn rooms_stay_small() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{name}: {lines} lines; split it (at most {FILE_LINES_MAX})"));
        }
        let mut open: Option<(usize, usize, String)> = None;
        for (at, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let starts =
                ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "const fn ", "pub const fn "];
            if starts.iter().any(|start| head.starts_with(start)) {
                open = Some((at, indent, head.to_owned()));
            } else if let Some((from, depth, title)) = &open
                && indent == *depth
                && head.starts_with('}')
            {
                let length = at - from + 1;
                if length > FUNCTION_LINES_MAX {
                    wrong.push(format!("{name}:{}: {length} lines in `{title}`", from + 1));
                }
                open = None;
            }
        }
    }
    assert!(wrong.is_empty(), "rooms too large:\n{}", wrong.join("\n"));
}

#[test]
fn tests_mirror_the_source() {
    // Folders of tests that have no twin in src, and why.
    let own: BTreeSet<&str> = ["main", "tidy", "support", "spec", "end_to_end"].into();
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("tests/it")) {
        let relative = path.strip_prefix(root().join("tests/it")).expect("inside").to_path_buf();
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        if own.contains(first.trim_end_matches(".rs")) || relative.ends_with("mod.rs") {
            continue;
        }
        let twin = root().join("src").join(&relative);
        let folder = twin.with_extension("");
        let name = relative.file_stem().expect("a name").to_string_lossy().into_owned();
        let theme = THEMES.iter().any(|(theme, _)| *theme == name) && twin.parent().is_some_and(Path::is_dir);
        if !twin.exists() && !folder.is_dir() && !theme {
            wrong.push(format!("tests/it/{} has no twin in src", relative.display()));
        }
    }
    for (part, _) in FLOORS.iter().filter(|(part, _)| !["lib", "main", "manual"].contains(part)) {
        let tested_inside = rust_files(&root().join("src").join(part))
            .iter()
            .chain(std::iter::once(&root().join(format!("src/{part}.rs"))))
            .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("#[cfg(test)]")));
        let tested_outside =
            root().join("tests/it").join(part).is_dir() || root().join(format!("tests/it/{part}.rs")).is_file();
        if !tested_inside && !tested_outside {
            wrong.push(format!("src/{part} has no test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_code_map_names_every_part() {
    let map = fs::read_to_string(root().join("src/lib.rs")).expect("readable");
    for (part, _) in FLOORS.iter().filter(|(part, _)| !["lib", "main"].contains(part)) {
        assert!(map.contains(&format!("`{part}`")), "src/lib.rs does not explain `{part}`");
    }
}

#[test]
fn every_threat_names_a_test_that_exists() {
    let table = fs::read_to_string(root().join("src/manual/threats.rs")).expect("readable");
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("//! | ") && line.contains("::")) {
        let name = line.split('`').rev().nth(1).expect("a test in back quotes");
        let (path, test) = name.rsplit_once("::").expect("module::test");
        let folder = root().join("tests/it").join(path.split("::").next().expect("a folder"));
        let found = rust_files(&folder)
            .iter()
            .any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {test}("))));
        assert!(found, "no test `{name}`");
        rows += 1;
    }
    assert!(rows > 30, "{rows} rows");
}

#[test]
fn no_private_key_is_committed() {
    let listed = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output();
    let Ok(listed) = listed else {
        println!("skipped: no git here, so nothing is committed");
        return;
    };
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let bytes = fs::read(root().join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        // A marker alone is code that reads keys; a marker with a line of base64 below it is one.
        let held = text.lines().zip(text.lines().skip(1)).any(|(marker, below)| {
            let body = below.trim();
            marker.contains("BEGIN")
                && marker.contains("PRIVATE KEY-----")
                && body.len() >= 40
                && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        });
        assert!(!held, "{name} holds a private key");
        if name.starts_with("keys/") {
            assert!(["keys/README.md", "keys/.gitignore"].contains(&name), "keys/ holds only a README: {name}");
        }
    }
}
