//! One test per MUST of the specifications, the section in its name.

mod token_format;
mod verification;
