//! Where in a JSON value a reader is, written out only when there is something to say about it.

use std::fmt::Write;

/// A chain of member names and indexes up to the root; making one allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The whole value, by its own pointer.
    Root(&'a str),
    /// A member of an object.
    Member(&'a Path<'a>, &'a str),
    /// An item of an array.
    Item(&'a Path<'a>, usize),
}

/// Longest name that is written out, in characters.
const LONGEST_NAME: usize = 64;
/// Longest pointer that is written out, in bytes; beyond it the beginning is kept.
const LONGEST: usize = 1_024;

impl Path<'_> {
    /// The JSON pointer (RFC 6901). Long names and long pointers are cut, which `...` shows.
    pub(crate) fn pointer(&self) -> String {
        let mut parts = Vec::new();
        let mut here = *self;
        let mut text = loop {
            match here {
                Path::Root(text) => break text.to_owned(),
                Path::Member(above, _) | Path::Item(above, _) => {
                    parts.push(here);
                    here = *above;
                }
            }
        };
        for part in parts.iter().rev() {
            if text.len() > LONGEST {
                text.push_str("/...");
                break;
            }
            match part {
                Path::Member(_, name) => {
                    text.push('/');
                    text.push_str(&shown(name).replace('~', "~0").replace('/', "~1"));
                }
                Path::Item(_, at) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "/{at}");
                }
                Path::Root(_) => {}
            }
        }
        text
    }
}

/// Outside text for a message: cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    shown_within(text, LONGEST_NAME)
}

/// As [`shown`], of at most `most` characters.
pub(crate) fn shown_within(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped_and_bounded() {
        let root = Path::Root("/context");
        let a = Path::Member(&root, "a/b~c");
        assert_eq!(Path::Item(&a, 3).pointer(), "/context/a~1b~0c/3");
        let long = "k".repeat(300_000);
        assert!(Path::Member(&root, &long).pointer().len() < 100);
        fn nest(path: &Path<'_>, left: usize) -> usize {
            if left == 0 {
                path.pointer().len()
            } else {
                nest(&Path::Member(path, "a member of some length"), left - 1)
            }
        }
        assert!(nest(&root, 120) < 1_200);
    }
}
