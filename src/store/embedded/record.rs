//! The bytes of the log: changes, records of changes, and the head. The layout is told in [`crate::manual::formats`].

use std::sync::Arc;

use ring::digest;

use crate::protocol::id::{ClientId, FamilyId, Generation, Jti, Kid, Subject};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, Space};

/// The version of every layout in this file. A reader refuses what it does not know.
pub(super) const VERSION: u8 = 1;

/// Bytes of the checksum at the end of a record and of the head.
const CHECKSUM_BYTES: usize = 8;

/// Where a record lies: the end of its bucket, and its number in the order of writing. Never used twice.
pub(super) type Key = (u64, u64);

/// Where the head lies: before every record, for no bucket ends at 0.
pub(super) const HEAD: Key = (0, 0);

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Written by a later program.
    #[error("its format is version {0}, and this program reads version {VERSION}")]
    Newer(u8),
    /// Not what was written.
    #[error("its checksum is wrong")]
    Damaged,
    /// The checksum is right and the content is not: the program that wrote it was wrong.
    #[error("its content makes no sense")]
    Nonsense,
}

/// Puts version, content and checksum around the changes of one record.
pub(super) fn seal_record(key: Key, count: u32, changes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 4 + changes.len() + CHECKSUM_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(changes);
    bytes.extend_from_slice(&checksum(key, &bytes).to_be_bytes());
    bytes
}

/// The checksum a record claims, without checking it; what the head adds up.
pub(super) fn claimed_checksum(record: &[u8]) -> u64 {
    record.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Checks a record and hands its changes over, one by one.
pub(super) fn open_record<E: From<Unreadable>>(
    key: Key,
    record: &[u8],
    mut take: impl FnMut(Change) -> Result<(), E>,
) -> Result<(), E> {
    let content = checked(key, record)?;
    let mut reader = Reader { rest: content };
    let count = reader.u32()?;
    for _ in 0..count {
        take(reader.change()?)?;
    }
    if reader.rest.is_empty() { Ok(()) } else { Err(Unreadable::Nonsense.into()) }
}

/// Version first, so that a later layout is called later and not damaged; then the checksum.
fn checked(key: Key, bytes: &[u8]) -> Result<&[u8], Unreadable> {
    let (body, claimed) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Unreadable::Damaged)?;
    let (version, content) = body.split_first().ok_or(Unreadable::Damaged)?;
    let right = checksum(key, body) == u64::from_be_bytes(*claimed);
    match (*version, right) {
        (VERSION, true) => Ok(content),
        (newer, true) => Err(Unreadable::Newer(newer)),
        (_, false) => Err(Unreadable::Damaged),
    }
}

/// The first eight bytes of SHA-256 over the place and the bytes: a record that is whole but in another place is
/// found too.
fn checksum((bucket, sequence): Key, bytes: &[u8]) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&bucket.to_be_bytes());
    context.update(&sequence.to_be_bytes());
    context.update(bytes);
    context.finish().as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What the log says about itself; written anew with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// When the log was made: it knows nothing of what happened before.
    pub(super) knows_since: UnixSeconds,
    /// The latest wall time any of its changes was made at.
    pub(super) clock: UnixSeconds,
    /// The number of the next record.
    pub(super) next_sequence: u64,
    /// How many records there are.
    pub(super) records: u64,
    /// The checksums of all records, added up and wrapped around. A record that is missing, or one too many, shows.
    pub(super) sum: u64,
}

impl Head {
    pub(super) fn seal(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for field in [self.knows_since.0, self.clock.0, self.next_sequence, self.records, self.sum] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&checksum(HEAD, &bytes).to_be_bytes());
        bytes
    }

    pub(super) fn open(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader { rest: checked(HEAD, bytes)? };
        let head = Self {
            knows_since: reader.seconds()?,
            clock: reader.seconds()?,
            next_sequence: reader.u64()?,
            records: reader.u64()?,
            sum: reader.u64()?,
        };
        if reader.rest.is_empty() { Ok(head) } else { Err(Unreadable::Nonsense) }
    }
}

