//! Which place in which status list was given to which token: kept beside the state, written behind.
//!
//! A list must find the tokens that a revocation ends, so it remembers a few numbers of each live token. Issuing never
//! waits for this file and nothing is synced: what was issued in the last moments before a crash may be missing from
//! it, and a place that is missing reads as revoked (see `manual::status_list`). A record that is torn or damaged ends the
//! reading of its file.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ring::digest;

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;

/// Bytes of a record: the list's number, the place, seven numbers of the token, a checksum.
pub const RECORD_BYTES: usize = 72;

/// What a list knows of one token: enough to tell whether a revocation is about it.
///
/// Names are cut to 64 bits. With a million revocations and a million live tokens, the chance that any two of them are
/// taken for each other is under one in ten million; the token is then taken for revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Of `jti`.
    pub jti: u64,
    /// Of `sid`; 0 if there is none.
    pub family: u64,
    /// Of `sub`.
    pub subject: u64,
    /// Of `client_id`.
    pub client: u64,
    /// Of the `kid` it is signed with.
    pub key: u64,
    /// `iat`.
    pub issued_at: UnixSeconds,
    /// `auth_time`, or `iat` where there was no log-in.
    pub authenticated_at: UnixSeconds,
}

impl Facts {
    /// The number for a token id: its first half, random as it is.
    #[must_use]
    pub fn of_jti(jti: Jti) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = jti.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The number for a family: the second half of its id, which is random. The first half tells its end.
    #[must_use]
    pub fn of_family(family: FamilyId) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = family.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The number for a subject, a client or a key: the beginning of the SHA-256 of its name.
    #[must_use]
    pub fn of_name(name: &str) -> u64 {
        first_8(digest::digest(&digest::SHA256, name.as_bytes()).as_ref())
    }
}

/// Names a list: who made it, when it ends, which of several it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId {
    /// By when every token in it has expired.
    pub ends_at: UnixSeconds,
    /// Drawn at each start of a gateway: no two starts ever give away the same place.
    pub start: u64,
    /// Counts the lists of one end.
    pub number: u32,
}

impl fmt::Display for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}-{:x}", self.start, self.ends_at.0, self.number)
    }
}

impl FromStr for ListId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut next = || parts.next().ok_or(());
        let (start, end, number) = (next()?, next()?, next()?);
        let id = Self {
            start: u64::from_str_radix(start, 16).map_err(drop)?,
            ends_at: UnixSeconds(u64::from_str_radix(end, 16).map_err(drop)?),
            number: u32::from_str_radix(number, 16).map_err(drop)?,
        };
        // One list, one name: `+1` and `01` are numbers too.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// A place in a list, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// The list.
    pub list: ListId,
    /// The place.
    pub index: u32,
    /// The token.
    pub facts: Facts,
}

/// The directory with one file for each start and end, removed as a whole when that end has passed.
#[derive(Debug)]
pub struct Allotments {
    directory: PathBuf,
}

impl Allotments {
    /// The files in `directory`, which need not be there yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Appends to the files. Not synced: see the top of this module.
    ///
    /// # Errors
    /// If a file cannot be written; it may end in a torn record then, so do not append to it again.
    pub fn append(&self, allotted: &[Allotment]) -> io::Result<()> {
        let mut rest = allotted.to_vec();
        // Stable: within a file the order is that of the allotting.
        rest.sort_by_key(|one| (one.list.start, one.list.ends_at));
        for same in rest.chunk_by(|a, b| (a.list.start, a.list.ends_at) == (b.list.start, b.list.ends_at)) {
            let Some(first) = same.first() else { continue };
            let bytes: Vec<u8> = same.iter().flat_map(encode).collect();
            self.open(first.list)?.write_all(&bytes)?;
        }
        Ok(())
    }

