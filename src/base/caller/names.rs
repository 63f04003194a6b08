//! Names of callers: which texts can be one, and which are taken for the same.
//!
//! A name stands in records, and filters of those go by it. So it is made of characters that look like
//! nothing else, and two names that differ in case only are the same one.

use super::{ANONYMOUS, LIBRARY, OWNER};

/// What the id of an API key's caller begins with.
pub(crate) const KEY_PREFIX: &str = "key:";

/// Names that callers have by themselves, and that nobody can be given.
const RESERVED: [&str; 3] = [ANONYMOUS, LIBRARY, OWNER];

/// Longest name, in bytes.
const LONGEST: usize = 128;

/// What a name may hold besides ASCII letters and digits.
const MARKS: &[u8] = b"-_.@/:";

/// Whether a caller can be given this name.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || MARKS.contains(&byte);
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(fits) {
        let shown: String = name.chars().take(40).collect();
        return Err(format!(
            "`{}` is not a caller's name: it has 1 to {LONGEST} ASCII letters, digits and `-`, `_`, `.`, \
             `@`, `/`, `:`",
            shown.escape_default()
        ));
    }
    let folded = folded(name);
    if RESERVED.contains(&folded.as_str()) || folded.starts_with(KEY_PREFIX) {
        return Err(format!(
            "the name `{name}` is reserved: `anonymous`, `library`, `owner` and what begins with `key:` are \
             callers of their own"
        ));
    }
    Ok(())
}

/// The form in which two names are compared.
pub(crate) fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// Whether a name looks like what it is. Earlier versions took others for API keys.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    name.bytes().all(plain) && name.trim() == name && !name.contains('#')
}

/// Whether a token can give its caller this name, which stands after the issuer and a `#`.
pub(crate) fn is_token_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_what_they_are() {
        for good in [
            "orders",
            "team-a/orders.v2",
            "svc@example.org",
            "spiffe://x/orders",
            "A_1",
        ] {
            assert!(check_name(good).is_ok() && is_plain(good), "{good}");
        }
        for bad in [
            "",
            " orders",
            "orders ",
            "or ders",
            "orders\t",
            "orders\u{200b}",
            "\u{043e}rders",
            "orders\u{202e}",
            "\u{ff4f}rders",
            "ord\u{00ad}ers",
            "a#b",
            "a\"b",
            "a,b",
            &"x".repeat(129),
            "Owner",
            "anonymous",
            "LIBRARY",
            "key:abcdefghij27",
            "KEY:x",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for odd in ["orders ", "\u{043e}rders", "orders\u{200b}", "a#b"] {
            assert!(!is_plain(odd), "{odd:?}");
        }
        let message = check_name(&"\u{200b}".repeat(1_000)).unwrap_err();
        assert!(message.len() < 600, "{message}");
        assert_eq!(folded("Orders "), folded("orders"));
        assert!(is_token_name("auth0|5f7c") && is_token_name("system:serviceaccount:a:b"));
        assert!(!is_token_name("a#b") && !is_token_name("a b") && !is_token_name("j\u{f6}rg"));
    }
}
