//! Passwords as Django stores them (`django.contrib.auth.hashers`, Django 1.4 to 6.0): `ALGORITHM$...`.
//!
//! | form | what |
//! | --- | --- |
//! | `pbkdf2_sha256$ROUNDS$SALT$HASH`, `pbkdf2_sha1$...` | PBKDF2 (RFC 8018 section 5.2), standard base64 |
//! | `bcrypt_sha256$$2b$COST$...` | bcrypt of the hexadecimal SHA-256 of the password |
//! | `bcrypt$$2b$COST$...` | bcrypt, which reads 72 bytes of a password |
//! | `scrypt$N$SALT$R$P$HASH` | scrypt (RFC 7914) |
//!
//! `argon2$argon2id$...` is read by [`crate::user::phc`]. Forms Django itself dropped (`sha1$`, `md5$`, `crypt$`) are not
//! read: their users set a new password.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, pbkdf2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::user::phc::PhcError;

/// Most rounds of PBKDF2: Django 6.0 asks for 1,200,000; this many take about two seconds.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// Highest cost of bcrypt, as a power of two: about two seconds; Django asks for 12.
const BCRYPT_COST_MAX: u32 = 15;
/// Most memory of scrypt (128 N r bytes): as much as an Argon2id hash may ask for. Django asks for 16 MiB.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Most lanes of scrypt, computed one after the other.
const SCRYPT_LANES_MAX: u32 = 16;
/// What bcrypt writes numbers with.
const BCRYPT_ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A password stored by Django, parsed and within bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct Django {
    form: Form,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Pbkdf2 { digest: Digest, rounds: NonZeroU32, salt: String, hash: Vec<u8> },
    Bcrypt { before: Before, cost: u32, text: String },
    Scrypt { log_n: u8, r: u32, p: u32, salt: String, hash: Vec<u8> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Digest {
    Sha1,
    Sha256,
}

/// What is done with a password before bcrypt sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Sha256,
}

impl fmt::Debug for Django {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Django").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl Django {
    /// Reads a stored form.
    ///
    /// # Errors
    /// `Form` for an unknown algorithm or a damaged string, `Cost` for one above the bounds.
    pub fn parse(text: &str) -> Result<Self, PhcError> {
        let (algorithm, rest) = text.split_once('$').ok_or(PhcError::Form)?;
        let form = match algorithm {
            "pbkdf2_sha256" => pbkdf2(Digest::Sha256, rest),
            "pbkdf2_sha1" => pbkdf2(Digest::Sha1, rest),
            "bcrypt_sha256" => bcrypt(Before::Sha256, rest),
            "bcrypt" => bcrypt(Before::Nothing, rest),
            "scrypt" => scrypt(rest),
            _ => Err(PhcError::Form),
        }?;
        Ok(Self { form })
    }

    /// Whether `password` is the one. Compares in constant time.
    ///
    /// # Errors
    /// `Cost` for parameters that the algorithm refuses.
    pub fn verify(&self, password: &str) -> Result<bool, PhcError> {
        match &self.form {
            Form::Pbkdf2 { digest, rounds, salt, hash } => {
                let mut derived = Zeroizing::new(vec![0; hash.len()]);
                pbkdf2::derive(digest.pbkdf2(), *rounds, salt.as_bytes(), password.as_bytes(), &mut derived);
                Ok(derived.as_slice().ct_eq(hash).into())
            }
            Form::Bcrypt { before, text, .. } => {
                let right = match before {
                    Before::Nothing => bcrypt::verify(password, text),
                    Before::Sha256 => bcrypt::verify(&*hexadecimal_sha256(password), text),
                };
                right.map_err(|_| PhcError::Cost)
            }
            Form::Scrypt { log_n, r, p, salt, hash } => {
                let params = scrypt::Params::new(*log_n, *r, *p).map_err(|_| PhcError::Cost)?;
                let mut derived = Zeroizing::new(vec![0; hash.len()]);
                scrypt::scrypt(password.as_bytes(), salt.as_bytes(), &params, &mut derived)
                    .map_err(|_| PhcError::Cost)?;
                Ok(derived.as_slice().ct_eq(hash).into())
            }
        }
    }

    /// What one comparison costs, in a unit of its algorithm.
    #[must_use]
    pub fn work(&self) -> u64 {
        match &self.form {
            Form::Pbkdf2 { rounds, .. } => u64::from(rounds.get()),
            Form::Bcrypt { cost, .. } => 1 << cost,
            Form::Scrypt { log_n, r, p, .. } => (1 << log_n) * u64::from(*r) * u64::from(*p),
        }
    }

    /// Django's name of the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match &self.form {
            Form::Pbkdf2 { digest: Digest::Sha256, .. } => "pbkdf2_sha256",
            Form::Pbkdf2 { digest: Digest::Sha1, .. } => "pbkdf2_sha1",
            Form::Bcrypt { before: Before::Sha256, .. } => "bcrypt_sha256",
            Form::Bcrypt { before: Before::Nothing, .. } => "bcrypt",
            Form::Scrypt { .. } => "scrypt",
        }
    }

    /// One of the same algorithm and cost, with a salt and a hash drawn by chance.
    #[must_use]
    pub fn dummy_like(&self, random: &[u8; 64]) -> Self {
        let mut form = self.form.clone();
        match &mut form {
            Form::Pbkdf2 { hash, .. } | Form::Scrypt { hash, .. } => {
                for (byte, random) in hash.iter_mut().zip(random) {
                    *byte = *random;
                }
            }
            Form::Bcrypt { cost, text, .. } => {
                let digits = |bytes: &[u8]| -> String {
                    let digit = |byte: &u8| BCRYPT_ALPHABET.get(usize::from(byte & 63)).copied().map(char::from);
                    bytes.iter().filter_map(digit).collect()
                };
                let (salt, hash) = random.split_at(21);
                // The last digit of each half has bits to spare, which must be zero: a full stop.
                let hash = hash.get(..30).unwrap_or_default();
                *text = format!("$2b${cost:02}${}.{}.", digits(salt), digits(hash));
            }
        }
        Self { form }
    }
}

