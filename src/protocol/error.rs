//! What can be wrong with a request, in the RFCs' words.
//!
//! Each error has two messages: a constant for the client, and a reason for logs, metrics and tests. The client's
//! text never contains input or internals.

use std::time::Duration;

/// Why a request was refused. The wire code says little; the reason inside is for logs, metrics, tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OAuthError {
    /// RFC 6749 section 5.2.
    InvalidRequest(RequestReason),
    /// RFC 6749 section 5.2.
    InvalidClient(ClientReason),
    /// RFC 6749 section 5.2.
    InvalidGrant(GrantReason),
    /// RFC 6749 section 5.2: this client may not use this grant.
    UnauthorizedClient,
    /// RFC 6749 section 5.2.
    UnsupportedGrantType,
    /// RFC 6749 section 5.2.
    InvalidScope,
    /// RFC 8707 section 2.
    InvalidTarget,
    /// RFC 6585 section 4: too many failed attempts; try again after the given time.
    SlowDown(Duration),
    /// RFC 9110 section 15.6.4: not now; try again after the given time.
    Unavailable(UnavailableReason, Duration),
}

impl OAuthError {
    /// The `error` member and the HTTP status. No wildcard arm: a new variant must choose.
    #[must_use]
    pub fn wire(self) -> (&'static str, u16) {
        match self {
            Self::InvalidRequest(RequestReason::Method) => ("invalid_request", 405),
            Self::InvalidRequest(RequestReason::MediaType | RequestReason::ContentEncoding) => ("invalid_request", 415),
            Self::InvalidRequest(RequestReason::TooLarge) => ("invalid_request", 413),
            Self::InvalidRequest(_) => ("invalid_request", 400),
            Self::InvalidClient(_) => ("invalid_client", 401),
            Self::InvalidGrant(_) => ("invalid_grant", 400),
            Self::UnauthorizedClient => ("unauthorized_client", 400),
            Self::UnsupportedGrantType => ("unsupported_grant_type", 400),
            Self::InvalidScope => ("invalid_scope", 400),
            Self::InvalidTarget => ("invalid_target", 400),
            Self::SlowDown(_) => ("slow_down", 429),
            Self::Unavailable(..) => ("temporarily_unavailable", 503),
        }
    }

    /// The `error_description` member: constant text in the range RFC 6749 section 5.2 allows.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(reason) => reason.description(),
            Self::InvalidClient(_) => "client authentication failed",
            // One text for every reason: expired, revoked, foreign or malformed must look alike.
            Self::InvalidGrant(_) => "the grant is invalid, expired or revoked",
            Self::UnauthorizedClient => "this client may not use this grant",
            Self::UnsupportedGrantType => "this grant type is not offered",
            Self::InvalidScope => "the scope is malformed or exceeds what is allowed",
            Self::InvalidTarget => "the resource is malformed or not allowed for this client",
            Self::SlowDown(_) => "too many failed attempts; try again later",
            Self::Unavailable(..) => "not possible right now; try again later",
        }
    }

    /// The reason in one word, for logs, metrics and audit; never sent to the client.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidRequest(reason) => reason.name(),
            Self::InvalidClient(reason) => reason.name(),
            Self::InvalidGrant(reason) => reason.name(),
            Self::UnauthorizedClient => "grant_not_allowed",
            Self::UnsupportedGrantType => "grant_unknown",
            Self::InvalidScope => "scope",
            Self::InvalidTarget => "target",
            Self::SlowDown(_) => "slowed",
            Self::Unavailable(reason, _) => reason.name(),
        }
    }

    /// `Retry-After` (RFC 9110 section 10.2.3), at least one second, where the error carries one.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::SlowDown(after) | Self::Unavailable(_, after) => Some(after.max(Duration::from_secs(1))),
            _ => None,
        }
    }
}

/// Declares a reason enum whose variants each have one name for logs and metrics.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every reason, for tables and metrics.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// One word for logs, metrics and audit.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

