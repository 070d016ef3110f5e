//! Real proxies with the configuration that `mintgate gen-config` prints, in front of an application that tells what it
//! was sent. Each cell of the matrix in docs/verifiers.md comes from here.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::http::{Answer, peek, post_form, send};
use crate::support::matrix::{self, AUDIENCE, Row, bent_tokens, installed};
use crate::support::server::{Server, run, stderr, stdout, until};
use crate::support::temp::TempDir;

/// Where Debian keeps them.
const APACHE_MODULES: &str = "/usr/lib/apache2/modules";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    Nginx,
    Haproxy,
    Caddy,
    Envoy,
    Apache,
}

const PROXIES: [Proxy; 5] = [Proxy::Nginx, Proxy::Haproxy, Proxy::Caddy, Proxy::Envoy, Proxy::Apache];

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Envoy => "Envoy",
            Self::Apache => "Apache",
        }
    }

    /// The program, from the system or from the Python environment that tests/run makes.
    fn program(self) -> Option<PathBuf> {
        let own = match std::env::var_os("MINTGATE_PYTHON") {
            Some(python) => PathBuf::from(python).parent()?.parent()?.to_owned(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/outside/python"),
        };
        let packages = || {
            let found = std::fs::read_dir(own.join("lib")).into_iter().flatten().flatten();
            found.map(|python| python.path().join("site-packages/envoy/_bin/envoy")).find(|path| path.is_file())
        };
        match self {
            Self::Nginx => installed("nginx"),
            Self::Haproxy => installed("haproxy"),
            Self::Caddy => Some(own.join("bin/caddy")).filter(|path| path.is_file()).or_else(|| installed("caddy")),
            // Without LuaSocket its script cannot ask anybody.
            Self::Apache => installed("apache2").filter(|_| {
                let socket = |root: &str| Path::new(root).join("lua/5.3/socket/http.lua").is_file();
                Path::new(APACHE_MODULES).join("mod_lua.so").is_file() && socket("/usr/share")
            }),
            Self::Envoy => packages().or_else(|| installed("envoy")),
        }
    }
}

/// A running proxy, ended by its own id.
struct Running {
    child: Child,
    address: String,
    directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// What `gen-config` prints for this server.
fn generated(server: &Server, target: &str, listen: &str, application: &str, lua: &str) -> String {
    let gateway = server.url("").trim_start_matches("http://").to_owned();
    let output = server.command(&[
        "gen-config",
        target,
        "--audience",
        AUDIENCE,
        "--scope",
        "read",
        "--gateway",
        &gateway,
        "--listen",
        listen,
        "--upstream",
        application,
        "--lua-file",
        lua,
    ]);
    assert!(output.status.success(), "{target}: {}", stderr(&output));
    stdout(&output)
}

impl Running {
    fn start(proxy: Proxy, server: &Server, application: &str) -> Option<Self> {
        let Some(program) = proxy.program() else {
            println!("skipped: {} is not installed; tests/run installs it", proxy.name());
            return None;
        };
        let directory = TempDir::new();
        let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).expect("written");
        let address = format!("127.0.0.1:{}", free_port());
        let text = |target: &str| generated(server, target, &address, application, &at("mintgate.lua"));
        let mut command = Command::new(program);
        match proxy {
            Proxy::Nginx => {
                write("mintgate.conf", text("nginx"));
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
                    .concat();
                // One process, so that its id is all there is to end.
                let whole = format!(
                    "daemon off;\nmaster_process off;\npid {};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}include {};\n}}\n",
                    at("nginx.pid"),
                    at("mintgate.conf")
                );
                write("nginx.conf", whole);
                command.args(["-p", &at(""), "-c", &at("nginx.conf"), "-e", &at("error.log")]);
            }
            Proxy::Haproxy => {
                write("haproxy.cfg", text("haproxy"));
                write("mintgate.lua", text("haproxy-lua"));
                command.args(["-db", "-f", &at("haproxy.cfg")]);
            }
            Proxy::Caddy => {
                write("Caddyfile", format!("{{\n\tadmin off\n\tpersist_config off\n}}\n{}", text("caddy")));
                command.args(["run", "--adapter", "caddyfile", "--config", &at("Caddyfile")]);
                command.env("HOME", directory.path()).env("XDG_DATA_HOME", at("data"));
            }
            Proxy::Apache => {
                use std::os::unix::fs::PermissionsExt as _;
                // Started by root, it reads its script as another user.
                let open = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(directory.path(), open).expect("opened");
                write("mintgate.conf", text("apache"));
                write("mintgate.lua", text("apache-lua"));
                let modules: String =
                    ["mpm_event", "authn_core", "authz_core", "headers", "lua", "proxy", "proxy_http"]
                        .map(|name| format!("LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n"))
                        .concat();
                let whole = format!(
                    "ServerRoot {0}\nServerName localhost\nDefaultRuntimeDir {0}\nPidFile {1}\nErrorLog {2}\n{modules}User www-data\nGroup www-data\nInclude {3}\n",
                    directory.path().display(),
                    at("apache.pid"),
                    at("error.log"),
                    at("mintgate.conf")
                );
                write("apache.conf", whole);
                command.args(["-X", "-f", &at("apache.conf")]);
            }
            Proxy::Envoy => {
                write("envoy.yaml", text("envoy"));
                command.args(["-c", &at("envoy.yaml"), "--concurrency", "1", "--disable-hot-restart"]);
                command.args(["--log-level", "error"]);
            }
        }
        let log = std::fs::File::create(at("log")).expect("log");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{proxy:?}: {error}"));
        let mut running = Self { child, address, directory };
        until(proxy.name(), || {
            if let Ok(Some(status)) = running.child.try_wait() {
                panic!("{proxy:?} ended: {status}\n{}", running.log());
            }
            TcpStream::connect(&running.address).is_ok()
        });
        Some(running)
    }

    fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("log") + &read("error.log")
    }

    fn ask(&self, headers: &[(&str, &str)]) -> Answer {
        send("GET", &format!("http://{}/some/path?x=1&aud=evil&scope=", self.address), headers, b"")
    }

    fn with_token(&self, token: &str) -> Answer {
        self.ask(&[("Authorization", &format!("Bearer {token}"))])
    }
}

/// An application that answers with the head of the request it got.
struct Application {
    address: String,
    asked: &'static AtomicUsize,
}

impl Application {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let asked: &'static AtomicUsize = Box::leak(Box::default());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let mut head = String::new();
                    while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
                    asked.fetch_add(1, Ordering::SeqCst);
                    let length = head.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{head}");
                    let _ = reader.get_mut().write_all(answer.as_bytes());
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Every value the application was sent under a name, `_` and `-` read as the same, as WSGI and CGI do.
fn sent(answer: &Answer, name: &str) -> Vec<String> {
    let same = |own: &str| own.to_ascii_lowercase().replace('_', "-") == name;
    let text = answer.text();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(own, _)| same(own)).map(|(_, value)| value.trim().to_owned()).collect()
}

/// A gateway whose rotations take two seconds, and its one client's secret.
fn gateway() -> (Server, String) {
    matrix::gateway("2s", |_| {})
}

const CASES: [&str; 12] = [
    "good",
    "no token",
    "expired",
    "wrong audience",
    "wrong issuer",
    "foreign key",
    "alg none",
    "too little scope",
    "revoked",
    "spoofed identity",
    "key rotation",
    "mintgate down",
];

struct Trial<'a> {
    proxy: &'a Running,
    application: &'a Application,
    server: &'a Server,
    secret: &'a str,
    row: Row,
}

