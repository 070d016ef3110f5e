//! The release mintgate, started for a scenario.

use std::path::PathBuf;
use std::process::Command;

use crate::client::{Answer, Connection, Wire, get, post};
use crate::floor::{Kind, Reply};
use crate::process::Process;
use crate::tls::Certificate;

pub const FORM: &str = "application/x-www-form-urlencoded";

/// What a scenario wants different from `mintgate dev`.
#[derive(Default)]
pub struct Setup<'a> {
    /// Settings, by their names in the environment.
    pub settings: Vec<(&'static str, String)>,
    /// The durable store; else memory alone.
    pub durable: bool,
    /// `openssl genpkey` arguments of a key to sign with.
    pub key: Option<&'static [&'static str]>,
    pub certificate: Option<&'a Certificate>,
}

/// Where to ask, and as whom.
pub struct Target {
    pub process: Process,
    pub address: String,
    client: [String; 3],
    pub public_client: String,
    user: [String; 2],
    /// Removed at the end.
    directory: Option<PathBuf>,
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

impl Target {
    /// Our HTTP server with a fixed reply behind it.
    pub fn bare(reply: &Reply) -> Self {
        let process = Process::ours(Kind::Bare, reply);
        let address = process.address("url");
        let text = |text: &str| text.to_owned();
        let client = [text("client"), text("secret-secret-secret-secret-secret-secret-43"), text("read write")];
        let user = [text("ada"), text("pw")];
        Self { process, address, client, public_client: text("app"), user, directory: None }
    }

    pub fn start(setup: &Setup<'_>) -> Self {
        let kept = setup.durable || setup.key.is_some();
        let directory = kept.then(|| {
            // Below target/, so that the disk is a real one.
            let name = format!("load-{}-{}", std::process::id(), setup.settings.len() + usize::from(setup.durable));
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
        });
        let mut command = mintgate();
        command.args(["dev", "--json", "--port", "0"]).envs(setup.settings.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &directory {
            let _ = std::fs::remove_dir_all(directory);
            if let Some(arguments) = setup.key {
                import(directory, arguments);
            }
            command.arg("--keep").arg(directory);
            command.env("MINTGATE_STATE_DURABILITY", if setup.durable { "always" } else { "none" });
        }
        if let Some(certificate) = setup.certificate {
            command.env("MINTGATE_TLS_CERTIFICATE", &certificate.certificate);
            command.env("MINTGATE_TLS_KEY", &certificate.key);
        }
        let process = Process::start(&mut command);
        let text = |object: &str, member: &str| {
            process.said[object][member].as_str().unwrap_or_else(|| panic!("no {object}.{member}")).to_owned()
        };
        let address = process.address("url");
        let client = [text("client", "client_id"), text("client", "client_secret"), text("client", "scope")];
        let user = [text("user", "username"), text("user", "password")];
        let public_client = text("public_client", "client_id");
        Self { process, address, client, public_client, user, directory }
    }

    pub fn token_request(&self) -> Vec<u8> {
        let scope = self.client[2].replace(' ', "+");
        post("/token", &format!("grant_type=client_credentials&{}&scope={scope}", self.credentials()), FORM)
    }

    pub fn login_request(&self) -> Vec<u8> {
        let [name, password] = &self.user;
        let form =
            format!("client_id={}&username={}&password={}", self.public_client, encoded(name), encoded(password));
        post("/login", &form, FORM)
    }

    /// `/introspect` or `/revoke`, for one token.
    pub fn about(&self, path: &str, token: &str) -> Vec<u8> {
        post(path, &format!("{}&token={token}", self.credentials()), FORM)
    }

    pub fn verify_request(token: &str) -> Vec<u8> {
        get("/verify?aud=https://api.example", &format!("authorization: Bearer {token}\r\n"))
    }

    fn credentials(&self) -> String {
        format!("client_id={}&client_secret={}", self.client[0], encoded(&self.client[1]))
    }

    pub async fn ask(&self, request: &[u8], wire: &Wire) -> Answer {
        let mut connection = Connection::open(&self.address, wire).await.expect("the server listens");
        connection.ask(request).await.expect("the server answers")
    }

    /// `count` access tokens.
    pub async fn tokens(&self, count: usize) -> Vec<String> {
        let mut connection = Connection::open(&self.address, &Wire::Kept).await.expect("the server listens");
        let request = self.token_request();
        let mut tokens = Vec::with_capacity(count);
        for _ in 0..count {
            let answer = connection.ask(&request).await.expect("a token");
            tokens.push(answer.member("access_token"));
        }
        tokens
    }

    /// `count` refresh tokens, each of its own log-in.
    pub async fn log_in(&self, count: usize) -> Vec<String> {
        let mut connection = Connection::open(&self.address, &Wire::Kept).await.expect("the server listens");
        let mut tokens = Vec::with_capacity(count);
        for _ in 0..count {
            tokens.push(connection.ask(&self.login_request()).await.expect("a log-in").member("refresh_token"));
        }
        tokens
    }
}

fn mintgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mintgate"))
}

/// Makes a directory for `dev --keep` whose active key is one that openssl made.
fn import(directory: &std::path::Path, arguments: &[&str]) {
    let first = Process::start(mintgate().args(["dev", "--json", "--port", "0", "--keep"]).arg(directory));
    drop(first);
    let output = Command::new("openssl").arg("genpkey").args(arguments).output().expect("openssl");
    let file = directory.join("imported.pem");
    std::fs::write(&file, output.stdout).unwrap();
    let keys = |arguments: &[&str]| {
        let mut command = mintgate();
        command.arg("keys").args(arguments).arg("--json").arg("--config").arg(directory.join("mintgate.toml"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said: serde_json::Value = serde_json::from_str(&keys(&["import", file.to_str().unwrap()])).unwrap();
    let key = &said["keys"][0];
    // The first key of its algorithm signs at once.
    if key["state"] != "active" {
        keys(&["activate", key["kid"].as_str().unwrap_or_else(|| panic!("no kid in {said}")), "--force"]);
    }
}

/// Form encoding of what a generated name or password may hold.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
