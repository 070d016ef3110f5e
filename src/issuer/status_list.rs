//! `GET /status/{list}` and `GET /status`: Token Status Lists (draft-ietf-oauth-status-list-20).
//!
//! The lists are written from the log that the feed publishes, never from a record of their own, so the two cannot
//! disagree; `manual::status_list` says why they are as they are.

mod allot;
mod list;
mod marks;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::header::HeaderValue;
use ring::digest;

use crate::grant::Mint;
use crate::issuer::documents::value;
use crate::issuer::{Document, Issuer, RETRY_AFTER, Settings};
use crate::protocol::base64url;
use crate::protocol::error::{OAuthError, UnavailableReason};
use crate::protocol::id::{Audience, Jti, Kid};
use crate::protocol::time::UnixSeconds;
use crate::store::allotted::{Allotment, Allotments, Facts, ListId};
use crate::token::draft::StatusReference;
use allot::{Allotter, Wanted};
use list::{Giver, List, Terms};
use marks::Marks;

pub use list::TYP as STATUS_LIST_TYP;

/// The path of the aggregation; each list is one step below.
pub const STATUS_LISTS_PATH: &str = "/status";

/// How long a document is valid.
const LIFETIME_SECONDS: u64 = 300;
/// A document is signed anew when it is this old, though nothing has changed.
const RENEW_SECONDS: u64 = 60;
/// Entries read from the log at a time.
const PAGE_ENTRIES: usize = 50_000;
/// What has ended is looked for this often.
const SWEEP: Duration = Duration::from_secs(60);

/// For whom lists are kept, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListSettings {
    /// Access tokens for one of these have a place in a list. None: it is off.
    pub audiences: Vec<Audience>,
    /// `ttl`: how long a verifier may use a list before it fetches it again; whole seconds, at least 2.
    pub ttl: Duration,
    /// Most live tokens with a place; one more is answered 503.
    pub entries_max: usize,
}

impl Default for StatusListSettings {
    fn default() -> Self {
        Self { audiences: Vec::new(), ttl: Duration::from_secs(5), entries_max: 1_000_000 }
    }
}

impl StatusListSettings {
    /// Most memory the lists take, in bytes: tokens and, for each list that `lifetime_max` can keep open, its bits, its
    /// document, and the work of writing one.
    #[must_use]
    pub fn bytes_max(&self, lifetime_max: Duration) -> u64 {
        if self.audiences.is_empty() {
            return 0;
        }
        let tokens = self.entries_max as u64;
        let slices = lifetime_max.as_secs().div_ceil(allot::SLICE.as_secs()) + 2;
        let lists = slices + tokens / u64::from(allot::PLACES);
        tokens.saturating_mul(TOKEN_BYTES_MAX).saturating_add(lists.saturating_mul(LIST_BYTES_MAX))
    }

    fn covers(&self, audiences: &[Audience]) -> bool {
        audiences.iter().any(|audience| self.audiences.contains(audience))
    }
}

/// A token in its list, or twice that while it waits in a buffer that grows.
const TOKEN_BYTES_MAX: u64 = 160;
/// Bits, and a document of bits that do not compress.
const LIST_BYTES_MAX: u64 = 512 * 1_024;

/// All lists.
#[derive(Debug, Default)]
pub(super) struct StatusLists {
    allotter: Allotter,
    builder: Mutex<Builder>,
    published: ArcSwap<Published>,
}

/// What is served.
#[derive(Debug, Default)]
struct Published {
    /// `None`: there is such a list, and nothing to sign it with.
    documents: HashMap<String, Option<Document>>,
    aggregation: Option<Document>,
    /// When, and up to which number of the log.
    at: UnixSeconds,
    to: u64,
    is_broken: bool,
}

#[derive(Debug, Default)]
struct Builder {
    lists: BTreeMap<ListId, List>,
    /// Read back at the start, not yet in a list.
    earlier: Vec<Allotment>,
    marks: Marks,
    /// The log has been read up to this number.
    to: u64,
    written: Option<Allotments>,
    swept_at: UnixSeconds,
}

/// The address of a list.
fn address(issuer: &str, list: ListId) -> String {
    format!("{}{STATUS_LISTS_PATH}/{list}", issuer.trim_end_matches('/'))
}

