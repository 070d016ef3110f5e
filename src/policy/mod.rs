//! What may be granted: scope, audience, lifetime. Pure rules; the configured values come in as parameters.

pub mod audience;
pub mod lifetime;
pub mod scope;