    fn open(&self, list: ListId) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.directory.join(format!("{:016x}-{:x}", list.start, list.ends_at.0));
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)
    }

    /// Everything that was written and has not ended, and the lists' ends by start, also of files that are empty.
    ///
    /// # Errors
    /// If the directory or a file in it cannot be read.
    pub fn load(&self, now: UnixSeconds) -> io::Result<Vec<Allotment>> {
        let mut all = Vec::new();
        for (path, start, ends_at) in self.files()? {
            if !ends_at.has_passed(now) {
                read(&path, start, ends_at, &mut all)?;
            }
        }
        Ok(all)
    }

    /// Removes the files that have ended.
    ///
    /// # Errors
    /// If the directory cannot be read or a file not be removed.
    pub fn drop_ended(&self, now: UnixSeconds) -> io::Result<()> {
        for (path, _, ends_at) in self.files()? {
            if ends_at.has_passed(now) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(PathBuf, u64, UnixSeconds)>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((start, end)) = name.and_then(|name| name.split_once('-')) else { continue };
            let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else { continue };
            files.push((path, start, UnixSeconds(end)));
        }
        Ok(files)
    }
}

fn read(path: &Path, start: u64, ends_at: UnixSeconds, all: &mut Vec<Allotment>) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut record = [0; RECORD_BYTES];
    loop {
        match file.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some(allotted) = decode(&record, start, ends_at) else { return Ok(()) };
        all.push(allotted);
    }
}

fn first_8(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Covers the file's name too: a file that was renamed says nothing.
fn checksum(body: &[u8], start: u64, ends_at: UnixSeconds) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&start.to_be_bytes());
    context.update(&ends_at.0.to_be_bytes());
    context.update(body);
    first_8(context.finish().as_ref())
}

fn encode(allotted: &Allotment) -> [u8; RECORD_BYTES] {
    let Allotment { list, index, facts } = allotted;
    let place = (u64::from(list.number) << 32) | u64::from(*index);
    let numbers = [
        place,
        facts.jti,
        facts.family,
        facts.subject,
        facts.client,
        facts.key,
        facts.issued_at.0,
        facts.authenticated_at.0,
    ];
    let mut record = [0; RECORD_BYTES];
    let (body, sum) = record.split_at_mut(RECORD_BYTES - 8);
    for (slot, number) in body.chunks_exact_mut(8).zip(numbers) {
        slot.copy_from_slice(&number.to_be_bytes());
    }
    sum.copy_from_slice(&checksum(body, list.start, list.ends_at).to_be_bytes());
    record
}

fn decode(record: &[u8; RECORD_BYTES], start: u64, ends_at: UnixSeconds) -> Option<Allotment> {
    let (body, sum) = record.split_at(RECORD_BYTES - 8);
    if checksum(body, start, ends_at) != first_8(sum) {
        return None;
    }
    let mut numbers = body.chunks_exact(8).map(first_8);
    let place = numbers.next()?;
    Some(Allotment {
        list: ListId { start, ends_at, number: u32::try_from(place >> 32).ok()? },
        index: u32::try_from(place & u64::from(u32::MAX)).ok()?,
        facts: Facts {
            jti: numbers.next()?,
            family: numbers.next()?,
            subject: numbers.next()?,
            client: numbers.next()?,
            key: numbers.next()?,
            issued_at: UnixSeconds(numbers.next()?),
            authenticated_at: UnixSeconds(numbers.next()?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allotted() -> Allotment {
        let facts = Facts {
            jti: 1,
            family: 2,
            subject: 3,
            client: 4,
            key: 5,
            issued_at: UnixSeconds(6),
            authenticated_at: UnixSeconds(7),
        };
        Allotment { list: ListId { start: 8, ends_at: UnixSeconds(9), number: 10 }, index: 11, facts }
    }

    #[test]
    fn a_record_with_any_byte_changed_is_no_record() {
        let record = encode(&allotted());
        assert_eq!(decode(&record, 8, UnixSeconds(9)), Some(allotted()));
        for at in 0..RECORD_BYTES {
            let mut bad = record;
            bad[at] ^= 1;
            assert_eq!(decode(&bad, 8, UnixSeconds(9)), None, "{at}");
        }
        assert_eq!(decode(&record, 9, UnixSeconds(9)), None, "another start's");
        assert_eq!(decode(&[0; RECORD_BYTES], 8, UnixSeconds(9)), None, "a hole");
    }

    #[test]
    fn a_list_has_one_name() {
        let id = allotted().list;
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "-", "8-9-a", "0000000000000008-9", "0000000000000008-09-a", "0000000000000008-9-A", "+-1-1"] {
            assert_eq!(bad.parse::<ListId>(), Err(()), "{bad}");
        }
    }
}
