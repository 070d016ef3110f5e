//! Who logs in: accounts, passwords, directories.

pub mod directory;
pub mod django;
pub mod file;
pub mod hash;
pub mod password;
pub mod phc;
pub mod slowdown;
pub mod stored;

use ring::digest;

use crate::protocol::id::Subject;
use crate::protocol::refresh::Credential;
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// What a directory says about a user; everything but the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The stable, unguessable `sub` (RFC 9068 section 6); starts with `usr_`, which no client id does.
    pub subject: Subject,
    /// Disabled users are refused at log-in and at the next refresh.
    pub enabled: bool,
    /// The most this user may be granted; `None` leaves it to the client.
    pub scope: Option<Scope>,
    /// Logins before this moment are over (RFC 9700 section 4.14.2).
    pub password_changed_at: UnixSeconds,
    /// A mark of the stored password, from a directory that does not say when it changed: a log-in under another mark is
    /// over. `None` from one that says it.
    pub credential: Option<Credential>,
}

/// The mark of a stored password: 64 bits of a hash of it. It is found in sealed tokens alone, and two passwords share
/// one with a chance of 2^-64.
#[must_use]
pub fn mark(stored: &str) -> Credential {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"mintgate stored password\0");
    context.update(stored.as_bytes());
    Credential(context.finish().as_ref().first_chunk().copied().unwrap_or_default())
}
