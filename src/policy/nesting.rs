//! A bound on nesting, checked before Cedar's recursive parser sees a text.
//!
//! Brackets nest, and so do chains of operators: `a || b || c` is a tree as deep as it is long. Cedar
//! guards some of its recursion, not all of it; a stack that overflows ends the process.

/// Deepest nesting of a policy's expressions, in brackets and operators.
pub(crate) const POLICY: usize = 400;
/// Deepest nesting of a schema's types, in brackets.
pub(crate) const SCHEMA: usize = 64;

/// Operators within one pair of brackets: those of each kind add to the depth of the tree.
#[derive(Default)]
struct Level {
    or: usize,
    and: usize,
    other: usize,
}

impl Level {
    fn depth(&self) -> usize {
        1 + self.or + self.and + self.other
    }
}

/// Where a policy text first nests deeper than `most`.
pub(crate) fn too_deep(text: &str, most: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut levels = vec![Level::default()];
    // Depth of all levels but the last.
    let mut below = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let mut width = 1;
        let level = levels.last_mut()?;
        match byte {
            b'/' if next == Some(&b'/') => {
                width = bytes.iter().skip(at).take_while(|b| **b != b'\n').count();
            }
            b'"' => width = string(bytes.get(at..).unwrap_or_default()),
            b'(' | b'[' | b'{' => {
                below += level.depth();
                levels.push(Level::default());
            }
            b')' | b']' | b'}' => {
                if levels.len() > 1 {
                    levels.pop();
                    below -= levels.last().map_or(0, Level::depth);
                }
                // What follows a closing brace is another clause of the same policy.
                if let (b'}', Some(level)) = (byte, levels.last_mut()) {
                    *level = Level::default();
                }
            }
            b',' | b';' => *level = Level::default(),
            b'|' if next == Some(&b'|') => {
                width = 2;
                *level = Level {
                    or: level.or + 1,
                    ..Level::default()
                };
            }
            b'&' if next == Some(&b'&') => {
                width = 2;
                level.and += 1;
                level.other = 0;
            }
            b'+' | b'-' | b'*' | b'!' | b'.' | b'=' | b'<' | b'>' => level.other += 1,
            byte if byte.is_ascii_alphabetic() || *byte == b'_' => {
                let rest = bytes.get(at..).unwrap_or_default();
                width = rest
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .count();
                if matches!(
                    rest.get(..width),
                    Some(b"if" | b"in" | b"has" | b"is" | b"like")
                ) {
                    level.other += 1;
                }
            }
            _ => {}
        }
        if below + levels.last().map_or(0, Level::depth) > most {
            return Some(at);
        }
        at += width;
    }
    None
}

/// Where brackets of a schema text, `<` among them, first nest deeper than `most`.
pub(crate) fn too_many_brackets(text: &str, most: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let mut width = 1;
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                width = bytes.iter().skip(at).take_while(|b| **b != b'\n').count();
            }
            b'"' => width = string(bytes.get(at..).unwrap_or_default()),
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return Some(at);
        }
        at += width;
    }
    None
}

/// The length of the string literal that `bytes` begin with, its quotes included.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(condition: &str) -> String {
        format!("permit(principal, action, resource) when {{ {condition} }};")
    }

    #[test]
    fn brackets_and_chains_count() {
        for (open, operand, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("!", "x", ""),
            ("if a then ", "b", ""),
        ] {
            let text = policy(&format!(
                "{}{operand}{}",
                open.repeat(500),
                close.repeat(500)
            ));
            assert!(too_deep(&text, POLICY).is_some(), "{open}");
        }
        for operator in ["||", "&&", "+", "."] {
            assert!(too_deep(&policy(&vec!["a"; 500].join(operator)), POLICY).is_some());
        }
    }

    #[test]
    fn long_is_not_deep() {
        let set = format!("[{}].contains(1)", vec!["a.b == \"((\""; 10_000].join(", "));
        assert_eq!(too_deep(&policy(&set), POLICY), None);
        let terms = vec!["(a.b == c.d && e has f.g)"; 300].join(" || ");
        assert_eq!(too_deep(&policy(&terms), POLICY), None);
        let many = policy("a == b // ((((")
            .replace("// ((((", "// ((((\n")
            .repeat(10_000);
        assert_eq!(too_deep(&many, POLICY), None);
        assert_eq!(too_deep("\"unclosed \\", POLICY), None);
    }

    #[test]
    fn schema_brackets() {
        let deep = format!("type A = {}Long{};", "Set<".repeat(100), ">".repeat(100));
        assert!(too_many_brackets(&deep, SCHEMA).is_some());
        assert_eq!(
            too_many_brackets(&"entity A = {a: Set<Long>};".repeat(100), SCHEMA),
            None
        );
    }
}
