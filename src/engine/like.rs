//! Patterns of `like`, cut at their wildcards.

use cedar_policy::pst::PatternElem;

/// A compiled pattern: what stands before the first wildcard, between wildcards and after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    first: String,
    middle: Vec<String>,
    /// What follows the last wildcard; `None` without any wildcard.
    last: Option<String>,
}

impl Pattern {
    pub(crate) fn new(elements: &[PatternElem]) -> Self {
        let mut pieces = vec![String::new()];
        for element in elements {
            match element {
                PatternElem::Wildcard => pieces.push(String::new()),
                PatternElem::Char(c) => {
                    if let Some(piece) = pieces.last_mut() {
                        piece.push(*c);
                    }
                }
            }
        }
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or_default();
        Self {
            first,
            middle: pieces.filter(|piece| !piece.is_empty()).collect(),
            last,
        }
    }

    /// What a match against `text` may cost, in steps.
    pub(crate) fn cost(&self, text: &str) -> u64 {
        (text.len() / 16 + self.middle.len()) as u64
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(last) = &self.last else {
            return text == self.first;
        };
        let Some(mut rest) = text
            .strip_prefix(self.first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        for piece in &self.middle {
            match rest.split_once(piece.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use cedar_policy::pst::PatternElem;

    fn naive(pattern: &[PatternElem], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, text) => text.is_none(),
            (Some((PatternElem::Wildcard, rest)), None) => naive(rest, text),
            (Some((PatternElem::Wildcard, rest)), Some((_, after))) => {
                naive(rest, text) || naive(pattern, after)
            }
            (Some((PatternElem::Char(c), rest)), Some((d, after))) => c == d && naive(rest, after),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn matches_what_a_naive_matcher_does() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..20_000 {
            let pattern: Vec<_> = (0..next(7))
                .map(|_| match next(4) {
                    0 => PatternElem::Wildcard,
                    1 => PatternElem::Char('é'),
                    2 => PatternElem::Char('*'),
                    _ => PatternElem::Char('a'),
                })
                .collect();
            let text: String = (0..next(9))
                .map(|_| ['a', 'é', '*'][next(3) as usize])
                .collect();
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(
                Pattern::new(&pattern).matches(&text),
                naive(&pattern, &chars),
                "{pattern:?} {text}"
            );
        }
    }
}
