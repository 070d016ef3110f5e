//! A real PostgreSQL of a test's own: a socket in a directory, no port, ended by its process id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::server::until;
use super::temp::TempDir;

/// A cluster with one database and one role, both `app`, reached through a socket without a password.
pub struct Postgres {
    directory: TempDir,
    server: Option<Child>,
}

/// Where Debian puts the programs, or where the path finds them.
fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin").join(name)).find(|path| path.exists());
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.or_else(|| std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.exists()))
}

/// PostgreSQL refuses to run as root: then it runs as nobody.
fn command(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

impl Postgres {
    /// Makes and starts one; `None` if it is not installed.
    pub fn start() -> Option<Self> {
        let initdb = program("initdb")?;
        program("postgres")?;
        let directory = TempDir::new();
        if rustix::process::geteuid().is_root() {
            let nobody = (Some(rustix::process::Uid::from_raw(65534)), Some(rustix::process::Gid::from_raw(65534)));
            rustix::fs::chown(directory.path(), nobody.0, nobody.1).expect("chown");
        }
        let made = command(&initdb)
            .args(["--username=app", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(directory.join("data"))
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self { directory, server: None };
        postgres.run();
        let created = Command::new(program("createdb")?)
            .args(["--host", &postgres.socket(), "--username=app", "app"])
            .output()
            .expect("createdb starts");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        Some(postgres)
    }

    /// Starts the server, again too, and waits until it takes connections.
    pub fn run(&mut self) {
        let postgres = program("postgres").expect("there at the start");
        let child = command(&postgres)
            .arg("-D")
            .arg(self.directory.join("data"))
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                &format!("unix_socket_directories={}", self.socket()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres starts");
        self.server = Some(child);
        let ready = program("pg_isready").expect("part of the client");
        let socket = self.socket();
        until("PostgreSQL takes connections", || {
            let asked = Command::new(&ready).args(["--quiet", "--host", &socket, "--username=app"]).status();
            asked.expect("pg_isready starts").success()
        });
    }

    /// Stops the server: connections are cut.
    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // SIGQUIT is its immediate stop, also of its children.
        let pid = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("the process is ours");
        server.wait().expect("it ends");
    }

    /// Runs SQL as the owner.
    pub fn sql(&self, sql: &str) {
        let psql = program("psql").expect("part of the client");
        let ran = Command::new(psql)
            .args([
                "--host",
                &self.socket(),
                "--username=app",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--command",
                sql,
                "app",
            ])
            .output()
            .expect("psql starts");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// The directory of the socket.
    pub fn socket(&self) -> String {
        self.directory.path().to_string_lossy().into_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
