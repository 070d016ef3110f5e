//! The README's tour, line by line, in an empty directory, as a new user would paste it.

use std::process::{Command, Stdio};

use crate::support::server::binary;
use crate::support::temp::TempDir;

/// The `sh` blocks of the README, in order.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Two ports that nobody uses now.
fn free_ports() -> (u16, u16) {
    let one = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let two = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    (one.local_addr().expect("bound").port(), two.local_addr().expect("bound").port())
}

#[test]
fn every_line_of_the_tour_works() {
    let mut blocks = blocks();
    assert!(blocks.len() >= 9, "the tour has {} blocks", blocks.len());
    // The first block builds; the binary under test is built already, so only its place on the path is ours.
    let build = blocks.remove(0);
    assert!(build.contains("cargo build --release") && build.contains("export PATH"), "{build}");
    let (public, admin) = free_ports();
    let directory = TempDir::new();
    let path = std::path::Path::new(binary()).parent().expect("a folder").display().to_string();
    let mut script = format!("set -e\nexport PATH=\"{path}:$PATH\"\n");
    for block in blocks {
        for line in block.lines() {
            let line = line
                .replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"))
                .replace("127.0.0.1:9090", &format!("127.0.0.1:{admin}"));
            script.push_str(&line);
            script.push_str("\necho\n");
        }
    }
    // Whatever happens, the server that the tour starts ends with it.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}wait\n");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .env_remove("MINTGATE_CONFIG")
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || output.status.code() == Some(143), "{:?}\n{text}\n{errors}", output.status);
    for seen in ["\"access_token\"", "\"keys\"", "{\"active\":false}", "prepared", "ready"] {
        assert!(text.contains(seen), "no {seen} in\n{text}\n{errors}");
    }
    let renewed = std::fs::read_to_string(directory.join("demo/renewed.json")).expect("renewed.json");
    assert!(renewed.contains("refresh_token"), "{renewed}");
}

#[test]
fn the_readme_names_the_two_commands() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    assert!(text.contains("    cargo run --release -- dev\n"));
    assert!(text.contains("    tests/run\n"));
}
