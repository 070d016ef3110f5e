//! What several tests need: keys made at run time, drafts, public vectors, the corpus of attacks.

pub mod attacks;
pub mod tokens;
pub mod vectors;
