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

use std::future::Future;
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
pub struct Read {
    kind: MediaType,
    body: Bytes,
    authorization: Option<HeaderValue>,
}

impl Read {
    /// Reads a request whose body is of one of the `accepted` types. What is needed of its header is taken at once, so
    /// that nothing else of it is carried along while the body arrives.
    ///
    /// # Errors
    /// `InvalidRequest` for a body that is not one of these or does not arrive whole, `InvalidClient` for more than one
    /// `Authorization` header.
    pub fn from(
        request: Request,
        limits: &BodyLimits,
        accepted: &[MediaType],
    ) -> impl Future<Output = Result<Self, OAuthError>> + use<> {
        let invalid = OAuthError::InvalidRequest;
        let (head, body) = request.into_parts();
        let kind = media_type(&head.headers).map_err(invalid);
        let kind = kind.and_then(|kind| match accepted.contains(&kind) {
            true => Ok(kind),
            false => Err(invalid(RequestReason::MediaType)),
        });
        let mut credentials = head.headers.get_all(AUTHORIZATION).iter();
        let authorization = match (credentials.next().cloned(), credentials.next()) {
            (authorization, None) => Ok(authorization),
            // RFC 9110 section 11.6.2 knows one Authorization header.
            (_, Some(_)) => Err(OAuthError::InvalidClient(ClientReason::Malformed)),
        };
        let body = read_body(&head.headers, body, limits);
        async move { Ok(Self { kind: kind?, body: body.await.map_err(invalid)?, authorization: authorization? }) }
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
