//! The known name nearest to a mistyped one.

/// The known name that `name` most likely was meant to be, if any is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance is quadratic in the length, and outside names may be long.
    if name.len() > 64 {
        return None;
    }
    let wanted = name.to_lowercase();
    let allowed = |candidate: &str| 1 + candidate.len() / 5;
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed(candidate))
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The known type, or action with its type, that `name` most likely was meant to be: the same name in a namespace
/// where `name` has none, else a type of the same name in another namespace, else the nearest one.
pub(crate) fn nearest_type<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let in_namespace = |candidate: &&&str| {
        let namespace = candidate.strip_suffix(name);
        namespace.is_some_and(|namespace| namespace.ends_with("::"))
    };
    if let Some(found) = known.iter().find(in_namespace) {
        return Some(found);
    }
    if name.contains('"') {
        return nearest(name, known);
    }
    let wanted = name.rsplit("::").next();
    let mut known_too = known.iter().copied();
    known_too
        .find(|candidate| candidate.rsplit("::").next() == wanted)
        .or_else(|| nearest(name, known))
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

    #[test]
    fn finds_forgotten_and_wrong_namespaces() {
        let types = ["Shop::Order", "Workspace::Team", "Workspace::User"];
        for (name, wanted) in [
            ("User", Some("Workspace::User")),
            ("Shop::User", Some("Workspace::User")),
            ("Workspace::Usr", Some("Workspace::User")),
            ("ser", None),
            ("Device", None),
        ] {
            assert_eq!(nearest_type(name, types), wanted, "{name}");
        }
        let actions = [r#"Shop::Action::"read""#, r#"Shop::Action::"a::b""#];
        assert_eq!(nearest_type(r#"Action::"read""#, actions), Some(actions[0]));
        assert_eq!(nearest_type(r#"Action::"a::b""#, actions), Some(actions[1]));
        assert_eq!(nearest_type(r#"Action::"b""#, actions), None);
    }
}
