//! Where accounts come from: a trait, and one file for each kind of directory.

pub mod file;
pub mod sql;

use std::pin::Pin;
use std::sync::Arc;

use crate::protocol::id::Subject;
use crate::user::Profile;

/// An answer that may take a while; a directory may be across a network.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DirectoryError>> + Send + 'a>>;

/// The directory does not answer. Answer 503, never "no such user".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the user directory does not answer")]
pub struct DirectoryError;

/// What a log-in needs to know about a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name, as the directory spells it.
    pub name: Arc<str>,
    /// Everything but the password.
    pub profile: Profile,
    /// The stored hash (PHC). `None`: no password opens this account.
    pub password: Option<Arc<str>>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Knows users by name and by subject.
pub trait Directory: Send + Sync {
    /// The account with exactly this name, disabled ones too.
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Account>>;

    /// What is known about a subject now; `None` if it is gone.
    fn profile<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Option<Profile>>;

    /// Some stored password, if there is any: what an unknown user's comparison must cost the same as. Of the kind that new
    /// users get, if there are several.
    fn sample(&self) -> Answer<'_, Option<Arc<str>>>;
}