impl Trial<'_> {
    fn token(&self, scope: &str) -> String {
        matrix::token(self.server, self.secret, scope)
    }

    fn note(&mut self, case: &'static str, seen: String) {
        self.row.push((case, seen));
    }

    /// The request must not reach the application.
    fn denied(&mut self, case: &'static str, token: Option<&str>, status: u16, error: &str) {
        let before = self.application.asked();
        let answer = match token {
            Some(token) => self.proxy.with_token(token),
            None => self.proxy.ask(&[]),
        };
        assert_eq!(answer.status, status, "{case}: {}\n{}", answer.text(), self.proxy.log());
        let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("{case}: no challenge"));
        assert!(challenge.starts_with("Bearer realm=\"mintgate\"") && challenge.contains(error), "{case}: {challenge}");
        let challenges = answer.headers.iter().filter(|(name, _)| name == "www-authenticate").count();
        assert_eq!((self.application.asked(), challenges), (before, 1), "{case}");
        let error = if error.is_empty() { String::new() } else { format!(" {error}") };
        self.note(case, format!("{status}{error}"));
    }

    fn bad_tokens(&mut self) {
        for (case, token) in bent_tokens(self.server, 1) {
            match case {
                "good" => assert_eq!(self.proxy.with_token(&token).status, 200, "what the cases bend is good"),
                _ if CASES.contains(&case) => self.denied(case, Some(&token), 401, "invalid_token"),
                _ => assert_eq!(self.proxy.with_token(&token).status, 401, "{case}"),
            }
        }
    }

    fn good(&mut self) {
        let token = self.token("read");
        let answer = self.proxy.with_token(&token);
        assert_eq!(answer.status, 200, "good: {}\n{}", answer.text(), self.proxy.log());
        assert_eq!(sent(&answer, "x-auth-subject"), ["svc"], "{}", answer.text());
        assert_eq!(sent(&answer, "x-auth-client"), ["svc"]);
        assert_eq!(sent(&answer, "x-auth-scope"), ["read"]);
        assert_eq!(sent(&answer, "x-auth-expires"), [peek(&token).1["exp"].to_string()]);
        assert!(answer.text().starts_with("GET /some/path?x=1&aud=evil&scope= "), "{}", answer.text());
        self.note("good", "200".to_owned());
    }

    fn spoofed(&mut self) {
        let token = format!("Bearer {}", self.token("read"));
        let lies = [
            ("X-Auth-Subject", "root"),
            ("x-auth-scope", "admin"),
            ("X_Auth_Subject", "root"),
            ("X_AUTH_CLIENT", "root"),
            ("X-Auth-Subject", "root"),
        ];
        let mut headers = vec![("Authorization", token.as_str())];
        headers.extend(lies);
        let answer = self.proxy.ask(&headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(sent(&answer, "x-auth-subject"), ["svc"], "{}", answer.text());
        assert_eq!(sent(&answer, "x-auth-client"), ["svc"], "{}", answer.text());
        assert_eq!(sent(&answer, "x-auth-scope"), ["read"], "{}", answer.text());
        assert_eq!(self.proxy.ask(&lies).status, 401);
        self.note("spoofed identity", "replaced".to_owned());
    }

    fn revoked(&mut self) {
        let token = self.token("read");
        assert_eq!(self.proxy.with_token(&token).status, 200);
        let form = [("token", token.as_str())];
        assert_eq!(post_form(&self.server.url("/revoke"), Some(("svc", self.secret)), &form).status, 200);
        // At once: the first request after the answer.
        self.denied("revoked", Some(&token), 401, "invalid_token");
        if let Some((_, seen)) = self.row.last_mut() {
            seen.push_str(", at once");
        }
    }

    /// Two rotations, and not one good token refused.
    fn rotation(&mut self) {
        let mut kids = Vec::new();
        let mut asked = 0;
        let mut old: Option<String> = None;
        let deadline = Instant::now() + Duration::from_secs(60);
        while kids.len() < 3 {
            assert!(Instant::now() < deadline, "two rotations in a minute");
            let token = self.token("read");
            let kid = peek(&token).0["kid"].as_str().expect("kid").to_owned();
            if kids.last() != Some(&kid) {
                kids.push(kid);
                if kids.len() < 3 {
                    let output = self.server.command(&["keys", "rotate"]);
                    assert!(output.status.success(), "{}", stderr(&output));
                }
            }
            for token in [Some(&token), old.as_ref()].into_iter().flatten() {
                let answer = self.proxy.with_token(token);
                assert_eq!(answer.status, 200, "after {asked}: {}\n{}", answer.text(), self.server.log());
                asked += 1;
            }
            old.get_or_insert(token);
        }
        println!("    {asked} requests over 2 rotations, 0 refused");
        self.note("key rotation", "0 refused".to_owned());
    }
}

fn run_all(proxy: Proxy) -> Option<Row> {
    let (server, secret) = gateway();
    let application = Application::start();
    let running = Running::start(proxy, &server, &application.address)?;
    let mut trial =
        Trial { proxy: &running, application: &application, server: &server, secret: &secret, row: Vec::new() };
    println!("{}", proxy.name());
    trial.good();
    trial.denied("no token", None, 401, "");
    trial.bad_tokens();
    let token = trial.token("write");
    trial.denied("too little scope", Some(&token), 403, "insufficient_scope");
    trial.revoked();
    trial.spoofed();
    trial.rotation();
    let token = trial.token("read");
    let mut row = trial.row;
    drop(server);
    let before = application.asked();
    let answer = running.with_token(&token);
    assert!(answer.status >= 500, "mintgate is down: {}", answer.status);
    assert_eq!(application.asked(), before, "nobody passes");
    row.push(("mintgate down", answer.status.to_string()));
    let seen: Vec<&str> = row.iter().map(|(case, _)| *case).collect();
    assert_eq!(seen, CASES);
    Some(row)
}

/// Each proxy is tried once, whichever test asks first.
fn row(proxy: Proxy) -> Option<&'static Row> {
    static ROWS: [OnceLock<Option<Row>>; 5] = [const { OnceLock::new() }; 5];
    let at = PROXIES.iter().position(|own| *own == proxy).expect("known");
    ROWS[at].get_or_init(|| run_all(proxy)).as_ref()
}

#[test]
fn nginx() {
    row(Proxy::Nginx);
}

#[test]
fn haproxy() {
    row(Proxy::Haproxy);
}

#[test]
fn caddy() {
    row(Proxy::Caddy);
}

