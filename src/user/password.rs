//! What a name and a new password must look like (NIST SP 800-63B-4 section 3.1.1.2).

/// Longest password, in bytes; checked before any hashing.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Shortest new password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// From here on a password is good enough to be the only factor.
pub const PASSWORD_CHARS_ADVISED: usize = 15;
/// Longest user name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The first guesses of everybody, long enough to pass [`PASSWORD_CHARS_MIN`]; compared in lower case.
const COMMON: [&str; 24] = [
    "12345678",
    "123456789",
    "1234567890",
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "passw0rd",
    "p@ssw0rd",
    "qwertyuiop",
    "qwerty123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "trustno1",
    "letmein1",
    "welcome1",
    "changeme",
    "administrator",
];

/// Why a name or a password is not taken. Never carries the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters; {PASSWORD_CHARS_ADVISED} or more is better")]
    TooShort,
    /// More than [`PASSWORD_BYTES_MAX`] bytes.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Holds a control character, which no form can send.
    #[error("a password has no control characters")]
    Control,
    /// The user's own name.
    #[error("the password is the user's name")]
    IsName,
    /// On the list of first guesses, or one character repeated.
    #[error("this password is among the first that are guessed")]
    Common,
}

/// Checks a new password. No rule asks for digits or signs (SP 800-63B-4 forbids such rules).
///
/// # Errors
/// [`PasswordError`].
pub fn check_new(name: &str, password: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(PasswordError::TooShort);
    }
    let lower = password.to_lowercase();
    if lower == name.to_lowercase() {
        return Err(PasswordError::IsName);
    }
    let one_character = lower.chars().next().is_some_and(|first| lower.chars().all(|c| c == first));
    if one_character || COMMON.contains(&lower.as_str()) {
        return Err(PasswordError::Common);
    }
    Ok(())
}

/// Whether a new password is long enough to be the only factor.
#[must_use]
pub fn is_advised_length(password: &str) -> bool {
    password.chars().count() >= PASSWORD_CHARS_ADVISED
}

/// Checks a user name: 1 to [`NAME_BYTES_MAX`] bytes, no control character, no white space at the ends.
/// Names are compared byte by byte.
///
/// # Errors
/// A sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a user name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err("a user name has no control characters".to_owned());
    }
    if name.trim() != name {
        return Err("a user name does not begin or end with white space".to_owned());
    }
    Ok(())
}

/// The key an account is slowed down under: every spelling of one name, on every route, shares one counter.
#[must_use]
pub fn account_key(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let long = "\u{e9}ab".repeat(256);
        for good in ["correct horse", "        x", "\u{1f980}\u{1f980}\u{1f980}\u{1f980}abcd", long.as_str()] {
            assert_eq!(check_new("alice", good), Ok(()), "{good}");
        }
        let too_long = "ab".repeat(513);
        for (bad, why) in [
            ("1234567", PasswordError::TooShort),
            ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", PasswordError::TooShort),
            (too_long.as_str(), PasswordError::TooLong),
            ("correct\nhorse", PasswordError::Control),
            ("Alice.Smith", PasswordError::IsName),
            ("PASSWORD123", PasswordError::Common),
            ("zzzzzzzzzzzz", PasswordError::Common),
        ] {
            assert_eq!(check_new("alice.smith", bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn names() {
        for good in ["alice", "a b", "\u{e9}lodie", "alice@example.org"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", " alice", "alice ", "al\nice", "al\u{0}ice", "\u{a0}alice", &"x".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(account_key("Alice"), account_key(" ALICE "));
    }
}
