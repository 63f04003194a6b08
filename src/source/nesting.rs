//! A bound on nesting, checked before Cedar's recursive parser sees a text.
//!
//! Brackets nest, and so do chains of operators: `a || b || c` is a tree as deep as it is long. Cedar
//! guards some of its recursion, not all of it; a stack that overflows ends the process.
//!
//! The bound on a tree's depth that is computed here follows the grammar's precedence: a way from the
//! root of an expression to a leaf passes each `if` and each `||` of its bracket at most once, then
//! the `&&` of one operand of `||`, then the other operators of one operand of `&&`, then whatever is
//! inside one bracket below.

use super::SourceFile;
use crate::base::fault::{Fault, Location};

/// Deepest nesting of a policy, in brackets and operators.
pub(crate) const POLICY: usize = 200;
/// Deepest nesting of a schema's types, in brackets.
pub(crate) const SCHEMA: usize = 64;

/// One open bracket, or the text outside all.
#[derive(Default)]
struct Level {
    /// Of the present element (a policy, an argument, an item of a set):
    ifs: usize,
    ors: usize,
    ands: usize,
    most_ands: usize,
    others: usize,
    most_others: usize,
    deepest_child: usize,
    /// Of the elements before it:
    deepest_element: usize,
}

impl Level {
    fn element(&self) -> usize {
        self.ifs
            + self.ors
            + self.most_ands.max(self.ands)
            + self.most_others.max(self.others)
            + self.deepest_child
    }

    fn depth(&self) -> usize {
        self.deepest_element.max(self.element())
    }

    /// An element ends.
    fn next_element(&mut self) {
        *self = Self {
            deepest_element: self.depth(),
            ..Self::default()
        };
    }

    /// An operand of `&&` ends.
    fn next_and_operand(&mut self) {
        self.most_others = self.most_others.max(self.others);
        self.others = 0;
    }

    /// An operand of `||` ends.
    fn next_or_operand(&mut self) {
        self.next_and_operand();
        self.most_ands = self.most_ands.max(self.ands);
        self.ands = 0;
    }
}

/// Where the nesting of a policy text first is known to be deeper than `most`.
pub(crate) fn too_deep(text: &str, most: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut levels = vec![Level::default()];
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let mut width = 1;
        let outermost = levels.len() == 1;
        let level = levels.last_mut()?;
        match byte {
            b'/' if next == Some(&b'/') => width = line(bytes.get(at..).unwrap_or_default()),
            b'"' => width = string(bytes.get(at..).unwrap_or_default()),
            b'(' | b'[' | b'{' => levels.push(Level::default()),
            b')' | b']' | b'}' if !outermost => {
                let depth = level.depth() + 1;
                levels.pop();
                let level = levels.last_mut()?;
                level.deepest_child = level.deepest_child.max(depth);
            }
            // Another policy is another tree.
            b';' if outermost => *level = Level::default(),
            b',' => level.next_element(),
            b'|' if next == Some(&b'|') => {
                width = 2;
                level.next_or_operand();
                level.ors += 1;
            }
            b'&' if next == Some(&b'&') => {
                width = 2;
                level.next_and_operand();
                level.ands += 1;
            }
            b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'.' | b'=' | b'<' | b'>' => {
                level.others += 1;
            }
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' => {
                let rest = bytes.get(at..).unwrap_or_default();
                width = word(rest);
                match rest.get(..width) {
                    Some(b"if") => {
                        level.ifs += 1;
                        level.next_or_operand();
                    }
                    Some(b"then" | b"else") => level.next_or_operand(),
                    // The clauses of a policy are joined by `&&`.
                    Some(b"when" | b"unless") if outermost => {
                        level.next_and_operand();
                        level.ands += 1;
                    }
                    Some(b"in" | b"has" | b"is" | b"like") => level.others += 1,
                    _ => {}
                }
            }
            _ => {}
        }
        let here = levels.last().map_or(0, Level::depth);
        if levels.len() > most || here > most {
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
                width = line(bytes.get(at..).unwrap_or_default());
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

/// The length of the comment that `bytes` begin with.
fn line(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| **b != b'\n').count()
}

/// The length of the word that `bytes` begin with.
fn word(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count()
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

/// A fault where `scan` finds that the text nests deeper than `most`.
pub(crate) fn nesting_fault(
    file: &SourceFile,
    scan: fn(&str, usize) -> Option<usize>,
    most: usize,
) -> Option<Fault> {
    let offset = scan(&file.source.text, most)?;
    let fault = Fault::new("nesting", format!("nests deeper than {most} levels")).at(Location {
        source: file.source.clone(),
        offset,
        length: 1,
        label: None,
    });
    Some(fault.help("split it: a long chain of `||` is better written as `[..].contains(..)` or several policies"))
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
                open.repeat(300),
                close.repeat(300)
            ));
            assert!(too_deep(&text, POLICY).is_some(), "{open}");
        }
        for operator in ["||", "&&", "+", "."] {
            let text = policy(&vec!["a"; 300].join(operator));
            assert!(too_deep(&text, POLICY).is_some(), "{operator}");
        }
        let records = policy(&vec!["{} == {}"; 300].join(" || "));
        assert!(too_deep(&records, POLICY).is_some());
        let clauses = format!(
            "permit(principal, action, resource) {};",
            "when { true } ".repeat(300)
        );
        assert!(too_deep(&clauses, POLICY).is_some());
    }

    #[test]
    fn depth_adds_up_through_brackets_on_either_side() {
        // 20 brackets, each with 20 operators after the bracket in it.
        let mut left = "true".to_owned();
        let mut right = left.clone();
        for _ in 0..20 {
            left = format!("({left}{})", " || false".repeat(20));
            right = format!("({}{right})", "false || ".repeat(20));
        }
        assert!(too_deep(&policy(&left), POLICY).is_some());
        assert!(too_deep(&policy(&right), POLICY).is_some());
        let ands_then_ors = format!(
            "{} || {}",
            vec!["a"; 150].join("&&"),
            vec!["b"; 100].join("||")
        );
        assert!(too_deep(&policy(&ands_then_ors), POLICY).is_some());
    }

    #[test]
    fn long_is_not_deep() {
        let set = format!("[{}].contains(1)", vec!["a.b == \"((\""; 10_000].join(", "));
        assert_eq!(too_deep(&policy(&set), POLICY), None);
        let terms = vec!["(a.b == c.d && e has f.g)"; 150].join(" || ");
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
        let wide = "entity A = {a: Set<Long>};".repeat(100);
        assert_eq!(too_many_brackets(&wide, SCHEMA), None);
    }
}
