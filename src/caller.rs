//! Who asks: the policy enforcement point (PEP) on whose behalf a request is decided.
//!
//! The caller is not the principal. It says which rights the asking service has towards this
//! decision point: what it may ask, what it may assert inline, which obligations it discharges.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A right of a caller towards the decision point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Ask for decisions.
    Decide,
    /// Ask which resources, principals or actions are allowed.
    Search,
    /// Ask for explanations with a decision.
    Explain,
    /// Be believed about request-borne signals.
    AssertSignals,
}

impl Scope {
    /// The scope's name in settings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Search => "search",
            Self::Explain => "explain",
            Self::AssertSignals => "assert-signals",
        }
    }
}

/// What a caller may assert about entities within a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InlineRule {
    /// Nothing: inline entities are refused.
    Off,
    /// Entities and attributes that the store does not have; nothing stored is changed, and no
    /// stored entity gets a parent.
    Add,
    /// Anything, over what is stored, for this request only.
    Override,
}

/// Which obligations a caller discharges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handles {
    /// Whatever an answer carries: the caller checks it itself with
    /// [`Outcome::require`](crate::Outcome::require).
    Any,
    /// These names only. An Allow that carries another one becomes a Deny.
    Only(BTreeSet<String>),
}

/// The caller of a request; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    scopes: BTreeSet<Scope>,
    inline: InlineRule,
    handles: Handles,
}

impl Caller {
    /// A caller of the given `name` with these rights.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        scopes: impl IntoIterator<Item = Scope>,
        inline: InlineRule,
        handles: Handles,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                scopes: scopes.into_iter().collect(),
                inline,
                handles,
            }),
        }
    }

    /// The embedding program: it may assert anything inline and checks obligations itself.
    #[must_use]
    pub fn library() -> Self {
        Self::new(
            "library",
            [
                Scope::Decide,
                Scope::Search,
                Scope::Explain,
                Scope::AssertSignals,
            ],
            InlineRule::Override,
            Handles::Any,
        )
    }

    /// A caller on this machine that has not said who it is: it may decide and search, and handles
    /// only the obligations that its request lists.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(
            "anonymous",
            [Scope::Decide, Scope::Search],
            InlineRule::Override,
            Handles::Only(BTreeSet::new()),
        )
    }

    /// The caller's name, as it stands in records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether the caller has the scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.inner.scopes.contains(&scope)
    }

    /// What it may assert about entities.
    #[must_use]
    pub fn inline(&self) -> InlineRule {
        self.inner.inline
    }

    /// Which obligations it discharges, whatever its request says.
    #[must_use]
    pub fn handles(&self) -> &Handles {
        &self.inner.handles
    }
}
