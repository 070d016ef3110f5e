//! Scope: asked for, allowed, granted (RFC 6749 section 3.3).

use crate::protocol::error::OAuthError;
use crate::protocol::scope::Scope;

/// The most a client may be granted on behalf of a user: what both allow. A user without a list leaves it to the client.
#[must_use]
pub fn allowed(client: &Scope, user: Option<&Scope>) -> Scope {
    user.map_or_else(|| client.clone(), |user| client.intersection(user))
}

/// The scope to grant: what was asked for, or all that is allowed if nothing was asked for.
///
/// # Errors
/// `InvalidScope` if more is asked for than is allowed. RFC 6749 section 3.3 would permit to grant less in silence; a
/// client that was told finds its mistake sooner. On a refresh it is a MUST (section 6).
pub fn narrow(allowed: &Scope, requested: Option<&Scope>) -> Result<Scope, OAuthError> {
    match requested {
        None => Ok(allowed.clone()),
        Some(requested) if allowed.covers(requested) => Ok(requested.clone()),
        Some(_) => Err(OAuthError::InvalidScope),
    }
}

/// The scope of a refresh: within what was granted at log-in, and within what client and user may have today.
///
/// # Errors
/// `InvalidScope` if more is asked for than was granted and is still allowed, or if of a grant with a scope nothing
/// is allowed any more.
pub fn renew(granted: &Scope, allowed_today: &Scope, requested: Option<&Scope>) -> Result<Scope, OAuthError> {
    let left = granted.intersection(allowed_today);
    // A token that can do nothing would only hide from its holder that its rights are gone.
    if left.is_empty() && !granted.is_empty() {
        return Err(OAuthError::InvalidScope);
    }
    narrow(&left, requested)
}
