//! The directory of keys: what it refuses, and what it survives.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use mintgate::ambient::SystemEntropy;
use mintgate::keys::backend::file::{FileBackend, MANIFEST_NAME};
use mintgate::keys::backend::{BackendError, KeyBackend as _, Patience, file_name};
use mintgate::keys::lifecycle::KeyUse;
use mintgate::keys::{Keyring, Settings, initialise};
use mintgate::protocol::time::UnixSeconds;

use crate::support::temp::TempDir;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

struct Place {
    dir: TempDir,
    settings: Settings,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new();
        let settings = Settings::new(dir.join("keys"));
        initialise(&settings, NOW, &SystemEntropy).unwrap();
        Self { dir, settings }
    }

    fn backend(&self) -> FileBackend {
        FileBackend::new(&self.settings.directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.directory.join(name)
    }

    fn signing_file(&self) -> PathBuf {
        let manifest = self.backend().manifest().unwrap();
        let record = manifest.records.iter().find(|one| one.usage != KeyUse::Seal).unwrap();
        self.path(&file_name(record))
    }

    fn load(&self) -> Result<Keyring, String> {
        Keyring::load(&self.settings).map_err(|error| error.to_string())
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn everything_is_for_the_owner_alone() {
    let place = Place::new();
    assert_eq!(mode(&place.settings.directory), 0o700);
    let entries = place.backend().entries().unwrap();
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries.iter().all(|entry| entry.mode == 0o600), "{entries:?}");
}

#[test]
fn a_second_init_touches_nothing() {
    let place = Place::new();
    let before = std::fs::read(place.path(MANIFEST_NAME)).unwrap();
    let error = initialise(&place.settings, NOW, &SystemEntropy).unwrap_err().to_string();
    assert!(error.contains("holds a key set already"), "{error}");
    assert_eq!(std::fs::read(place.path(MANIFEST_NAME)).unwrap(), before);
    assert_eq!(place.backend().entries().unwrap().len(), 3);
}

#[test]
fn what_others_can_read_is_refused_with_the_line_that_mends_it() {
    let place = Place::new();
    let path = place.signing_file();
    for bits in [0o640, 0o604, 0o660, 0o644, 0o610] {
        chmod(&path, bits);
        let error = place.load().err().unwrap();
        let (shown, octal) = (path.display().to_string(), format!("{bits:04o}"));
        assert!(error.contains(&shown) && error.contains(&octal), "{error}");
        assert!(error.contains(&format!("chmod 600 '{shown}'")), "{error}");
    }
    for bits in [0o600, 0o400] {
        chmod(&path, bits);
        assert!(place.load().is_ok(), "{bits:o}");
    }
}

#[test]
fn what_is_refused() {
    type Break = fn(&Place);
    let rows: [(&str, Break, &str); 11] = [
        ("manifest that others can change", |p| chmod(&p.path(MANIFEST_NAME), 0o622), "chmod 600"),
        ("no manifest", |p| std::fs::remove_file(p.path(MANIFEST_NAME)).unwrap(), "holds no key set"),
        ("no directory", |p| std::fs::remove_dir_all(&p.settings.directory).unwrap(), "holds no key set"),
        ("private part missing", |p| std::fs::remove_file(p.signing_file()).unwrap(), "is missing"),
        ("private part torn", |p| truncate(&p.signing_file(), 40), "signing-"),
        ("private part empty", |p| truncate(&p.signing_file(), 0), "signing-"),
        ("manifest torn", |p| truncate(&p.path(MANIFEST_NAME), 100), "not a mintgate key set"),
        ("manifest of a later version", |p| replace(p, "\"version\": 1", "\"version\": 2"), "format version 2"),
        ("manifest with an unknown member", |p| replace(p, "\"serial\"", "\"x\": 1, \"serial\""), "unknown field"),
        ("a path for an id", |p| replace(p, "\"id\": \"", "\"id\": \"../"), "the id is not"),
        (
            "a link for a key",
            |p| {
                let (from, to) = (p.signing_file(), p.dir.join("elsewhere.pem"));
                std::fs::rename(&from, &to).unwrap();
                symlink(to, from).unwrap();
            },
            "links are not followed",
        ),
    ];
    for (name, break_one_thing, message) in rows {
        let place = Place::new();
        break_one_thing(&place);
        let error = place.load().err().expect(name);
        assert!(error.contains(message), "{name}: {error}");
    }
}

fn truncate(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn replace(place: &Place, from: &str, to: &str) {
    let path = place.path(MANIFEST_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_file_of_one_key_under_the_name_of_another() {
    let (one, other) = (Place::new(), Place::new());
    std::fs::copy(other.signing_file(), one.signing_file()).unwrap();
    let error = one.load().err().unwrap();
    assert!(error.contains("another key"), "{error}");
}

#[test]
fn torn_temporary_files_disturb_nobody() {
    let place = Place::new();
    let temporary = place.path(&format!(".{MANIFEST_NAME}.tmp"));
    std::fs::write(&temporary, b"{\"format\": \"mintg").unwrap();
    place.load().unwrap();
    let backend = place.backend();
    let _lock = backend.lock(Patience::None).unwrap();
    backend.write_manifest(&backend.manifest().unwrap()).unwrap();
    assert!(!temporary.exists());
    place.load().unwrap();
}

#[test]
fn one_writer_at_a_time_and_readers_always() {
    let place = Place::new();
    let (first, second) = (place.backend(), place.backend());
    let lock = first.lock(Patience::None).unwrap();
    assert!(matches!(second.lock(Patience::None), Err(BackendError::Busy(_))));
    place.load().unwrap();
    drop(lock);
    second.lock(Patience::None).unwrap();
}

#[test]
fn a_directory_that_is_swapped_as_a_whole_is_read_and_never_written() {
    let place = Place::new();
    // The layout of a Kubernetes volume: names -> ..data/name, ..data -> a dated directory.
    let mount = place.dir.join("mount");
    std::fs::create_dir(&mount).unwrap();
    std::fs::rename(&place.settings.directory, mount.join("..2027_01")).unwrap();
    symlink("..2027_01", mount.join("..data")).unwrap();
    for entry in FileBackend::new(mount.join("..2027_01")).entries().unwrap() {
        symlink(format!("..data/{}", entry.name), mount.join(&entry.name)).unwrap();
    }
    let settings = Settings::new(&mount);
    let keyring = Keyring::load(&settings).unwrap();
    let backend = FileBackend::new(&mount);
    assert!(matches!(backend.lock(Patience::None), Err(BackendError::Managed(_))));
    assert!(matches!(backend.write_manifest(&backend.manifest().unwrap()), Err(BackendError::Managed(_))));
    // The swap: a new directory, then one rename of the link.
    let copy = mount.join("..2027_02");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(mount.join("..2027_01")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let before = backend.stamp().unwrap();
    symlink("..2027_02", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    assert_ne!(backend.stamp().unwrap(), before);
    keyring.follow(NOW).unwrap();
}

#[test]
fn a_linked_directory_is_followed() {
    let place = Place::new();
    let link = place.dir.join("current");
    symlink(&place.settings.directory, &link).unwrap();
    Keyring::load(&Settings::new(link)).unwrap();
}
