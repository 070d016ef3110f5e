//! A disk that cannot be written any more: full, or read-only. Needs the right to mount; says so if it has none.

use std::path::Path;
use std::process::Command;

use super::crash::{self, client_credentials, gateway_with, log_in, refresh, verify};
use crate::support::http::{Answer, get};
use crate::support::server::{Server, until};
use crate::support::temp::TempDir;

/// A disk of its own, gone at the end of the test.
struct Mounted {
    at: TempDir,
}

impl Mounted {
    /// Mounts what `args` say, or says that it may not.
    fn new(args: &[&str]) -> Option<Self> {
        let mounted = Self { at: TempDir::new() };
        mounted.mount(args).then_some(mounted)
    }

    fn mount(&self, args: &[&str]) -> bool {
        succeeds(Command::new("mount").args(args).arg(self.at.path()))
    }

    fn unmount(&self) -> bool {
        succeeds(Command::new("umount").arg(self.at.path()))
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.at.path()).output();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A gateway whose state lies on `disk`, and the secret of its service.
fn gateway_on(disk: &Mounted) -> (Server, String) {
    let state = format!("directory = \"{}\"", disk.path().to_string_lossy());
    gateway_with(|text| text.replace("directory = \"state\"", &state))
}

fn revoke(server: &Server, token: &str) -> Answer {
    crash::ask(&server.url(""), "/revoke", &[("client_id", "app"), ("token", token)]).expect("an answer")
}

/// What needs no change goes on; what needs one says 503 and when to come back; probes and log say why.
fn only_changes_are_refused(server: &Server, secret: &str, token: &str, access: &str) {
    for (name, answer) in
        [("refresh", refresh(&server.url(""), token).expect("an answer")), ("revoke", revoke(server, token))]
    {
        let said = (answer.status, answer.error());
        assert_eq!(said, (503, "temporarily_unavailable".to_owned()), "{name}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{name}");
    }
    let answer = client_credentials(server, secret);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(verify(server, &answer.member("access_token")), 200, "a new token");
    assert_eq!(verify(server, access), 200, "an old token");
    for path in ["/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert_eq!(get(&server.url(path)).status, 200, "{path}");
    }
    let again = log_in(&server.url(""));
    assert_eq!(verify(server, &again.access), 200, "logging in writes nothing, so it goes on");
    let ready = get(&server.admin("/health/ready"));
    let parts = ready.json();
    assert_eq!((ready.status, parts["refresh"].as_str()), (503, Some("poisoned")), "{parts}");
    assert_eq!((parts["issue"].as_str(), parts["verify"].as_str()), (Some("ok"), Some("ok")), "{parts}");
    assert!(server.log().contains("the state cannot be written"), "{}", server.log());
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    assert_eq!(server.wait(), 0, "{}", server.log());
}

/// Starts another process on the files of `server`, which has ended.
fn start_again(server: &mut Server) {
    let (command, directory, config) = (crash::serve(server), server.directory.take(), server.config().to_owned());
    *server = Server::start_by(command, directory);
    server.started["config"] = serde_json::Value::from(config);
    assert!(crash::is_ready(server), "{}", server.log());
}

#[test]
fn a_full_disk_stops_refreshes_and_nothing_else() {
    let Some(disk) = Mounted::new(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]) else {
        println!("skipped: no right to mount a small tmpfs here");
        return;
    };
    let (mut server, secret) = gateway_on(&disk);
    let mut client = log_in(&server.url(""));
    let revoked = log_in(&server.url(""));
    assert_eq!(revoke(&server, &revoked.token).status, 200);
    let ballast = disk.path().join("ballast");
    // Takes what is left of the disk; the log has to grow into nothing.
    let _ = std::fs::write(&ballast, vec![1; 4 << 20]);
    until("the disk is full", || {
        let answer = refresh(&server.url(""), &client.token).expect("an answer");
        if answer.status == 200 {
            client.token = answer.member("refresh_token");
        }
        answer.status != 200
    });
    only_changes_are_refused(&server, &secret, &client.token, &client.access);

    // Room is back: it needs a start, as its log says, and then the same token works.
    std::fs::remove_file(&ballast).expect("removed");
    assert_eq!(refresh(&server.url(""), &client.token).expect("an answer").status, 503);
    assert!(server.log().contains("start"), "{}", server.log());
    stop(&mut server);
    start_again(&mut server);
    assert_eq!(refresh(&server.url(""), &client.token).expect("an answer").status, 200);
    assert_eq!(refresh(&server.url(""), &revoked.token).expect("an answer").status, 400, "what was revoked stays so");
}

/// The way disks become read-only in the field: the file system meets an error and stops writing, under everybody.
///
/// By hand it cannot happen: `mount -o remount,ro` is refused while the log is open. So this makes a file system that
/// does it by itself (`errors=remount-ro`) and has it meet an error.
#[test]
fn a_disk_that_turns_read_only_stops_refreshes_and_nothing_else() {
    let folder = TempDir::new();
    let image = folder.join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("a file");
    let image = image.to_string_lossy().into_owned();
    let args = ["-t", "ext4", "-o", "loop,errors=remount-ro", &image];
    let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F", &image]));
    let Some(disk) = made.then(|| Mounted::new(&args)).flatten() else {
        println!("skipped: no right to mount an ext4 image here, or no mkfs.ext4");
        return;
    };
    let (mut server, secret) = gateway_on(&disk);
    let mut client = log_in(&server.url(""));
    let revoked = log_in(&server.url(""));
    for _ in 0..20 {
        client.token = refresh(&server.url(""), &client.token).expect("an answer").member("refresh_token");
    }
    assert_eq!(revoke(&server, &revoked.token).status, 200);

    assert!(!disk.mount(&["-o", "remount,ro"]), "refused while the log is open");
    assert!(crash::is_ready(&server), "{}", server.log());
    let device = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(disk.path()).output().expect("findmnt");
    let device = String::from_utf8_lossy(&device.stdout).trim().trim_start_matches("/dev/").to_owned();
    if std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").is_err() {
        println!("skipped: this kernel's ext4 takes no orders to fail");
        return;
    }
    only_changes_are_refused(&server, &secret, &client.token, &client.access);

    // Mended and mounted again; the token that was refused works, and everything acknowledged is there.
    stop(&mut server);
    assert!(disk.unmount(), "nothing holds the disk when the server has stopped");
    let mended = Command::new("fsck.ext4").args(["-p", &image]).output().expect("fsck.ext4");
    assert!(mended.status.code().is_some_and(|code| code <= 1), "{mended:?}");
    assert!(disk.mount(&args));
    start_again(&mut server);
    assert_eq!(refresh(&server.url(""), &client.token).expect("an answer").status, 200);
    assert_eq!(refresh(&server.url(""), &revoked.token).expect("an answer").status, 400, "what was revoked stays so");
    stop(&mut server);
}
