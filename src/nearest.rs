//! The known name nearest to a mistyped one.

/// The known name that `name` most likely was meant to be, if any is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance is quadratic in the length, and outside names may be long.
    if name.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| {
            let distance =
                strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_nothing_else() {
        let known = ["principal", "action", "context"];
        assert_eq!(nearest("Principle", known), Some("principal"));
        assert_eq!(nearest("acton", known), Some("action"));
        assert_eq!(nearest("subject", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