const ROTATE: u8 = 1;
const REVOKE: u8 = 2;
const DENY: u8 = 3;
const DENY_UNDATED: u8 = 4;
const SPEND: u8 = 5;
const EPOCH: u8 = 6;

/// Appends the bytes of one change. The generation a rotation came from is not written: it is the one before.
pub(super) fn write_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::RotateFamily { family, to, at, .. } => {
            out.push(ROTATE);
            out.extend_from_slice(&family.0);
            out.extend_from_slice(&to.0.to_be_bytes());
            out.extend_from_slice(&at.0.to_be_bytes());
        }
        Change::RevokeFamily { family } => {
            out.push(REVOKE);
            out.extend_from_slice(&family.0);
        }
        Change::DenyJti { jti, expires_at } => write_id(out, DENY, jti.0, *expires_at),
        Change::DenyUndatedJti { jti, until } => write_id(out, DENY_UNDATED, jti.0, *until),
        Change::SpendId { space, id, ends_at } => {
            write_id(out, SPEND, *id, *ends_at);
            out.push(match space {
                Space::Code => 1,
                Space::PushedRequest => 2,
                Space::Assertion => 3,
                Space::Proof => 4,
            });
        }
        Change::MoveEpoch { of, not_before, ends_at } => {
            let (kind, name) = match of {
                EpochOf::Subject(subject) => (1, subject.as_str()),
                EpochOf::Client(client) => (2, client.as_str()),
                EpochOf::Key(kid) => (3, kid.as_str()),
            };
            out.extend_from_slice(&[EPOCH, kind]);
            out.extend_from_slice(&not_before.0.to_be_bytes());
            out.extend_from_slice(&ends_at.0.to_be_bytes());
            // Names are at most ID_CHARS_MAX long; four bytes of length need no check for it.
            out.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
        }
    }
}

