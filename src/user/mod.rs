//! Who logs in: accounts, passwords, directories.

pub mod directory;
pub mod django;
pub mod file;
pub mod hash;
pub mod password;
pub mod phc;
pub mod slowdown;
pub mod stored;

use crate::protocol::id::Subject;
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
}