impl Issuer {
    /// Keeps the places that are given away in `allotments` too, and takes over what an earlier process wrote there.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn keep_allotments(&self, allotments: Allotments) -> std::io::Result<()> {
        let earlier = allotments.load(self.now())?;
        let mut builder = self.status_lists.builder.lock().unwrap_or_else(PoisonError::into_inner);
        builder.earlier = earlier;
        builder.written = Some(allotments);
        Ok(())
    }

    /// A place for a token that is about to be signed, if one of its audiences wants that.
    pub(super) fn status_reference(
        &self,
        asked: &Mint,
        settings: &Settings,
        (jti, kid): (Jti, &Kid),
        (now, expires_at): (UnixSeconds, UnixSeconds),
    ) -> Result<Option<StatusReference>, OAuthError> {
        let status = &settings.status_list;
        if !status.covers(&asked.audiences) {
            return Ok(None);
        }
        let facts = Facts {
            jti: Facts::of_jti(jti),
            family: asked.session.map_or(0, Facts::of_family),
            subject: Facts::of_name(asked.subject.as_str()),
            client: Facts::of_name(asked.client.as_str()),
            key: Facts::of_name(kid.as_str()),
            issued_at: now,
            authenticated_at: asked.auth_time.unwrap_or(now),
        };
        let wanted = Wanted { facts, expires_at, now, issuer: self.name(), entries_max: status.entries_max };
        self.status_lists.allotter.allot(&wanted, self.entropy.as_ref()).map(Some)
    }

    /// The list of this name; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// `Unavailable` if the log of revocations is not complete, or there is no key to sign with.
    pub fn status_list(&self, name: &str) -> Result<Option<Document>, OAuthError> {
        let published = self.status_lists.published.load();
        if published.is_broken {
            return Err(OAuthError::Unavailable(UnavailableReason::StateFull, RETRY_AFTER));
        }
        match published.documents.get(name) {
            Some(None) => Err(OAuthError::Unavailable(UnavailableReason::NoKey, RETRY_AFTER)),
            Some(document) => Ok(document.clone()),
            None => Ok(None),
        }
    }

    /// The addresses of all lists (section 9.3); `None` while it is off.
    #[must_use]
    pub fn status_aggregation(&self) -> Option<Document> {
        let is_on = !self.settings.load().status_list.audiences.is_empty();
        let published = self.status_lists.published.load();
        published.aggregation.clone().filter(|_| is_on || !published.documents.is_empty())
    }

    /// Whether a reader should have the lists built before it is answered: the builder is more than a second behind
    /// the log, or has not seen the list called `name`.
    #[must_use]
    pub fn is_status_list_due(&self, name: Option<&str>) -> bool {
        let published = self.status_lists.published.load();
        // The clock itself: while it is behind, the time that is decided with stands still, and the lists may not.
        let now = self.clock.now();
        let is_behind = published.to != self.feed.latest() || now.since(published.at).as_secs() >= RENEW_SECONDS;
        let is_missing = match name {
            Some(name) if published.documents.contains_key(name) => false,
            Some(name) => name.parse().is_ok_and(|id| self.status_lists.allotter.knows(id)),
            // A token's list is listed as soon as the token is out.
            None => {
                let is_listed = |name: &str| published.documents.contains_key(name);
                published.aggregation.is_none() || self.status_lists.allotter.has_unlisted(now, is_listed)
            }
        };
        is_missing || (self.has_status_lists() && is_behind && now != published.at)
    }

    /// Whether there is anything to build: it is on, or was while tokens were issued that live on.
    #[must_use]
    pub fn has_status_lists(&self) -> bool {
        let lists = &self.status_lists;
        !self.settings.load().status_list.audiences.is_empty()
            || !lists.published.load().documents.is_empty()
            || lists.allotter.has_fresh()
            || lists.builder.try_lock().is_ok_and(|builder| !builder.earlier.is_empty())
    }

    /// Brings the lists up to date and signs those that changed or are a minute old. Blocks for a write to a file and for up
    /// to some milliseconds of work a list: not for a thread that answers requests.
    ///
    /// 1. A tainted key is a revocation too: note it, if it is new.
    /// 2. Read what is new in the log. This comes before 3: a token that is issued meanwhile is judged by the whole log,
    ///    an older one by what is new, and so nobody falls between.
    /// 3. Take over the places that were given away, and write them down.
    /// 4. Judge, sign, publish.
    pub fn build_status_lists(&self) {
        let now = self.now();
        let mut builder = self.status_lists.builder.lock().unwrap_or_else(PoisonError::into_inner);
        // 1
        let keys = self.keyring.peek();
        self.note_tainted_keys(&keys, now);
        // 2
        let Some(new) = builder.read_log(&self.feed, now) else {
            let broken = Published { at: now, is_broken: true, ..Published::default() };
            self.status_lists.published.store(Arc::new(broken));
            return;
        };
        // 3
        let fresh = self.status_lists.allotter.take();
        builder.write_down(&fresh);
        // 4
        builder.advance(&new, fresh);
        builder.sweep(now);
        let settings = self.settings.load();
        let key = keys.signer(settings.algorithm).or_else(|| keys.default_signer());
        let ttl_seconds = settings.status_list.ttl.as_secs();
        let aggregation_uri = format!("{}{STATUS_LISTS_PATH}", self.name().trim_end_matches('/'));
        let mut documents = HashMap::with_capacity(builder.lists.len());
        let mut addresses = Vec::with_capacity(builder.lists.len());
        for (id, list) in &mut builder.lists {
            let uri = address(self.name(), *id);
            let terms = Terms {
                issuer: self.name(),
                uri: &uri,
                aggregation_uri: &aggregation_uri,
                ttl_seconds,
                lifetime_seconds: LIFETIME_SECONDS,
                now,
                keys: keys.serial(),
                renew_seconds: RENEW_SECONDS,
            };
            match key {
                Some(key) if list.is_due(&terms) => list.sign(&terms, key),
                _ => {}
            }
            // Without a key the one before is not shown: it might say VALID of what is not.
            let document = list.document().filter(|_| !list.is_due(&terms)).cloned();
            documents.insert(id.to_string(), document);
            addresses.push(uri);
        }
        let aggregation = Some(aggregation(&addresses, ttl_seconds));
        let to = builder.to;
        self.status_lists.published.store(Arc::new(Published {
            documents,
            aggregation,
            at: now,
            to,
            is_broken: false,
        }));
    }
}

