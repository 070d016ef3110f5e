//! A refresh token as bytes: compact, versioned, every length checked. The layout is in [`crate::manual::formats`].

use zeroize::Zeroizing;

use crate::keys::sealing::{SALT_BYTES, SealingKey, SealingKeyId};
use crate::protocol::claims::AUDIENCES_MAX;
use crate::protocol::id::{Audience, ClientId, FamilyId, Generation, ID_CHARS_MAX, Subject, is_client_id};
use crate::protocol::refresh::{Credential, RefreshToken};
use crate::protocol::scope::{SCOPE_BYTES_MAX, Scope};
use crate::protocol::time::UnixSeconds;
use crate::token::seal::{OpenError, SealError, SealedKind, open, seal};

/// The layout of a token without the mark of a password: written and read.
const VERSION: u8 = 1;
/// The layout of a token with one, which stands behind the dates.
const VERSION_MARKED: u8 = 2;
/// Version, family, generation and three dates.
const FIXED_BYTES: usize = 1 + 16 + 4 + 3 * 8;

/// Seals a refresh token.
///
/// `salt`: random and used once.
///
/// # Errors
/// [`SealError`] if a field is longer than its bound, or all together do not fit.
pub fn seal_refresh(token: &RefreshToken, key: &SealingKey, salt: [u8; SALT_BYTES]) -> Result<String, SealError> {
    seal(SealedKind::RefreshToken, key, salt, encode(token)?)
}

/// Opens a refresh token: what comes back is authentic, so its fields are ours. Whether it is live is another question.
///
/// # Errors
/// [`OpenError`], one for every cause.
pub fn open_refresh<'k>(
    text: &str,
    find: impl FnOnce(SealingKeyId) -> Option<&'k SealingKey>,
) -> Result<RefreshToken, OpenError> {
    decode(&open(SealedKind::RefreshToken, text, find)?).ok_or(OpenError)
}

/// Writes the fields in their order; dates and counts are big-endian.
///
/// # Errors
/// [`SealError`] for a field that its length prefix or its bound does not allow.
pub fn encode(token: &RefreshToken) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let texts: usize = token.audiences.iter().map(|audience| audience.as_str().len() + 1).sum();
    let mark = token.credential.as_ref().map_or(&[][..], |credential| &credential.0);
    let length = FIXED_BYTES
        + mark.len()
        + (1 + token.client.as_str().len())
        + (1 + token.subject.as_str().len())
        + (2 + token.scope.as_str().len())
        + (1 + texts);
    // Exactly as long as needed: growing would leave an unwiped copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    out.push(if mark.is_empty() { VERSION } else { VERSION_MARKED });
    out.extend_from_slice(&token.family.0);
    out.extend_from_slice(&token.generation.0.to_be_bytes());
    for date in [token.auth_time, token.issued_at, token.family_ends_at] {
        out.extend_from_slice(&date.0.to_be_bytes());
    }
    out.extend_from_slice(mark);
    if !is_client_id(token.client.as_str()) {
        return Err(SealError);
    }
    short(token.client.as_str(), &mut out)?;
    short(token.subject.as_str(), &mut out)?;
    let scope = token.scope.as_str();
    let scope_length = u16::try_from(scope.len()).map_err(|_| SealError)?;
    out.extend_from_slice(&scope_length.to_be_bytes());
    out.extend_from_slice(scope.as_bytes());
    if !(1..=AUDIENCES_MAX).contains(&token.audiences.len()) {
        return Err(SealError);
    }
    out.push(u8::try_from(token.audiences.len()).map_err(|_| SealError)?);
    for audience in &token.audiences {
        short(audience.as_str(), &mut out)?;
    }
    Ok(out)
}

/// One byte of length, then 1 to [`ID_CHARS_MAX`] bytes of text.
fn short(text: &str, out: &mut Vec<u8>) -> Result<(), SealError> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length > 0).ok_or(SealError)?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Reads what [`encode`] wrote; `None` for another version, a field out of bounds, or bytes behind the last one.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<RefreshToken> {
    let mut reader = Reader { rest: bytes };
    let [version] = reader.take::<1>()?;
    if ![VERSION, VERSION_MARKED].contains(&version) {
        return None;
    }
    let family = FamilyId(reader.take()?);
    let generation = Generation(u32::from_be_bytes(reader.take()?));
    let auth_time = reader.date()?;
    let issued_at = reader.date()?;
    let family_ends_at = reader.date()?;
    let credential = if version == VERSION_MARKED { Some(Credential(reader.take()?)) } else { None };
    let client = reader.short().filter(|client| is_client_id(client)).map(ClientId::from)?;
    let subject = reader.short().map(Subject::from)?;
    let scope_length = usize::from(u16::from_be_bytes(reader.take()?));
    if scope_length > SCOPE_BYTES_MAX {
        return None;
    }
    let scope_text = reader.text(scope_length)?;
    // Reading a scope folds repeats and blanks; we seal it folded, so whatever still changes is not ours.
    let scope = scope_text.parse().ok().filter(|scope: &Scope| scope.as_str() == scope_text)?;
    let [count] = reader.take::<1>()?;
    if !(1..=AUDIENCES_MAX).contains(&usize::from(count)) {
        return None;
    }
    let audiences = (0..count).map(|_| reader.short().map(Audience::from)).collect::<Option<Vec<_>>>()?;
    if !reader.rest.is_empty() {
        return None;
    }
    Some(RefreshToken {
        family,
        generation,
        client,
        subject,
        scope,
        audiences,
        auth_time,
        issued_at,
        family_ends_at,
        credential,
    })
}

/// Takes fields off the front and never reads past the end.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*field)
    }

    fn date(&mut self) -> Option<UnixSeconds> {
        self.take().map(u64::from_be_bytes).map(UnixSeconds)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (field, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(field).ok()
    }

    fn short(&mut self) -> Option<&'a str> {
        let [length] = self.take::<1>()?;
        self.text(usize::from(length)).filter(|text| (1..=ID_CHARS_MAX).contains(&text.len()))
    }
}
