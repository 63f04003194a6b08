//! Callers made of others: what they may do is never more than what their makers may do.

use super::{ANONYMOUS, Caller, CallerLimits, Handles, InlineRule, Scope};
use crate::base::timestamp::Timestamp;

/// The id of the user that runs the server, over its socket.
pub(crate) const OWNER: &str = "owner";

impl Caller {
    /// Who runs the server, over its socket: what it may do to the files it may do here.
    pub(crate) fn owner() -> Self {
        let nothing = Handles::Only(std::collections::BTreeSet::new());
        let scopes = Scope::ALL.iter().copied();
        Self::new(OWNER, scopes, InlineRule::Override, nothing)
    }

    /// Whether it is the user that runs the server.
    pub(crate) fn is_owner(&self) -> bool {
        self.id() == OWNER
    }

    /// Whether it has not said who it is.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.id() == ANONYMOUS
    }

    /// The caller of an API key: rules mean it by `id`, and restrictions on its name bind it too.
    pub(crate) fn of_key(self, id: String) -> Self {
        self.changed(|inner| {
            inner.bound_as.push(inner.name.clone());
            inner.id = Some(id);
        })
    }

    /// The same caller with its id as its name in records, because its name means somebody else there.
    pub(crate) fn named_by_id(self) -> Self {
        let id = self.id().to_owned();
        self.changed(|inner| inner.name = id)
    }

    /// The same caller, whose credential ends at this instant.
    pub(crate) fn until(mut self, end: Option<Timestamp>) -> Self {
        self.expires = earlier(self.expires, end);
        self
    }

    /// When the credential that it showed ends, if it does.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The same caller as one that `maker` made: it has no right, no time and no room that its maker does
    /// not have.
    pub(crate) fn under(self, maker: &Self) -> Self {
        let theirs = &maker.inner;
        let this = self.changed(|inner| {
            inner.scopes &= theirs.scopes;
            inner.inline = inner.inline.min(theirs.inline);
            inner.handles = match (&inner.handles, &theirs.handles) {
                (own, Handles::Any) => own.clone(),
                (Handles::Any, theirs) => theirs.clone(),
                (Handles::Only(own), Handles::Only(theirs)) => {
                    Handles::Only(own.intersection(theirs).cloned().collect())
                }
            };
            inner.bound_as.push(maker.id().to_owned());
            inner.bound_as.extend(theirs.bound_as.iter().cloned());
            if let Some(limits) = theirs.limits.filter(CallerLimits::is_bounded) {
                inner.makers.push((maker.id().to_owned(), limits));
            }
            inner.makers.extend(theirs.makers.iter().cloned());
        });
        this.until(maker.expires)
    }

    /// Its makers that have limits of their own, the nearest first. What it asks counts for each of them.
    pub(crate) fn bounded_makers(&self) -> &[(String, CallerLimits)] {
        &self.inner.makers
    }

    /// Whether it, or one of its makers, has limits of its own.
    pub(crate) fn is_bounded(&self) -> bool {
        let own = self.limits().is_some_and(|limits| limits.is_bounded());
        own || !self.inner.makers.is_empty()
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handles(names: &[&str]) -> Handles {
        Handles::Only(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_made_has_what_both_have() {
        let limits = |requests_per_second| CallerLimits {
            requests_per_second,
            ..CallerLimits::default()
        };
        let end = |millis| Some(Timestamp::from_millis(millis));
        let root = Caller::new("root", [Scope::Decide], InlineRule::Off, handles(&["a"]))
            .with_limits(limits(5))
            .until(end(10));
        let child = Caller::new(
            "child",
            [Scope::Decide, Scope::Watch],
            InlineRule::Override,
            handles(&["a", "b"]),
        )
        .of_key("key:child".to_owned())
        .with_limits(limits(3));
        let child = child.under(&root);
        assert_eq!(child.scopes().collect::<Vec<_>>(), [Scope::Decide]);
        assert_eq!(child.inline(), InlineRule::Off);
        assert_eq!(*child.handles(), handles(&["a"]));
        assert_eq!(child.expires(), end(10));
        let grandchild = Caller::new(
            "x",
            Scope::ALL.iter().copied(),
            InlineRule::Add,
            Handles::Any,
        )
        .of_key("key:x".to_owned())
        .under(&child);
        assert_eq!(grandchild.scopes().collect::<Vec<_>>(), [Scope::Decide]);
        assert_eq!(*grandchild.handles(), handles(&["a"]));
        let makers = [
            ("key:child".to_owned(), limits(3)),
            ("root".to_owned(), limits(5)),
        ];
        assert_eq!(grandchild.bounded_makers(), makers);
        let bound: Vec<_> = grandchild.bound_as().collect();
        assert_eq!(bound, ["x", "key:child", "child", "root"]);
    }
}
