//! Random bytes, as a trait so that a test can make them fail.

use std::cell::RefCell;

use ring::rand::SystemRandom;

/// The system gave no random bytes. Answer 503; never a weak token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct EntropyError;

/// A source of cryptographically secure random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out` completely.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;

    /// An array of random bytes.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    fn bytes<const N: usize>(&self) -> Result<[u8; N], EntropyError>
    where
        Self: Sized,
    {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// Draws `N` bytes from a source behind a reference.
///
/// # Errors
/// As [`Entropy::fill`].
pub fn draw<const N: usize>(source: &dyn Entropy) -> Result<[u8; N], EntropyError> {
    let mut out = [0; N];
    source.fill(&mut out)?;
    Ok(out)
}

/// Bytes drawn from the system at a time: one system call serves 32 token ids.
const BATCH_BYTES: usize = 512;

/// The operating system's generator, drawn in batches by each thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

struct Batch {
    bytes: [u8; BATCH_BYTES],
    used: usize,
}

thread_local! {
    static BATCH: RefCell<Batch> = const { RefCell::new(Batch { bytes: [0; BATCH_BYTES], used: BATCH_BYTES }) };
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        BATCH.with_borrow_mut(|batch| {
            if out.len() > BATCH_BYTES {
                return getrandom::fill(out).map_err(|_| EntropyError);
            }
            if BATCH_BYTES - batch.used < out.len() {
                batch.used = BATCH_BYTES;
                getrandom::fill(&mut batch.bytes).map_err(|_| EntropyError)?;
                batch.used = 0;
            }
            let end = batch.used + out.len();
            let fresh = batch.bytes.get_mut(batch.used..end).ok_or(EntropyError)?;
            out.copy_from_slice(fresh);
            // What was handed out is not kept: a later memory disclosure shows nothing.
            fresh.fill(0);
            batch.used = end;
            Ok(())
        })
    }
}

/// ring's own source, for the places where ring insists on drawing by itself (ECDSA nonces, key generation).
#[must_use]
pub fn ring_source() -> &'static SystemRandom {
    static SOURCE: std::sync::LazyLock<SystemRandom> = std::sync::LazyLock::new(SystemRandom::new);
    &SOURCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_never_repeat() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            assert!(seen.insert(SystemEntropy.bytes::<16>().expect("entropy")));
        }
        let mut large = [0; BATCH_BYTES + 1];
        SystemEntropy.fill(&mut large).expect("entropy");
        assert!(large.iter().any(|byte| *byte != 0));
    }
}
