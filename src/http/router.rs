//! Which path is which endpoint: one row each.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::sync::watch;

use crate::ambient::Clock;
use crate::http::endpoint::{self, Answered, Read};
use crate::http::events::Followers;
use crate::http::extract::MediaType;
use crate::http::limits::BodyLimits;
use crate::http::{Handler, Peer, Request, Response, respond};
use crate::issuer::{Issuer, STATUS_LISTS_PATH};
use crate::protocol::metadata::well_known_path;
use crate::telemetry::log::RequestLine;
use crate::telemetry::metrics::{Metrics, RouteMetrics};

/// The endpoints of the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /token`
    Token,
    /// `POST /login`
    Login,
    /// `POST /revoke`
    Revoke,
    /// `POST /introspect`
    Introspect,
    /// `GET /jwks.json`
    Jwks,
    /// `GET /.well-known/oauth-authorization-server`
    OauthMetadata,
    /// `GET /.well-known/openid-configuration`
    OpenidMetadata,
    /// `GET /revocations`
    Revocations,
    /// `GET /status`
    StatusLists,
    /// `GET /status/{list}`
    StatusList,
    /// `/verify`, by any method
    Verify,
    /// Everything else.
    Unknown,
}

impl Route {
    const ALL: [Self; 12] = [
        Self::Token,
        Self::Login,
        Self::Revoke,
        Self::Introspect,
        Self::Jwks,
        Self::OauthMetadata,
        Self::OpenidMetadata,
        Self::Revocations,
        Self::StatusLists,
        Self::StatusList,
        Self::Verify,
        Self::Unknown,
    ];

    /// The path as it stands in logs and metrics; a request's own path never does.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::Token => "/token",
            Self::Login => "/login",
            Self::Revoke => "/revoke",
            Self::Introspect => "/introspect",
            Self::Jwks => "/jwks.json",
            Self::OauthMetadata => "/.well-known/oauth-authorization-server",
            Self::OpenidMetadata => "/.well-known/openid-configuration",
            Self::Revocations => "/revocations",
            Self::StatusLists => STATUS_LISTS_PATH,
            Self::StatusList => "/status/{list}",
            Self::Verify => "/verify",
            Self::Unknown => "unknown",
        }
    }

    /// The methods of the endpoint, as `Allow` lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Token | Self::Login | Self::Revoke | Self::Introspect => "POST",
            Self::Verify => "*",
            Self::Revocations
            | Self::StatusLists
            | Self::StatusList
            | Self::Jwks
            | Self::OauthMetadata
            | Self::OpenidMetadata
            | Self::Unknown => "GET, HEAD",
        }
    }

    /// The media types of the body it reads; none if it reads no body.
    fn reads(self) -> &'static [MediaType] {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => &[MediaType::Form],
            Self::Login => &[MediaType::Form, MediaType::Json],
            _ => &[],
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self.allow() {
            "*" => true,
            "POST" => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The public listener.
pub struct Public {
    shared: Arc<Shared>,
}

/// What every request needs.
pub struct Shared {
    /// The authority.
    pub issuer: Arc<Issuer>,
    /// Bounds on bodies.
    pub limits: BodyLimits,
    /// The clock, for durations.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The path of the issuer: a gateway at `https://host/auth` answers at `/auth/token`, and at `/token` for a
    /// proxy that strips the prefix.
    prefix: String,
    /// Where RFC 8414 section 3 puts the document of an issuer with a path.
    well_known: String,
    counted: [(Route, RouteMetrics); 12],
    /// Those who wait for revocations.
    pub followers: Followers,
}

impl Public {
    /// Routes requests to the endpoints of `issuer`.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, limits: BodyLimits, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let after_scheme = issuer.name().split_once("://").map_or("", |(_, rest)| rest);
        let prefix = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default();
        let prefix = prefix.trim_end_matches('/').to_owned();
        let well_known = well_known_path(&prefix);
        let counted = Route::ALL.map(|route| (route, metrics.route(route.template())));
        let followers = Followers::new(&metrics);
        Self { shared: Arc::new(Shared { issuer, limits, clock, metrics, prefix, well_known, counted, followers }) }
    }

    /// Holds at most `followers_max` requests and streams that wait for revocations, and lets all of them go when `stop`
    /// turns true.
    #[must_use]
    pub fn holding(mut self, followers_max: usize, stop: watch::Receiver<bool>) -> Self {
        // Nobody else has it before the first request.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.followers.bound(followers_max, stop);
        }
        self
    }
}