#[test]
fn envoy() {
    row(Proxy::Envoy);
}

#[test]
fn apache() {
    row(Proxy::Apache);
}

/// Must-show: every proxy that is installed, at once, in front of one gateway that rotates twice.
#[test]
fn all_of_them_at_once_over_two_rotations() {
    let (server, secret) = gateway();
    let application = Application::start();
    let start = |proxy: Proxy| Running::start(proxy, &server, &application.address);
    let running: Vec<Running> = PROXIES.into_iter().filter_map(start).collect();
    let form = [("grant_type", "client_credentials"), ("scope", "read")];
    let token = || post_form(&server.url("/token"), Some(("svc", &secret)), &form).member("access_token");
    let oldest = token();
    let (mut kids, mut asked) = (Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    while kids.len() < 3 {
        assert!(Instant::now() < deadline, "two rotations in two minutes");
        let fresh = token();
        let kid = peek(&fresh).0["kid"].as_str().expect("kid").to_owned();
        if kids.last() != Some(&kid) {
            kids.push(kid);
            if kids.len() < 3 {
                let output = server.command(&["keys", "rotate"]);
                assert!(output.status.success(), "{}", stderr(&output));
            }
        }
        for proxy in &running {
            for token in [&fresh, &oldest] {
                let answer = proxy.with_token(token);
                assert_eq!(answer.status, 200, "after {asked}: {}\n{}", answer.text(), proxy.log());
                asked += 1;
            }
        }
    }
    println!("{} proxies at once: {asked} requests over 2 rotations, 0 refused", running.len());
}

/// The matrix as Markdown; a proxy that is not installed is left out.
fn matrix() -> (String, bool) {
    let mut text = matrix::head(&CASES);
    let mut complete = true;
    for proxy in PROXIES {
        let Some(row) = row(proxy) else {
            complete = false;
            continue;
        };
        text.push_str(&matrix::line(proxy.name(), row));
    }
    (text, complete)
}

/// A file between two lines is what was just seen; `MINTGATE_UPDATE=1 cargo test proxies` writes it.
#[test]
fn the_matrix_in_the_docs_is_what_just_ran() {
    let (seen, complete) = matrix();
    println!("{seen}");
    if !complete {
        println!("skipped: the matrix of docs/verifiers.md needs every proxy");
        return;
    }
    matrix::stands_in_the_document("matrix", &seen);
}

/// `deploy/recipes` holds what `gen-config` prints for one example.
#[test]
fn the_recipes_are_what_gen_config_prints() {
    let directory = TempDir::new();
    let config = directory.path().join("mintgate.toml");
    std::fs::write(&config, "issuer = \"https://auth.example\"\n").expect("written");
    for (target, file) in [
        ("nginx", "nginx/mintgate.conf"),
        ("haproxy", "haproxy/haproxy.cfg"),
        ("haproxy-lua", "haproxy/mintgate.lua"),
        ("caddy", "caddy/Caddyfile"),
        ("envoy", "envoy/envoy.yaml"),
        ("apache", "apache/mintgate.conf"),
        ("apache-lua", "apache/mintgate.lua"),
        ("traefik", "traefik/mintgate.yaml"),
        ("kong", "kong/kong.yaml"),
        ("istio", "istio/mintgate.yaml"),
    ] {
        let output = run(&[
            "gen-config",
            target,
            "--audience",
            AUDIENCE,
            "--scope",
            "read",
            "--config",
            &config.to_string_lossy(),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = stdout(&output);
        assert!(!printed.contains("{{") && !printed.contains("}}\n"), "{target}: a value is missing");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/recipes").join(file);
        if std::env::var_os("MINTGATE_UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, printed).expect("written");
        } else {
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), printed, "{}", path.display());
        }
    }
}

#[test]
fn gen_config_asks_for_an_audience_and_takes_the_configured_one() {
    let directory = TempDir::new();
    let config = directory.path().join("mintgate.toml");
    let path = config.to_string_lossy().into_owned();
    std::fs::write(&config, "issuer = \"https://auth.example\"\n").expect("written");
    assert_eq!(run(&["gen-config", "nginx", "--config", &path]).status.code(), Some(2));
    std::fs::write(
        &config,
        "issuer = \"https://auth.example\"\n[verify]\naudience = \"a/b;c\"\nsubject_header = \"Remote-User\"\ncookie = \"t\"\n",
    )
    .expect("written");
    let text = stdout(&run(&["gen-config", "nginx", "--config", &path]));
    assert!(text.contains("/verify?aud=a/b%3Bc;") && text.contains("Remote-User $mintgate_subject"), "{text}");
    assert!(text.contains("$upstream_http_remote_user") && text.contains("Cookie $http_cookie"), "{text}");
}