reasons!(
    /// What is wrong with the form of a request.
    RequestReason {
        /// The method is not the one of this endpoint.
        Method = "method",
        /// The body is not of the expected media type.
        MediaType = "media_type",
        /// The body is compressed; mintgate decompresses nothing.
        ContentEncoding = "content_encoding",
        /// The body is larger than the bound.
        TooLarge = "too_large",
        /// The body did not arrive in time, or not whole.
        Incomplete = "incomplete",
        /// The body cannot be read as its media type.
        Malformed = "malformed",
        /// A parameter is given twice (RFC 6749 section 3.2).
        Duplicate = "duplicate",
        /// A required parameter is absent or empty.
        Missing = "missing",
        /// More than one client authentication method (RFC 6749 section 2.3).
        ManyCredentials = "many_credentials",
        /// Parameters that are longer or more than the bound.
        TooMany = "too_many",
    }
);

impl RequestReason {
    /// The text for the client.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Method => "this endpoint takes another method; see the Allow header",
            Self::MediaType => "send the parameters as application/x-www-form-urlencoded",
            Self::ContentEncoding => "send the body without Content-Encoding",
            Self::TooLarge => "the request body is too large",
            Self::Incomplete => "the request body did not arrive whole",
            Self::Malformed => "the request cannot be parsed",
            Self::Duplicate => "a parameter is given more than once",
            Self::Missing => "a required parameter is missing",
            Self::ManyCredentials => "use exactly one client authentication method",
            Self::TooMany => "too many parameters",
        }
    }
}

reasons!(
    /// Why a client was not authenticated.
    ClientReason {
        /// No credentials and no `client_id`.
        Absent = "absent",
        /// No such client.
        Unknown = "unknown",
        /// The secret is not one of the client's.
        WrongSecret = "wrong_secret",
        /// The client is switched off.
        Disabled = "disabled",
        /// A confidential client without its secret, or a public one with one.
        WrongMethod = "wrong_method",
        /// The Authorization header cannot be read.
        Malformed = "malformed",
        /// The client may not use this endpoint.
        NotAllowed = "not_allowed",
    }
);

reasons!(
    /// Why a grant was refused.
    GrantReason {
        /// The token cannot be opened: malformed, altered, or sealed by a key we do not hold.
        Unreadable = "unreadable",
        /// The token was issued to another client.
        OtherClient = "other_client",
        /// The family has reached its absolute end.
        Expired = "expired",
        /// The token was not used for longer than the idle lifetime.
        Idle = "idle",
        /// The family was revoked.
        Revoked = "revoked",
        /// The token was replayed; its family is revoked now.
        Reused = "reused",
        /// The subject's or the client's epoch has moved past this login.
        Epoch = "epoch",
        /// No such user.
        UserUnknown = "user_unknown",
        /// The user is switched off.
        UserDisabled = "user_disabled",
        /// The password is wrong.
        WrongPassword = "wrong_password",
        /// The password was changed after this login (RFC 9700 section 4.14.2).
        PasswordChanged = "password_changed",
    }
);

reasons!(
    /// Why the gateway cannot serve the request right now.
    UnavailableReason {
        /// The password hash queue is full.
        HashQueue = "hash_queue",
        /// The store could not make the change durable.
        Store = "store",
        /// The state is at its configured bound.
        StateFull = "state_full",
        /// No active signing key for the wanted algorithm.
        NoKey = "no_key",
        /// The system gave no random bytes.
        Entropy = "entropy",
        /// Too many requests in flight.
        Overload = "overload",
        /// The user directory does not answer.
        Directory = "directory",
        /// A signature could not be made.
        Signer = "signer",
        /// What asks comes in the very second of an epoch.
        NotReady = "not_ready",
        /// The clock is behind the state's own record of time.
        ClockBehind = "clock_behind",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_stay_in_the_allowed_range() {
        // RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E.
        let fixed = [
            OAuthError::InvalidClient(ClientReason::Unknown),
            OAuthError::InvalidGrant(GrantReason::Revoked),
            OAuthError::UnauthorizedClient,
            OAuthError::UnsupportedGrantType,
            OAuthError::InvalidScope,
            OAuthError::InvalidTarget,
            OAuthError::SlowDown(Duration::ZERO),
            OAuthError::Unavailable(UnavailableReason::Store, Duration::ZERO),
        ];
        let requests = RequestReason::ALL.iter().map(|reason| OAuthError::InvalidRequest(*reason));
        for error in fixed.into_iter().chain(requests) {
            assert!(
                error.description().bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn retry_after_is_never_zero() {
        let error = OAuthError::SlowDown(Duration::from_millis(3));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert_eq!(OAuthError::InvalidScope.retry_after(), None);
    }
}