impl Shared {
    fn route(&self, path: &str) -> Route {
        if path == self.well_known {
            return Route::OauthMetadata;
        }
        let path = match path.strip_prefix(self.prefix.as_str()) {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        match path {
            "/.well-known/jwks.json" => Route::Jwks,
            _ if endpoint::status::list_name(path).is_some() => Route::StatusList,
            _ if path.starts_with(endpoint::verify::BY_POLICY) => Route::Verify,
            _ => Route::ALL.into_iter().find(|route| route.template() == path).unwrap_or(Route::Unknown),
        }
    }

    /// Answers what came with a body.
    async fn posted(&self, route: Route, read: &Read, peer: Peer) -> Answered {
        match route {
            Route::Login => {
                // Boxed: rare, and larger than all the others.
                Box::pin(endpoint::login::post(self, read, peer)).await
            }
            Route::Revoke => endpoint::revoke::post(self, read, peer).await,
            Route::Introspect => endpoint::introspect::post(self, read, peer),
            _ => endpoint::token::post(self, read, peer).await,
        }
    }

    /// Answers what needs neither a body nor time.
    fn asked(&self, route: Route, request: &Request, peer: Peer) -> Answered {
        match route {
            Route::Jwks => endpoint::jwks::get(self, request, peer),
            Route::OauthMetadata | Route::OpenidMetadata => endpoint::metadata::get(self, request, route),
            Route::Verify => endpoint::verify::any(self, request),
            _ => Answered::plain(respond::empty(StatusCode::NOT_FOUND)),
        }
    }

    /// Answers what may have to wait: for something to be built, for news.
    async fn awaited(&self, route: Route, request: Request, peer: Peer) -> Answered {
        match route {
            Route::Revocations => endpoint::revocations::get(self, request, peer).await,
            Route::StatusLists => endpoint::status::aggregation(self, &request).await,
            _ => endpoint::status::list(self, &request).await,
        }
    }

    /// Counts and logs an answer, and lets it go.
    fn note(&self, route: Route, method: &'static str, began: Duration, answered: Answered) -> Response {
        let took = self.clock.monotonic().saturating_sub(began).saturating_sub(answered.waited);
        let status = answered.response.status().as_u16();
        if let Some((_, counted)) = self.counted.iter().find(|(own, _)| *own == route) {
            counted.observe(status, took);
        }
        if let Some(reason) = answered.refused {
            self.metrics.refusals.inc(reason);
        }
        let line = RequestLine {
            method,
            route: route.template(),
            status,
            took,
            client_id: None,
            jti: None,
            family: None,
            reason: answered.refused,
        };
        line.emit();
        answered.response
    }
}

impl Handler for Public {
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            let began = shared.clock.monotonic();
            let route = shared.route(request.uri().path());
            // A method is the client's text too: only those we know are named.
            let method = known_method(request.method());
            let answered = if route != Route::Unknown && !route.takes(request.method()) {
                Answered::plain(respond::method_not_allowed(route.allow()))
            } else if matches!(route, Route::Revocations | Route::StatusLists | Route::StatusList) {
                // Boxed: rare, and larger than what most requests need.
                Box::pin(shared.awaited(route, request, peer)).await
            } else if route.reads().is_empty() {
                shared.asked(route, &request, peer)
            } else {
                match Read::from(request, &shared.limits, route.reads()).await {
                    Ok(read) => shared.posted(route, &read, peer).await,
                    Err(error) => Answered::refused(error),
                }
            };
            shared.note(route, method, began, answered)
        }
    }
}

fn known_method(method: &Method) -> &'static str {
    [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]
        .iter()
        .zip(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
        .find(|(known, _)| *known == method)
        .map_or("other", |(_, name)| name)
}
