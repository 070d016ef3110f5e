//! A server process: started, measured by the kernel's figures, ended by its pid.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::floor::{Kind, Reply};

pub struct Process {
    child: Child,
    /// What it said about itself on its first line.
    pub said: serde_json::Value,
}

impl Process {
    /// Starts `command` and reads the one JSON line it prints once it serves.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the server starts");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("the server's first line is not JSON ({error}): {line:?}")
        });
        // Whatever else it prints must not fill the pipe and stop it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, said }
    }

    /// This program again, as a server that always gives `reply`.
    pub fn ours(kind: Kind, reply: &Reply) -> Self {
        let own = std::env::current_exe().unwrap();
        Self::start(Command::new(own).arg(kind.argument()).arg(serde_json::to_string(reply).unwrap()))
    }

    /// `host:port` from a URL in what it said.
    pub fn address(&self, member: &str) -> String {
        let url = self.said[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.said));
        url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// User and system time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the server runs");
        let nanos = tasks.flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
