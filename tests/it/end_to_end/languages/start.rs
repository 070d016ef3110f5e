//! How each example is started: its own files, what `gen-config` prints for the gateway, the libraries below
//! `target/outside` that tests/run has fetched.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::matrix::{AUDIENCE, installed};
use crate::support::server::{Server, binary, stderr, stdout};
use crate::support::temp::TempDir;

/// A running example, ended by its own id.
pub struct Running {
    pub name: &'static str,
    pub url: String,
    child: Child,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of `examples/`.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn outside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/outside").join(name)
}

/// Found, or why the example cannot be run.
fn needs(path: Option<PathBuf>, what: &str) -> Result<PathBuf, String> {
    path.filter(|path| path.exists()).ok_or_else(|| format!("{what} is not installed"))
}

fn python(module: &str) -> Result<PathBuf, String> {
    let own = std::env::var_os("MINTGATE_PYTHON").map_or_else(|| outside("python/bin/python"), PathBuf::from);
    let path = needs(Some(own), "the Python environment")?;
    let probe = Command::new(&path).args(["-c", &format!("import {module}")]).output();
    if probe.is_ok_and(|output| output.status.success()) { Ok(path) } else { Err(format!("{module} is not installed")) }
}

/// What `gen-config` prints for this server.
fn generated(server: &Server, target: &str) -> String {
    let gateway = server.url("").trim_start_matches("http://").to_owned();
    let output =
        server.command(&["gen-config", target, "--audience", AUDIENCE, "--scope", "read", "--gateway", &gateway]);
    assert!(output.status.success(), "{target}: {}", stderr(&output));
    stdout(&output)
}

/// Runs a compiler to its end.
fn compile(command: &mut Command) {
    let output = command.output().expect("the compiler runs");
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
}

/// Compiles what is in `directory` and makes the command that runs `main`; `project` is whose libraries it uses.
fn java(project: &str, directory: &Path, main: &str, sources: &[&str]) -> Result<Command, String> {
    let compiler = needs(installed("javac"), "javac")?;
    needs(Some(outside(project).join("fetched.xml")), &format!("what examples/{project} needs from Maven Central"))?;
    let libraries = outside(project).join("target/lib/*").display().to_string();
    let mut javac = Command::new(compiler);
    javac.args(["-parameters", "-cp", &libraries, "-d", "."]).args(sources).current_dir(directory);
    compile(&mut javac);
    let mut command = Command::new(needs(installed("java"), "java")?);
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &format!(".:{libraries}"), main]);
    Ok(command)
}

/// The command that runs an example, its files laid out in `directory`.
fn command(name: &str, server: &Server, directory: &Path) -> Result<Command, String> {
    let copy = |from: &str, to: &str| {
        std::fs::copy(example(from), directory.join(to)).expect("copied");
    };
    let print =
        |target: &str, to: &str| std::fs::write(directory.join(to), generated(server, target)).expect("written");
    match name.split(' ').next().unwrap_or_default() {
        "Rust" => {
            let built = Path::new(binary()).parent().map(|folder| folder.join("examples/orders"));
            Ok(Command::new(needs(built, "`cargo build --example orders`, which plain `cargo test` does too,")?))
        }
        "Node" => {
            let own = std::env::var_os("MINTGATE_NODE_MODULES");
            let modules = own.map_or_else(|| outside("node/node_modules"), PathBuf::from);
            needs(Some(modules.join("express")), "express")?;
            std::os::unix::fs::symlink(&modules, directory.join("node_modules")).expect("linked");
            copy("node/server.mjs", "server.mjs");
            print("express", "mintgate.mjs");
            let mut command = Command::new(needs(installed("node"), "node")?);
            command.arg("server.mjs");
            Ok(command)
        }
        "Python" => {
            let mut command = Command::new(python("jwt")?);
            command.arg(example("python/orders.py"));
            Ok(command)
        }
        "Django" => {
            let mut command = Command::new(python("rest_framework")?);
            copy("drf/orders.py", "orders.py");
            print("drf", "mintgate_auth.py");
            command.arg("orders.py");
            Ok(command)
        }
        "Go" => {
            let go = needs(installed("go"), "go")?;
            needs(Some(outside("go/go.sum")), "what examples/go needs from the module proxy")?;
            for file in ["main.go", "go.mod", "go.sum"] {
                copy(&format!("go/{file}"), file);
            }
            print("go", "mintgate.go");
            let mut build = Command::new(go);
            build.args(["build", "-o", "orders", "."]).current_dir(directory);
            build.env("GOPATH", outside("go")).env("GOCACHE", outside("go/cache"));
            // Nothing is fetched in a test.
            build.env("GOPROXY", "off").env("GOFLAGS", "-mod=readonly");
            compile(&mut build);
            Ok(Command::new(directory.join("orders")))
        }
        "Java" => {
            copy("java/src/main/java/Orders.java", "Orders.java");
            java("java", directory, "Orders", &["Orders.java"])
        }
        "Spring" => {
            copy("spring/src/main/java/orders/OrdersApplication.java", "OrdersApplication.java");
            print("spring-java", "MintgateSecurity.java");
            print("spring", "application.yml");
            java("spring", directory, "orders.OrdersApplication", &["OrdersApplication.java", "MintgateSecurity.java"])
        }
        other => Err(format!("no example {other}")),
    }
}

impl Running {
    /// Starts an example; why not, if what it needs is not installed.
    pub fn start(name: &'static str, server: &Server) -> Result<Self, String> {
        let directory = TempDir::new();
        let mut command = command(name, server, directory.path())?;
        for line in generated(server, "env").lines().filter(|line| !line.starts_with('#')) {
            let (variable, value) = line.split_once('=').expect("NAME='value'");
            command.env(variable, value.trim_matches('\''));
        }
        let mut child = command
            .current_dir(directory.path())
            .env("PORT", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stderr.take().expect("piped"), &log);
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let url = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).expect("readable") == 0 {
                let status = child.wait().expect("ended");
                panic!("{name} ended before it listened: {status}\n{}", log.lock().expect("lock"));
            }
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        keep(lines, &log);
        Ok(Self { name, url, child, log, _directory: directory })
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("lock").clone()
    }
}

/// Reads on, so that the example never waits for a reader.
fn keep(from: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("lock");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
