//! Where each policy stands within a file of Cedar text.
//!
//! Cedar numbers the policies of a text in order but does not say where they are; every statement
//! ends with a `;` outside strings and comments, so a scan finds them.

use std::ops::Range;

/// The byte ranges of the statements of `text`, from the first annotation or `permit` / `forbid` to
/// the closing `;`, in order. Faulty text gives some ranges all the same.
pub(crate) fn statements(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut start = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while bytes.get(at).is_some_and(|b| *b != b'\n') {
                    at += 1;
                }
            }
            b'"' => {
                start.get_or_insert(at);
                at += 1;
                while let Some(byte) = bytes.get(at) {
                    match byte {
                        b'\\' => at += 1,
                        b'"' => break,
                        _ => {}
                    }
                    at += 1;
                }
            }
            b';' => {
                if let Some(start) = start.take() {
                    found.push(start..at + 1);
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert(at);
            }
        }
        at += 1;
    }
    if let Some(start) = start {
        found.push(start..text.len());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_do_not_end_a_statement() {
        let text = "// a; b\n@x(\"p;\\\"q;\") permit(principal, action, resource) // ;\n;\nforbid(principal, action, resource);";
        let found: Vec<_> = statements(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("@x("));
        assert!(found[1].starts_with("forbid"));
    }

    #[test]
    fn faulty_text_ends() {
        assert_eq!(statements("permit \"unclosed \\").len(), 1);
        assert!(statements("// only a comment").is_empty());
    }
}