fn write_id(out: &mut Vec<u8>, tag: u8, id: [u8; 16], end: UnixSeconds) {
    out.push(tag);
    out.extend_from_slice(&id);
    out.extend_from_slice(&end.0.to_be_bytes());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Unreadable::Nonsense)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_be_bytes)
    }

    fn seconds(&mut self) -> Result<UnixSeconds, Unreadable> {
        self.u64().map(UnixSeconds)
    }

    fn change(&mut self) -> Result<Change, Unreadable> {
        Ok(match self.u8()? {
            ROTATE => {
                let (family, to) = (FamilyId(self.array()?), Generation(self.u32()?));
                let from = Generation(to.0.checked_sub(1).ok_or(Unreadable::Nonsense)?);
                Change::RotateFamily { family, from, to, at: self.seconds()? }
            }
            REVOKE => Change::RevokeFamily { family: FamilyId(self.array()?) },
            DENY => Change::DenyJti { jti: Jti(self.array()?), expires_at: self.seconds()? },
            DENY_UNDATED => Change::DenyUndatedJti { jti: Jti(self.array()?), until: self.seconds()? },
            SPEND => {
                let (id, ends_at) = (self.array()?, self.seconds()?);
                Change::SpendId { space: self.space()?, id, ends_at }
            }
            EPOCH => {
                let kind = self.u8()?;
                let (not_before, ends_at) = (self.seconds()?, self.seconds()?);
                Change::MoveEpoch { of: self.epoch_of(kind)?, not_before, ends_at }
            }
            _ => return Err(Unreadable::Nonsense),
        })
    }

    fn space(&mut self) -> Result<Space, Unreadable> {
        Ok(match self.u8()? {
            1 => Space::Code,
            2 => Space::PushedRequest,
            3 => Space::Assertion,
            4 => Space::Proof,
            _ => return Err(Unreadable::Nonsense),
        })
    }

    fn epoch_of(&mut self, kind: u8) -> Result<EpochOf, Unreadable> {
        let length = usize::try_from(self.u32()?).map_err(|_| Unreadable::Nonsense)?;
        let (name, rest) = self.rest.split_at_checked(length).ok_or(Unreadable::Nonsense)?;
        self.rest = rest;
        let name: Arc<str> = Arc::from(std::str::from_utf8(name).map_err(|_| Unreadable::Nonsense)?);
        Ok(match kind {
            1 => EpochOf::Subject(Subject::from(name.as_ref())),
            2 => EpochOf::Client(ClientId::from(name.as_ref())),
            3 => EpochOf::Key(Kid::from(name.as_ref())),
            _ => return Err(Unreadable::Nonsense),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Vec<Change> {
        let (family, end) = (FamilyId::new([1; 12], UnixSeconds(7_200)), UnixSeconds(9_000));
        let mut changes = vec![
            Change::RotateFamily { family, from: Generation(4), to: Generation(5), at: UnixSeconds(77) },
            Change::RevokeFamily { family },
            Change::DenyJti { jti: Jti([2; 16]), expires_at: end },
            Change::DenyUndatedJti { jti: Jti([3; 16]), until: end },
        ];
        let spaces = [Space::Code, Space::PushedRequest, Space::Assertion, Space::Proof];
        changes.extend(spaces.map(|space| Change::SpendId { space, id: [4; 16], ends_at: end }));
        let names = [
            EpochOf::Subject(Subject::from("usr_\u{e9}")),
            EpochOf::Client(ClientId::from("")),
            EpochOf::Key(Kid::from("k")),
        ];
        changes.extend(names.map(|of| Change::MoveEpoch { of, not_before: UnixSeconds(8), ends_at: end }));
        changes
    }

    fn sealed(changes: &[Change]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for change in changes {
            write_change(&mut bytes, change);
        }
        seal_record((9, 8), u32::try_from(changes.len()).expect("few"), &bytes)
    }

    fn read(key: Key, bytes: &[u8]) -> Result<Vec<Change>, Unreadable> {
        let mut changes = Vec::new();
        open_record(key, bytes, |change| {
            changes.push(change);
            Ok::<(), Unreadable>(())
        })?;
        Ok(changes)
    }

    #[test]
    fn a_record_gives_back_every_kind_of_change() {
        assert_eq!(read((9, 8), &sealed(&every_kind())), Ok(every_kind()));
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_other_place_is_found() {
        let bytes = sealed(&every_kind());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read((9, 8), &flipped), Err(Unreadable::Damaged), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(read((9, 8), &bytes[..length]), Err(Unreadable::Damaged), "{length} bytes");
        }
        assert_eq!(read((9, 9), &bytes), Err(Unreadable::Damaged));
        assert_eq!(read((8, 8), &bytes), Err(Unreadable::Damaged));
    }

    #[test]
    fn a_later_version_is_called_later_and_not_damaged() {
        let mut bytes = vec![VERSION + 1, 1, 2, 3];
        bytes.extend_from_slice(&checksum((9, 8), &bytes).to_be_bytes());
        assert_eq!(read((9, 8), &bytes), Err(Unreadable::Newer(VERSION + 1)));
    }

    #[test]
    fn a_right_checksum_over_nonsense_is_refused() {
        let mut zero = Vec::new();
        write_change(&mut zero, &Change::RevokeFamily { family: FamilyId([0; 16]) });
        for (name, count, changes) in [
            ("an unknown tag", 1, vec![99]),
            ("more changes than there are", 2, zero.clone()),
            ("fewer changes than there are", 0, zero.clone()),
            ("a rotation to generation 0", 1, [&[ROTATE][..], &[0; 28]].concat()),
            ("a name longer than the rest", 1, [&[EPOCH, 1][..], &[0; 16], &[0xff; 4]].concat()),
            ("an unknown space", 1, [&[SPEND][..], &[0; 24], &[9]].concat()),
        ] {
            assert_eq!(read((9, 8), &seal_record((9, 8), count, &changes)), Err(Unreadable::Nonsense), "{name}");
        }
    }

    #[test]
    fn the_head_gives_back_what_it_says() {
        let head =
            Head { knows_since: UnixSeconds(1), clock: UnixSeconds(2), next_sequence: 3, records: 4, sum: u64::MAX };
        assert_eq!(Head::open(&head.seal()), Ok(head));
    }
}
