//! Every registered client, as one immutable snapshot.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::ambient::document::{self, FileError};
use crate::client::{Client, file};
use crate::protocol::id::ClientId;

/// An immutable snapshot of the clients; a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    clients: HashMap<ClientId, Arc<Client>>,
}

impl Registry {
    /// Reads `clients.toml`; see [`mod@file`] for its form.
    ///
    /// # Errors
    /// [`FileError`] with line and column. Nothing of a damaged file is used.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, &document::read(path)?)
    }

    /// As [`Registry::read`], but a file that does not exist yet holds no client. For the first start only: at a
    /// reload a file that has gone is a mistake.
    ///
    /// # Errors
    /// As [`Registry::read`], without `Missing`.
    pub fn read_or_empty(path: &Path) -> Result<Self, FileError> {
        match Self::read(path) {
            Err(FileError::Missing { .. }) => Ok(Self::default()),
            read => read,
        }
    }

    /// Reads the text of `clients.toml`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Registry::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        Ok(file::parse(path, text)?.into_iter().collect())
    }

    /// The client called `id`. One hash look-up.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Arc<Client>> {
        self.clients.get(id)
    }

    /// All clients in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<&Arc<Client>> {
        let mut all: Vec<&Arc<Client>> = self.clients.values().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// How many clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

impl FromIterator<Client> for Registry {
    /// The last of several clients with one id wins; a file with such is refused before it gets here.
    fn from_iter<I: IntoIterator<Item = Client>>(clients: I) -> Self {
        Self { clients: clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect() }
    }
}
