//! A real `mintgate` process, ended by its own id when the test is over.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{self, Answer};
use super::temp::TempDir;

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_mintgate")
}

/// `mintgate` with arguments, run to its end, nothing on standard input.
pub fn run(args: &[&str]) -> Output {
    run_with_input(args, "")
}

pub fn run_with_input(args: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(binary())
        .args(args)
        .env_remove("MINTGATE_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("ends")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running server and what it said when it started.
pub struct Server {
    child: Child,
    pub started: Value,
    log: Arc<Mutex<String>>,
    pub directory: Option<TempDir>,
}

impl Server {
    /// `mintgate dev --json --port 0`, with its data in a directory that is removed afterwards.
    pub fn dev() -> Self {
        Self::dev_with(&[])
    }

    pub fn dev_with(extra: &[&str]) -> Self {
        let mut args = vec!["dev", "--json", "--port", "0"];
        args.extend_from_slice(extra);
        Self::start(&args, None)
    }

    /// A directory made by `init` on free loopback ports, changed by `edit`, then served.
    pub fn lasting(edit: impl FnOnce(&str) -> String) -> Self {
        Self::lasting_with(edit, |_| {})
    }

    /// As [`Server::lasting`], with a step between `init` and `serve` that gets the configuration's path.
    pub fn lasting_with(edit: impl FnOnce(&str) -> String, prepare: impl FnOnce(&str)) -> Self {
        let directory = initialised();
        let config = directory.path().join("mintgate.toml");
        let text = std::fs::read_to_string(&config).expect("readable");
        std::fs::write(&config, edit(&text)).expect("writable");
        let path = config.to_string_lossy().into_owned();
        prepare(&path);
        let mut server = Self::start(&["serve", "--json", "--config", &path], Some(directory));
        server.started["config"] = Value::from(path);
        server
    }

    pub fn start(args: &[&str], directory: Option<TempDir>) -> Self {
        let mut command = Command::new(binary());
        command.args(args);
        Self::start_by(command, directory)
    }

    /// As [`Server::start`], by a command that ends in being the binary: with other limits, or another clock.
    pub fn start_by(mut command: Command, directory: Option<TempDir>) -> Self {
        let mut child = command
            .env_remove("MINTGATE_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
                sink.lock().expect("lock").push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("readable");
        let started = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not start: {error}: `{line}`\n{}", log.lock().expect("lock"));
        });
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = stdout.read_to_string(&mut rest);
            sink.lock().expect("lock").push_str(&rest);
        });
        Self { child, started, log, directory }
    }

    fn said(&self, pointer: &str) -> &str {
        self.started
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.started))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, route: &str) -> String {
        format!("{}{route}", self.said("/url"))
    }

    pub fn admin(&self, route: &str) -> String {
        format!("{}{route}", self.said("/admin_url"))
    }

    pub fn config(&self) -> &str {
        self.said("/config")
    }

    pub fn directory(&self) -> PathBuf {
        Path::new(self.config()).parent().expect("a folder").to_owned()
    }

    pub fn issuer(&self) -> &str {
        self.said("/issuer")
    }

    /// Id and secret of `dev`'s confidential client.
    pub fn client(&self) -> (&str, &str) {
        (self.said("/client/client_id"), self.said("/client/client_secret"))
    }

    pub fn audience(&self) -> &str {
        self.said("/client/audience")
    }

    pub fn public_client(&self) -> &str {
        self.said("/public_client/client_id")
    }

    pub fn user(&self) -> (&str, &str) {
        (self.said("/user/username"), self.said("/user/password"))
    }

    /// `POST /token` as the confidential client.
    pub fn token(&self, form: &[(&str, &str)]) -> Answer {
        http::post_form(&self.url("/token"), Some(self.client()), form)
    }

    /// A log-in of `dev`'s user through the public client.
    pub fn login(&self) -> Answer {
        let (username, password) = self.user();
        let form = [("client_id", self.public_client()), ("username", username), ("password", password)];
        http::post_form(&self.url("/login"), None, &form)
    }

    /// A refresh as the public client.
    pub fn refresh(&self, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("client_id", self.public_client()), ("refresh_token", token)];
        http::post_form(&self.url("/token"), None, &form)
    }

    pub fn introspect(&self, token: &str) -> Value {
        let answer = http::post_form(&self.url("/introspect"), Some(self.client()), &[("token", token)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// `mintgate ARGS --config THIS` to its end.
    pub fn command(&self, args: &[&str]) -> Output {
        self.command_with_input(args, "")
    }

    pub fn command_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut all = args.to_vec();
        all.extend_from_slice(&["--config", self.config()]);
        run_with_input(&all, input)
    }

    /// Kills the process by its id, with SIGKILL, and starts `command` on the same files.
    pub fn kill_and_start_by(&mut self, command: Command) -> Duration {
        let (directory, config) = (self.directory.take(), self.config().to_owned());
        self.signal("KILL");
        self.wait();
        let before = Instant::now();
        *self = Self::start_by(command, directory);
        self.started["config"] = Value::from(config);
        before.elapsed()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill");
        assert!(status.success(), "kill -{name} {pid}");
    }

    /// Everything it printed, log and output, so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("lock").clone()
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> i32 {
        let mut code = None;
        until("the server ends", || {
            code = self.child.try_wait().expect("waitable");
            code.is_some()
        });
        code.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fresh directory made by `mintgate init` on loopback with ports the system chooses.
pub fn initialised() -> TempDir {
    let directory = TempDir::new();
    let path = directory.path().to_string_lossy().into_owned();
    let output =
        run(&["init", &path, "--issuer", "http://127.0.0.1:8080", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert!(output.status.success(), "init: {}", stderr(&output));
    directory
}

/// Asks again and again until `condition` holds; fails after a generous time, never by guessing a delay.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The configuration with these lines in `[section]`, in the place of what it said about them.
pub fn configured(text: &str, section: &str, settings: &str) -> String {
    let names: Vec<&str> = settings.lines().filter_map(|line| line.split(' ').next()).collect();
    let says = |line: &str| {
        let bare = line.trim_start_matches(['#', ' ']);
        names.iter().any(|name| bare.starts_with(&format!("{name} =")))
    };
    let kept = text.lines().filter(|line| !says(line)).collect::<Vec<_>>().join("\n");
    let head = format!("\n[{section}]");
    if kept.contains(&head) {
        kept.replacen(&head, &format!("{head}\n{settings}"), 1)
    } else {
        format!("{kept}{head}\n{settings}\n")
    }
}

/// Registers the service `svc` for `https://api.example`, and gives its secret.
pub fn add_service(config: &str) -> String {
    let output = run(&[
        "clients",
        "add",
        "svc",
        "--grant",
        "client_credentials",
        "--scope",
        "read write",
        "--audience",
        "https://api.example",
        "--json",
        "--config",
        config,
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let added: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    added["client_secret"].as_str().expect("a secret").to_owned()
}
