//! The public documents: key set and metadata, made once and served as they are.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use ring::digest;

use crate::issuer::{Issuer, LATENCY_MAX_SECONDS, STATUS_LISTS_PATH, Settings, WAIT_SECONDS_MAX};
use crate::keys::KeySet;
use crate::keys::census::Edition;
use crate::protocol::base64url;
use crate::protocol::metadata::{Metadata, Offer};

/// A document that everybody may read and cache, with its headers prepared once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The bytes; cloning them copies nothing.
    pub body: Bytes,
    /// Media type.
    pub content_type: HeaderValue,
    /// A strong entity tag in its quotes (RFC 9110 section 8.8.3).
    pub etag: HeaderValue,
    /// For example `public, max-age=300`.
    pub cache_control: HeaderValue,
}

/// All public documents of one key set.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The key set's serial number, for comparison.
    serial: u64,
    /// RFC 7517 section 5.
    pub jwks: Document,
    /// The keys in it, for the census.
    pub edition: Arc<Edition>,
    /// RFC 8414.
    pub oauth: Document,
    /// OpenID Connect Discovery 1.0.
    pub openid: Document,
}

/// How long metadata may be cached: it changes with a reload only.
const METADATA_CACHE: &str = "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400";

impl Documents {
    /// Writes the documents.
    #[must_use]
    pub fn build(issuer: &str, settings: &Settings, keys: &KeySet) -> Self {
        let grants = Issuer::grants(settings);
        let algorithms: Vec<&str> = keys.algorithms().map(|algorithm| algorithm.name()).collect();
        let offer = Offer {
            issuer,
            grants: &grants,
            algorithms: &algorithms,
            revocation_latency_max: LATENCY_MAX_SECONDS,
            revocations_wait_max: WAIT_SECONDS_MAX,
            status_lists: (!settings.status_list.audiences.is_empty()).then_some(STATUS_LISTS_PATH),
        };
        let jwks = keys.jwks();
        Self {
            serial: keys.serial(),
            jwks: Document {
                body: jwks.body.clone(),
                content_type: HeaderValue::from_static("application/jwk-set+json"),
                etag: value(&jwks.etag),
                cache_control: value(&jwks.cache_control),
            },
            edition: Arc::clone(&jwks.edition),
            oauth: metadata(&Metadata::oauth(&offer)),
            openid: metadata(&Metadata::openid(&offer)),
        }
    }
}

fn metadata(document: &Metadata) -> Document {
    // A struct of strings always serialises.
    let body = serde_json::to_vec(document).unwrap_or_default();
    let hash = digest::digest(&digest::SHA256, &body);
    let tag = base64url::encode(hash.as_ref().get(..16).unwrap_or_default());
    Document {
        body: Bytes::from(body),
        content_type: HeaderValue::from_static("application/json"),
        etag: value(&format!("\"{tag}\"")),
        cache_control: HeaderValue::from_static(METADATA_CACHE),
    }
}

/// Tags and directives are visible ASCII, so they are always a header value; if ever not, nobody caches.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("no-cache"))
}

impl Issuer {
    /// The documents of the key set that is served now.
    #[must_use]
    pub fn documents(&self) -> Arc<Documents> {
        let current = self.documents.load_full();
        let keys = self.keyring.peek();
        if current.serial == keys.serial() {
            return current;
        }
        // The first reader after a change writes them anew; two at once write the same.
        let fresh = Arc::new(Documents::build(&self.issuer, &self.settings.load(), &keys));
        self.documents.store(Arc::clone(&fresh));
        fresh
    }
}
