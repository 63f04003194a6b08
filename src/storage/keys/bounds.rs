//! What a caller may give to a key, or take from one: never more than it has itself.

use super::KeyError;
use super::record::{ApiKey, KeyLimits, NewKey};
use crate::base::caller::{Caller, CallerLimits, Handles, InlineRule, Scope};
use crate::base::timestamp::Timestamp;

/// A key as `maker` may make it: the limits and the end that it does not give are those of its maker.
///
/// # Errors
/// [`KeyError::Exceeds`] where it would have more than its maker.
pub(super) fn within(maker: &Caller, mut new: NewKey) -> Result<NewKey, KeyError> {
    if maker.is_owner() {
        return Ok(new);
    }
    let names = new.handles.iter().map(String::as_str);
    rights(maker, &new.scopes, new.inline, names)?;
    new.expires = match (new.expires, maker.expires()) {
        (Some(end), Some(most)) if end > most => return Err(ends_later(most)),
        (end, most) => end.or(most),
    };
    if let Some(own) = maker.limits() {
        new.limits = Some(match new.limits {
            Some(given) => narrower(given, own)?,
            None => KeyLimits {
                requests_per_second: own.requests_per_second,
                burst: own.burst,
                concurrent: own.concurrent,
            },
        });
    }
    Ok(new)
}

/// Checks that a caller has at least the rights and the time of a key, so that it may have the key's
/// secret, or end the key.
///
/// # Errors
/// [`KeyError::Exceeds`] where the key has more.
pub(super) fn covers(caller: &Caller, key: &ApiKey) -> Result<(), KeyError> {
    let names = key.handles.iter().map(String::as_str);
    rights(caller, &key.scopes, key.inline, names)?;
    match caller.expires() {
        Some(most) if key.expires.is_none_or(|end| end > most) => Err(ends_later(most)),
        _ => Ok(()),
    }
}

fn rights<'a>(
    caller: &Caller,
    scopes: &[String],
    inline: InlineRule,
    mut handles: impl Iterator<Item = &'a str>,
) -> Result<(), KeyError> {
    let mut known = scopes.iter().filter_map(|name| Scope::from_name(name));
    if let Some(scope) = known.find(|scope| !caller.has(*scope)) {
        return exceeds(format!("the scope `{}`", scope.name()));
    }
    if inline > caller.inline() {
        let (more, own) = (inline.name(), caller.inline().name());
        return exceeds(format!("`inline` = `{more}`, where yours is `{own}`,"));
    }
    if let Handles::Only(own) = caller.handles()
        && let Some(other) = handles.find(|name| !own.contains(*name))
    {
        let shown: String = other.chars().take(40).collect();
        return exceeds(format!("the obligation `{}`", shown.escape_debug()));
    }
    Ok(())
}

/// Limits that are given, where none is wider than the maker's.
fn narrower(given: KeyLimits, own: CallerLimits) -> Result<KeyLimits, KeyError> {
    let wider = |given: u32, own: u32| own != 0 && (given == 0 || given > own);
    let burst = match given.burst {
        0 => given.requests_per_second,
        burst => burst,
    };
    for (member, wider) in [
        (
            "requestsPerSecond",
            wider(given.requests_per_second, own.requests_per_second),
        ),
        ("burst", wider(burst, own.burst_in_effect())),
        ("concurrent", wider(given.concurrent, own.concurrent)),
    ] {
        if wider {
            return exceeds(format!("wider limits (`limits.{member}`)"));
        }
    }
    Ok(given)
}

fn ends_later(most: Timestamp) -> KeyError {
    KeyError::Exceeds(format!(
        "a key cannot last longer than what you show: your credential ends at {most}"
    ))
}

fn exceeds<T>(what: String) -> Result<T, KeyError> {
    Err(KeyError::Exceeds(format!(
        "the key has more rights than you: {what} is not yours to give or take"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn maker() -> Caller {
        let handles = Handles::Only(["log".to_owned()].into());
        Caller::new(
            "m",
            [Scope::Decide, Scope::KeysWrite],
            InlineRule::Add,
            handles,
        )
    }

    fn new() -> NewKey {
        NewKey {
            name: "n".to_owned(),
            scopes: vec!["decide".to_owned()],
            inline: InlineRule::Off,
            handles: std::collections::BTreeSet::new(),
            limits: None,
            expires: None,
        }
    }

    fn limits(requests_per_second: u32, burst: u32, concurrent: u32) -> KeyLimits {
        KeyLimits {
            requests_per_second,
            burst,
            concurrent,
        }
    }

    #[track_caller]
    fn refused(maker: &Caller, new: NewKey, expect: &str) {
        match within(maker, new) {
            Err(KeyError::Exceeds(message)) => assert!(message.contains(expect), "{message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_has_nothing_that_its_maker_lacks() {
        let maker = maker();
        assert!(within(&maker, new()).is_ok());
        let scopes = vec!["watch".to_owned()];
        refused(&maker, NewKey { scopes, ..new() }, "`watch`");
        let inline = InlineRule::Override;
        refused(&maker, NewKey { inline, ..new() }, "`override`");
        let off = Caller::new("m", [Scope::Decide], InlineRule::Off, Handles::Any);
        let inline = InlineRule::Add;
        refused(&off, NewKey { inline, ..new() }, "`add`");
        let handles = ["log".to_owned(), "mask".to_owned()].into();
        refused(&maker, NewKey { handles, ..new() }, "`mask`");
    }

    #[test]
    fn a_key_lasts_no_longer_than_what_made_it() {
        let maker = maker().until(Some(at(100)));
        assert_eq!(within(&maker, new()).unwrap().expires, Some(at(100)));
        let ends = |end| NewKey {
            expires: Some(at(end)),
            ..new()
        };
        assert_eq!(within(&maker, ends(99)).unwrap().expires, Some(at(99)));
        refused(&maker, ends(101), "longer");
    }

    #[test]
    fn a_key_has_no_wider_limits_than_its_maker() {
        let own = |requests_per_second, burst, concurrent| CallerLimits {
            requests_per_second,
            burst,
            concurrent,
        };
        for (maker_has, given, refuse) in [
            (own(5, 0, 0), limits(5, 0, 0), None),
            (own(5, 0, 0), limits(6, 0, 0), Some("requestsPerSecond")),
            (own(5, 0, 0), limits(0, 0, 9), Some("requestsPerSecond")),
            // No burst is one of a second.
            (own(5, 0, 0), limits(5, 6, 0), Some("burst")),
            (own(5, 2, 0), limits(5, 0, 0), Some("burst")),
            (own(5, 9, 0), limits(5, 9, 0), None),
            (own(0, 0, 3), limits(7, 70, 4), Some("concurrent")),
            (own(0, 0, 3), limits(7, 70, 3), None),
            (own(0, 0, 3), limits(7, 70, 0), Some("concurrent")),
        ] {
            let maker = maker().with_limits(maker_has);
            let new = NewKey {
                limits: Some(given),
                ..new()
            };
            match refuse {
                Some(part) => refused(&maker, new, part),
                None => assert_eq!(within(&maker, new).unwrap().limits, Some(given)),
            }
        }
        let inherited = within(&maker().with_limits(own(5, 2, 1)), new()).unwrap();
        assert_eq!(inherited.limits, Some(limits(5, 2, 1)));
    }

    #[test]
    fn the_owner_is_not_bounded() {
        let wide = NewKey {
            handles: ["x".to_owned()].into(),
            inline: InlineRule::Override,
            ..new()
        };
        assert!(within(&Caller::owner(), wide).is_ok());
    }
}