impl Builder {
    /// What the log has after what was read; `None` if it is not complete.
    fn read_log(&mut self, feed: &crate::store::feed::Feed, now: UnixSeconds) -> Option<Marks> {
        let mut new = Marks::default();
        loop {
            let Ok(page) = feed.page(self.to, u64::MAX, PAGE_ENTRIES, now) else {
                // What was read of it is not judged by now, so all of it is new next time.
                self.to = 0;
                return None;
            };
            for change in &page.entries {
                new.note(change);
                self.marks.note(change);
            }
            self.to = page.to;
            if !page.more {
                return Some(new);
            }
        }
    }

    fn write_down(&mut self, fresh: &[Allotment]) {
        let Some(written) = self.written.as_ref().filter(|_| !fresh.is_empty()) else { return };
        if let Err(error) = written.append(fresh) {
            tracing::error!(%error, "places in status lists cannot be written down: after a restart their tokens read as revoked");
            // A torn record would hide what follows it; what is not written reads as revoked.
            self.written = None;
        }
    }

    fn advance(&mut self, new: &Marks, fresh: Vec<Allotment>) {
        let mut by_list: BTreeMap<(ListId, Side), Vec<(u32, Facts)>> = BTreeMap::new();
        let ours = fresh.into_iter().map(|one| (Side::Ours, one));
        let theirs = std::mem::take(&mut self.earlier).into_iter().map(|one| (Side::Theirs, one));
        for (side, one) in ours.chain(theirs) {
            by_list.entry((one.list, side)).or_default().push((one.index, one.facts));
        }
        if !new.is_empty() {
            for list in self.lists.values_mut() {
                list.advance(new, Vec::new(), &self.marks);
            }
        }
        for ((id, side), mut tokens) in by_list {
            tokens.shrink_to_fit();
            let giver = if side == Side::Ours { Giver::Us } else { Giver::Earlier };
            let list = self.lists.entry(id).or_insert_with(|| List::new(giver));
            list.advance(&Marks::default(), tokens, &self.marks);
        }
    }

    /// Forgets lists and marks that have ended.
    fn sweep(&mut self, now: UnixSeconds) {
        self.lists.retain(|id, _| !id.ends_at.has_passed(now));
        if now.since(self.swept_at) < SWEEP && now >= self.swept_at {
            return;
        }
        self.swept_at = now;
        self.marks.drop_ended(now);
        if let Some(Err(error)) = self.written.as_ref().map(|written| written.drop_ended(now)) {
            tracing::warn!(%error, "an ended file of places in status lists stays behind");
        }
    }
}

/// Whose places: this process's own, or an earlier one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Ours,
    Theirs,
}

/// Section 9.3.
fn aggregation(addresses: &[String], ttl_seconds: u64) -> Document {
    let body = serde_json::json!({ "status_lists": addresses }).to_string();
    let hash = digest::digest(&digest::SHA256, body.as_bytes());
    let tag = base64url::encode(hash.as_ref().get(..16).unwrap_or_default());
    Document {
        body: Bytes::from(body),
        content_type: HeaderValue::from_static("application/json"),
        etag: value(&format!("\"{tag}\"")),
        cache_control: value(&format!("public, max-age={}", ttl_seconds.saturating_sub(1))),
    }
}