impl Digest {
    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Sha1 => digest::SHA1_OUTPUT_LEN,
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
        }
    }
}

fn hexadecimal_sha256(password: &str) -> Zeroizing<String> {
    use fmt::Write as _;
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in digest::digest(&digest::SHA256, password.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn number(text: Option<&str>) -> Result<u32, PhcError> {
    let text = text.ok_or(PhcError::Form)?;
    // One spelling for each number: no sign, no leading zero.
    if text.starts_with(['0', '+']) { Err(PhcError::Form) } else { text.parse().map_err(|_| PhcError::Form) }
}

fn salt(text: Option<&str>) -> Result<String, PhcError> {
    text.filter(|salt| !salt.is_empty()).map(str::to_owned).ok_or(PhcError::Form)
}

fn hash(text: Option<&str>, bytes: usize) -> Result<Vec<u8>, PhcError> {
    let hash = STANDARD.decode(text.ok_or(PhcError::Form)?).map_err(|_| PhcError::Form)?;
    if hash.len() == bytes { Ok(hash) } else { Err(PhcError::Form) }
}

fn pbkdf2(digest: Digest, rest: &str) -> Result<Form, PhcError> {
    let mut parts = rest.split('$');
    let rounds = NonZeroU32::new(number(parts.next())?).ok_or(PhcError::Form)?;
    let (salt, hash) = (salt(parts.next())?, hash(parts.next(), digest.bytes())?);
    match parts.next() {
        Some(_) => Err(PhcError::Form),
        None if rounds.get() > PBKDF2_ROUNDS_MAX => Err(PhcError::Cost),
        None => Ok(Form::Pbkdf2 { digest, rounds, salt, hash }),
    }
}

fn bcrypt(before: Before, text: &str) -> Result<Form, PhcError> {
    // `$2b$12$` and 53 digits; the library would look at no more than this either, but only when a password comes.
    let mut parts = text.strip_prefix('$').ok_or(PhcError::Form)?.split('$');
    let (Some("2a" | "2b" | "2y"), Some(cost), Some(digits), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PhcError::Form);
    };
    let digit = |byte| BCRYPT_ALPHABET.contains(&byte);
    if cost.len() != 2 || digits.len() != 53 || !digits.bytes().all(digit) {
        return Err(PhcError::Form);
    }
    let cost = cost.parse().map_err(|_| PhcError::Form)?;
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(PhcError::Cost);
    }
    Ok(Form::Bcrypt { before, cost, text: text.to_owned() })
}

fn scrypt(rest: &str) -> Result<Form, PhcError> {
    let mut parts = rest.split('$');
    let n = number(parts.next())?;
    let salt = salt(parts.next())?;
    let (r, p) = (number(parts.next())?, number(parts.next())?);
    let hash = hash(parts.next(), 64)?;
    if parts.next().is_some() || !n.is_power_of_two() || n < 2 {
        return Err(PhcError::Form);
    }
    if u64::from(n) * u64::from(r) * 128 > SCRYPT_BYTES_MAX || p > SCRYPT_LANES_MAX {
        return Err(PhcError::Cost);
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| PhcError::Form)?;
    Ok(Form::Scrypt { log_n, r, p, salt, hash })
}
