//! Tokens: what is drafted, checked and signed; what is verified; what is sealed.
//!
//! ```text
//! Draft --check--> Checked --mint--> Minted        access token, signed (anyone reads it)
//! text  --verify-> Verified                        the one gate for access tokens
//! RefreshToken --seal_refresh--> text --open_refresh--> RefreshToken     sealed (only we read it)
//! ```

pub mod draft;
pub mod explain;
pub mod mint;
pub mod refresh;
pub mod seal;
pub mod verify;

pub use draft::{Checked, Draft, DraftError, Limits, Typ};
pub use explain::{Outcome, Step, explain};
pub use mint::{Minted, mint};
pub use refresh::{open_refresh, seal_refresh};
pub use seal::{OpenError, SealError, SealedKind, open, seal};
pub use verify::{KeySource, Refused, Requirements, Verified, verify, verify_signature};
