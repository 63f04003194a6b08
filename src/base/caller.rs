//! Who asks: the policy enforcement point (PEP) on whose behalf a request is decided.
//!
//! The caller is not the principal. It says which rights the asking service has towards this
//! decision point: what it may ask, what it may assert inline, which obligations it discharges.

#[cfg(feature = "server")]
mod derived;
#[cfg(feature = "server")]
mod names;

use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(feature = "server")]
use crate::base::timestamp::Timestamp;
use crate::base::words::words;

#[cfg(feature = "server")]
pub(crate) use derived::OWNER;
#[cfg(feature = "server")]
pub(crate) use names::{KEY_PREFIX, check_name, folded, is_plain, is_token_name};

words! {
    /// A right of a caller towards the decision point.
    #[derive(PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum Scope by name {
        /// Ask for decisions.
        Decide = "decide",
        /// Ask which resources, principals or actions are allowed.
        Search = "search",
        /// Ask for explanations with a decision.
        Explain = "explain",
        /// Report security events.
        Events = "events",
        /// Be believed about request-borne signals.
        AssertSignals = "assert-signals",
        /// Record that a session reached an authentication level.
        AssuranceWrite = "assurance:write",
        /// Register devices.
        DevicesWrite = "devices:write",
        /// Read what is known of subjects.
        SubjectsRead = "subjects:read",
        /// Change what is known of subjects, and refuse tokens.
        SubjectsWrite = "subjects:write",
        /// Read policies and published revisions.
        PoliciesRead = "policies:read",
        /// Have policies reloaded or published.
        PoliciesWrite = "policies:write",
        /// Read stored entities.
        EntitiesRead = "entities:read",
        /// Write and delete stored entities.
        EntitiesWrite = "entities:write",
        /// List, create, rotate and revoke API keys.
        KeysWrite = "keys:write",
        /// Register webhooks, and have what they did not get sent again.
        WebhooksWrite = "webhooks:write",
        /// Read the decision log's head and what shadow checks found.
        AuditRead = "audit:read",
        /// Follow changes of the state.
        Watch = "watch",
        /// Read metrics.
        MetricsRead = "metrics:read",
    }
}

impl Scope {
    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// The name of the embedding program.
const LIBRARY: &str = "library";

/// The name of a caller that has not said who it is.
const ANONYMOUS: &str = "anonymous";

words! {
    /// What a caller may assert about entities within a request, from the least to the most.
    #[derive(PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum InlineRule by name {
        /// Nothing: inline entities are refused.
        Off = "off",
        /// Entities and attributes that the store does not have; nothing stored is changed, and no
        /// stored entity gets a parent.
        Add = "add",
        /// Anything, over what is stored, for this request only.
        Override = "override",
    }
}

/// How much a caller may ask for. Zero means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallerLimits {
    /// Requests per second, on average.
    pub requests_per_second: u32,
    /// Requests above that rate in a burst; zero for as many as a second has.
    pub burst: u32,
    /// Requests under way at once.
    pub concurrent: u32,
}

impl CallerLimits {
    /// Whether anything is bounded at all.
    #[cfg(feature = "server")]
    pub(crate) fn is_bounded(&self) -> bool {
        self.requests_per_second != 0 || self.concurrent != 0
    }

    /// Requests at once after a rest: the burst, or as many as a second has where none is given.
    #[cfg(feature = "server")]
    pub(crate) fn burst_in_effect(&self) -> u32 {
        match self.burst {
            0 => self.requests_per_second,
            burst => burst,
        }
    }
}

/// Which obligations a caller handles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handles {
    /// Whatever an answer carries: the caller checks it itself with
    /// [`Outcome::require`](crate::Outcome::require).
    Any,
    /// These names only. An Allow that carries another one becomes a Deny.
    Only(BTreeSet<String>),
}

/// The caller of a request; cheap to clone.
///
/// ```
/// use deodar::{Caller, Handles, InlineRule, Pdp, Request, Scope};
///
/// let pdp = Pdp::builder()
///     .policies_text("p.cedar", r#"@obligation("log_access") permit(principal, action, resource);"#)
///     .obligations(["log_access"])
///     .build()?;
/// // It may decide, assert nothing about entities, and handles no obligation.
/// let caller = Caller::new("orders", [Scope::Decide], InlineRule::Off, Handles::Only([].into()));
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "read"))
///     .resource(("Document", "plan"))
///     .caller(caller)
///     .build()?;
/// assert_eq!(pdp.authorize(&request)?.cause().as_str(), "unsupported_obligation");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    inner: Arc<Inner>,
    /// When the credential that it showed ends.
    #[cfg(feature = "server")]
    expires: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    name: String,
    /// What rules mean by it; the name where there is none.
    id: Option<String>,
    /// Identities whose restrictions bind it too: those of its makers, and the name of an API key.
    bound_as: Vec<String>,
    /// One bit for each scope.
    scopes: u32,
    inline: InlineRule,
    handles: Handles,
    limits: Option<CallerLimits>,
    /// Makers with limits of their own, the nearest first: it draws from their limits too.
    #[cfg(feature = "server")]
    makers: Vec<(String, CallerLimits)>,
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
                id: None,
                bound_as: Vec::new(),
                scopes: scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()),
                inline,
                handles,
                limits: None,
                #[cfg(feature = "server")]
                makers: Vec::new(),
            }),
            #[cfg(feature = "server")]
            expires: None,
        }
    }

    /// The same caller with limits of its own in place of the general ones.
    #[must_use]
    pub fn with_limits(self, limits: CallerLimits) -> Self {
        self.changed(|inner| inner.limits = Some(limits))
    }

    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// The embedding program: it may assert anything inline and checks obligations itself.
    #[must_use]
    pub fn library() -> Self {
        Self::new(
            LIBRARY,
            Scope::ALL.iter().copied(),
            InlineRule::Override,
            Handles::Any,
        )
    }

    /// A caller on this machine without a credential: it may decide and search, and handles
    /// only the obligations that its request lists.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new(
            ANONYMOUS,
            [Scope::Decide, Scope::Search],
            InlineRule::Override,
            Handles::Only(BTreeSet::new()),
        )
    }

    /// The caller's name, as in records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What rules mean by the caller, such as those of `trust.enforce`. It is the name, but for an API key
    /// `key:` and its id: whoever makes a key chooses its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.inner.id.as_deref().unwrap_or(&self.inner.name)
    }

    /// The id for which its requests count: that of the first of its makers with limits of its own, so that
    /// clones of a bounded key count as one.
    pub(crate) fn counts_for(&self) -> &str {
        #[cfg(feature = "server")]
        if let Some((first, _)) = self.inner.makers.last() {
            return first;
        }
        self.id()
    }

    /// Identities whose restrictions bind the caller too, and whose exemptions do not.
    pub(crate) fn bound_as(&self) -> impl Iterator<Item = &str> {
        self.inner.bound_as.iter().map(String::as_str)
    }

    /// Whether the caller showed a credential.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.name() != ANONYMOUS
    }

    /// Whether the caller has the scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.inner.scopes & scope.bit() != 0
    }

    /// Its scopes.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(|scope| self.has(*scope))
    }

    /// Its own bounds, where it has some.
    #[must_use]
    pub fn limits(&self) -> Option<CallerLimits> {
        self.inner.limits
    }

    /// What it may assert about entities.
    #[must_use]
    pub fn inline(&self) -> InlineRule {
        self.inner.inline
    }

    /// Which obligations it handles, whatever its request says.
    #[must_use]
    pub fn handles(&self) -> &Handles {
        &self.inner.handles
    }
}
