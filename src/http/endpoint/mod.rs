//! One file an endpoint: from the wire to the issuer and back.

pub mod admin;
pub mod introspect;
pub mod jwks;
pub mod login;
pub mod metadata;
pub mod revocations;
pub mod revoke;
pub mod status;
pub mod token;
pub mod verify;

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::http::extract::{MediaType, media_type, read_body};
use crate::http::limits::BodyLimits;
use crate::http::respond::{self, Challenge};
use crate::http::{Peer, Request, Response};
use crate::issuer::Call;
use crate::protocol::error::{ClientReason, OAuthError, RequestReason};
use crate::protocol::params::Params;

/// An answer, and what was wrong, for metrics and the log.
pub struct Answered {
    /// What goes out.
    pub response: Response,
    /// Why it refuses, in one word, if it does.
    pub refused: Option<&'static str>,
    /// How much of the time was spent waiting for news, not working.
    pub waited: Duration,
}

impl Answered {
    /// An answer that refuses nothing.
    #[must_use]
    pub fn plain(response: Response) -> Self {
        Self { response, refused: None, waited: Duration::ZERO }
    }

    /// The refusal of RFC 6749 section 5.2. RFC 9110 section 15.5.2: every 401 carries a challenge.
    #[must_use]
    pub fn refused(error: OAuthError) -> Self {
        Self::because(error.reason(), respond::oauth_error(error, Some(Challenge::Basic)))
    }

    /// A refusal in other words than RFC 6749's.
    #[must_use]
    pub fn because(reason: &'static str, response: Response) -> Self {
        Self { response, refused: Some(reason), waited: Duration::ZERO }
    }
}

/// A request's body and credentials, read whole and within bounds.
struct Read {
    kind: MediaType,
    body: Bytes,
    authorization: Option<HeaderValue>,
}

impl Read {
    /// Reads a request whose body is of one of the `accepted` types.
    async fn from(request: Request, limits: &BodyLimits, accepted: &[MediaType]) -> Result<Self, OAuthError> {
        let invalid = OAuthError::InvalidRequest;
        let (head, body) = request.into_parts();
        let kind = media_type(&head.headers).map_err(invalid)?;
        if !accepted.contains(&kind) {
            return Err(invalid(RequestReason::MediaType));
        }
        let body = read_body(&head.headers, body, limits).await.map_err(invalid)?;
        let mut credentials = head.headers.get_all(AUTHORIZATION).iter();
        let authorization = credentials.next().cloned();
        // RFC 9110 section 11.6.2 knows one Authorization header.
        if credentials.next().is_some() {
            return Err(OAuthError::InvalidClient(ClientReason::Malformed));
        }
        Ok(Self { kind, body, authorization })
    }

    /// Reads a form.
    async fn form(request: Request, limits: &BodyLimits) -> Result<Self, OAuthError> {
        Self::from(request, limits, &[MediaType::Form]).await
    }

    /// The parameters of a form (RFC 6749 appendix B).
    fn params(&self) -> Result<Params<'_>, OAuthError> {
        Params::parse(&self.body).map_err(OAuthError::InvalidRequest)
    }

    fn call<'a>(&'a self, params: &'a Params<'a>, peer: Peer) -> Call<'a> {
        Call {
            params,
            authorization: self.authorization.as_ref().map(HeaderValue::as_bytes),
            source: peer.address.ip(),
        }
    }
}
