//! Which events a webhook wants: names such as `finding.brute_force_attack`, or `incident.*`.

use crate::base::nearest::nearest;

/// What stands before every type of an event.
pub(crate) const TYPE_PREFIX: &str = "dev.deodar.";
/// Patterns that one webhook may have.
const MOST: usize = 64;
/// Longest pattern, in bytes.
const LONGEST: usize = 128;
/// What names begin with.
const GROUPS: [&str; 4] = ["finding", "incident", "break_glass", "subject"];

/// The patterns of one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventFilter(Vec<String>);

impl EventFilter {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// From patterns: `*`, a name, or a name whose last part is `*`. The prefix `dev.deodar.` may stand
    /// before a name. None at all is everything.
    pub(crate) fn new(patterns: &[String]) -> Result<Self, String> {
        if patterns.is_empty() {
            return Ok(Self::all());
        }
        if patterns.len() > MOST {
            return Err(format!("more than {MOST} patterns of events"));
        }
        let patterns = patterns.iter().map(|pattern| read(pattern));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// The patterns, without the prefix.
    pub(crate) fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether an event of this name (its type without the prefix) is wanted.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(group) => name.starts_with(group),
                None => name == pattern,
            })
    }
}

fn read(pattern: &str) -> Result<String, String> {
    let name = pattern.strip_prefix(TYPE_PREFIX).unwrap_or(pattern);
    let shown: String = pattern.chars().take(60).collect();
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let parts: Vec<&str> = name.split('.').collect();
    let well_formed = match parts.split_last() {
        Some((&"*", before)) => before.iter().all(|part| word(part)),
        _ => parts.iter().all(|part| word(part)),
    };
    if !well_formed || name.len() > LONGEST {
        return Err(format!(
            "`{}` is not a pattern of events such as `incident.*` or `finding.brute_force_attack`",
            shown.escape_debug()
        ));
    }
    let group = parts.first().copied().unwrap_or_default();
    if group != "*" && !GROUPS.contains(&group) {
        let help = match nearest(group, GROUPS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("names begin with {}", GROUPS.join(", ")),
        };
        return Err(format!("there are no events `{shown}`; {help}"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Result<EventFilter, String> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        EventFilter::new(&patterns)
    }

    #[track_caller]
    fn check(patterns: &[&str], taken: &[&str], left: &[&str]) {
        let filter = filter(patterns).unwrap();
        for name in taken {
            assert!(filter.takes(name), "{patterns:?} {name}");
        }
        for name in left {
            assert!(!filter.takes(name), "{patterns:?} {name}");
        }
    }

    #[test]
    fn patterns_take_what_they_say() {
        let brute = "finding.brute_force_attack";
        check(&[], &[brute, "incident.x", "break_glass"], &[]);
        check(&["*"], &[brute, "incident.x", "break_glass"], &[]);
        check(
            &["incident.*"],
            &["incident.x", "incident.brute_force_attack"],
            &[brute, "incident", "incidents.x"],
        );
        check(
            &[brute],
            &[brute],
            &["finding.brute_force_attacks", "finding.brute", "incident.x"],
        );
        check(
            &["dev.deodar.break_glass", "subject.*"],
            &["break_glass", "subject.remediate"],
            &[brute],
        );
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for (pattern, expect) in [
            ("", "not a pattern"),
            ("incident.**", "not a pattern"),
            ("*.brute", "not a pattern"),
            ("finding..x", "not a pattern"),
            ("Finding.X", "not a pattern"),
            ("findings.x", "did you mean `finding`?"),
            ("login.failed", "names begin with"),
        ] {
            let error = filter(&[pattern]).unwrap_err();
            assert!(error.contains(expect), "{pattern}: {error}");
        }
        assert!(filter(&["*"; 65]).is_err());
    }
}
