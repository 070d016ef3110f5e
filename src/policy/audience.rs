//! Audience: which resource servers a token is for (RFC 8707, RFC 9068 section 3).

use crate::protocol::error::OAuthError;
use crate::protocol::id::Audience;

/// The audiences of a token: the `resource` parameters if there are any, else the first allowed one.
///
/// A resource must be one of `allowed`, byte for byte: no resolution, no prefix match, no normalisation, so what the
/// verifier compares is what was configured. Plain names are allowed where they are configured, beyond RFC 8707.
///
/// # Errors
/// `InvalidTarget` (RFC 8707 section 2) for a resource that is not allowed or has a fragment, and if nothing is allowed.
pub fn choose(allowed: &[Audience], resources: &[impl AsRef<str>]) -> Result<Vec<Audience>, OAuthError> {
    if resources.is_empty() {
        let default = allowed.first().ok_or(OAuthError::InvalidTarget)?;
        return Ok(vec![default.clone()]);
    }
    let mut chosen: Vec<Audience> = Vec::new();
    for resource in resources {
        let resource = resource.as_ref();
        // RFC 8707 section 2: the value must not include a fragment.
        if resource.contains('#') {
            return Err(OAuthError::InvalidTarget);
        }
        // RFC 8707 section 2: refuse a target that is unknown or unwilling. A relative or broken URI is unknown.
        let known = allowed.iter().find(|own| own.as_str() == resource).ok_or(OAuthError::InvalidTarget)?;
        if !chosen.contains(known) {
            chosen.push(known.clone());
        }
    }
    Ok(chosen)
}

/// The audiences a log-in grants for its whole life: the resources asked for, or every allowed one, default first.
/// A refresh may ask for any of them (RFC 8707 section 2.2).
///
/// # Errors
/// As [`choose`].
pub fn grant(allowed: &[Audience], resources: &[impl AsRef<str>]) -> Result<Vec<Audience>, OAuthError> {
    if resources.is_empty() { Ok(allowed.to_vec()) } else { choose(allowed, resources) }
}

/// What is left today of the audiences that were granted, in the order of the grant.
#[must_use]
pub fn still_allowed(granted: &[Audience], allowed_today: &[Audience]) -> Vec<Audience> {
    granted.iter().filter(|own| allowed_today.contains(own)).cloned().collect()
}
