//! What a refresh token says once it is opened (RFC 6749 section 1.5).

use crate::protocol::id::{Audience, ClientId, FamilyId, Generation, Subject};
use crate::protocol::scope::Scope;
use crate::protocol::time::UnixSeconds;

/// An opened refresh token: authentic, so its fields are ours.
///
/// It always carries the full grant; a narrowed refresh narrows only its access token (RFC 6749 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The login it belongs to.
    pub family: FamilyId,
    /// Which token of the family it is.
    pub generation: Generation,
    /// The client it was issued to.
    pub client: ClientId,
    /// Who logged in.
    pub subject: Subject,
    /// Everything that was granted.
    pub scope: Scope,
    /// Every audience that was granted; the first is the default.
    pub audiences: Vec<Audience>,
    /// When the user logged in.
    pub auth_time: UnixSeconds,
    /// When this token was sealed; the idle lifetime counts from here.
    pub issued_at: UnixSeconds,
    /// The absolute end of the family.
    pub family_ends_at: UnixSeconds,
    /// The mark of the password that was given, where the directory does not say when a password changes.
    pub credential: Option<Credential>,
}

/// A mark of a stored password: another password has another mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential(pub [u8; 8]);
