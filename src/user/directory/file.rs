//! The directory in a file: `users.toml`, whole in memory, swapped at a reload.

use std::collections::HashMap;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::ambient::document::{self, FileError};
use crate::protocol::id::Subject;
use crate::user::Profile;
use crate::user::directory::{Account, Answer, Directory};
use crate::user::file;

/// An immutable snapshot of the users.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<Arc<str>, Arc<Account>>,
    by_subject: HashMap<Subject, Arc<Account>>,
}

impl Users {
    /// Reads `users.toml`; see [`mod@file`] for its form.
    ///
    /// # Errors
    /// [`FileError`] with line and column. Nothing of a damaged file is used.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, &document::read(path)?)
    }

    /// As [`Users::read`], but a file that does not exist yet holds no user: a gateway for services alone needs none.
    ///
    /// # Errors
    /// As [`Users::read`], without `Missing`.
    pub fn read_or_empty(path: &Path) -> Result<Self, FileError> {
        match Self::read(path) {
            Err(FileError::Missing { .. }) => Ok(Self::default()),
            read => read,
        }
    }

    /// Reads the text of `users.toml`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Users::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        Ok(file::parse(path, text)?.into_iter().collect())
    }

    /// The account with exactly this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// The account with this subject.
    #[must_use]
    pub fn find_subject(&self, subject: &Subject) -> Option<&Arc<Account>> {
        self.by_subject.get(subject)
    }

    /// All accounts in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<&Arc<Account>> {
        let mut all: Vec<&Arc<Account>> = self.by_name.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl FromIterator<Account> for Users {
    fn from_iter<I: IntoIterator<Item = Account>>(accounts: I) -> Self {
        let mut users = Self::default();
        for account in accounts {
            let account = Arc::new(account);
            users.by_subject.insert(account.profile.subject.clone(), Arc::clone(&account));
            users.by_name.insert(Arc::clone(&account.name), account);
        }
        users
    }
}

/// The users of one file.
#[derive(Debug)]
pub struct FileDirectory {
    path: PathBuf,
    current: ArcSwap<Users>,
}

impl FileDirectory {
    /// A directory of users that were read already from `path`.
    #[must_use]
    pub fn new(path: PathBuf, users: Users) -> Self {
        Self { path, current: ArcSwap::from_pointee(users) }
    }

    /// Reads the file; one that does not exist yet is empty.
    ///
    /// # Errors
    /// [`FileError`] for a file that cannot be read or is damaged.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let users = Users::read_or_empty(&path)?;
        Ok(Self { path, current: ArcSwap::from_pointee(users) })
    }

    /// Reads the file again; all or nothing. How many users there are now.
    ///
    /// # Errors
    /// [`FileError`]; the users stay as they were. A file that has gone is an error here: nobody is locked out
    /// because a volume was not mounted.
    pub fn reload(&self) -> Result<usize, FileError> {
        let was_empty = self.current.load().is_empty();
        let users = if was_empty { Users::read_or_empty(&self.path) } else { Users::read(&self.path) }?;
        let count = users.len();
        self.replace(users);
        Ok(count)
    }

    /// Takes users that were read already, for a reload that swaps everything at one moment.
    pub fn replace(&self, users: Users) {
        self.current.store(Arc::new(users));
    }

    /// The users as they are now.
    #[must_use]
    pub fn users(&self) -> Arc<Users> {
        self.current.load_full()
    }

    /// Where the users come from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Directory for FileDirectory {
    fn find<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Account>> {
        Box::pin(ready(Ok(self.current.load().find(name).map(|account| Account::clone(account)))))
    }

    fn profile<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Option<Profile>> {
        Box::pin(ready(Ok(self.current.load().find_subject(subject).map(|account| account.profile.clone()))))
    }

    fn sample(&self) -> Answer<'_, Option<Arc<str>>> {
        let users = self.current.load();
        Box::pin(ready(Ok(users.by_name.values().find_map(|account| account.password.clone()))))
    }
}
