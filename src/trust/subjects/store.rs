//! Where the state of subjects is kept: the trait, and what goes in and out.

use std::fmt::Debug;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::event::{Event, EventSubject};
use super::kind::Severity;
use crate::base::entity_ref::EntityRef;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;
use crate::trust::model::{
    Band, Behavior, Country, DeviceFacts, Evidence, Familiarity, KnockOuts, MethodSet, Point,
    Score, Sighting,
};

/// What a request asks the store for.
#[derive(Debug, Clone, Copy)]
pub struct SubjectQuery<'a> {
    /// The principal.
    pub user: &'a EntityRef,
    /// The id for which the caller counts, by which rates are told apart.
    pub caller: &'a str,
    /// Its session.
    pub session: Option<&'a str>,
    /// Its device.
    pub device: Option<&'a str>,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The country it is in, where that is believed.
    pub country: Option<Country>,
    /// The instant of the decision.
    pub now: Timestamp,
}

/// What is known, as of [`SubjectQuery::now`]. Making it allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectState {
    /// Whether anything at all is known of the user.
    pub known: bool,
    /// Whether suspicious activity is on record and neither old nor remediated; `None` where nothing is
    /// known of the user. That there is none says something only of a user with a history
    /// ([`Behavior::history`]).
    pub suspicious: Option<bool>,
    /// When the account was made, where it was said.
    pub account_created: Option<Timestamp>,
    /// The methods the user has enrolled, where it was said.
    pub enrolled: Option<MethodSet>,
    /// What the place is to the user; `None` without a country.
    pub place: Option<Familiarity>,
    /// Where the user was seen last.
    pub last_sighting: Option<Sighting>,
    /// What the user has been doing. `finding` is the highest live one about the user, the session, the
    /// device, the address and the user at that address. Without a session of the user's it is about each
    /// of the user's sessions that are recorded, without a device of the user's about each of those: not
    /// to say which it is never helps.
    pub behavior: Behavior,
    /// The device, where it is known by its id.
    pub device: Option<DeviceStanding>,
    /// What the session's assurance record proves; empty without a session, without a record, for
    /// somebody else's record, and for a revoked session.
    pub evidence: SmallVec<[Evidence; 8]>,
    /// The risk of the user: the highest live finding; an unremediated high incident does not decay.
    pub risk: Score,
    /// A risk level that was said of the user (`risk-level-change`).
    pub risk_level: Option<Band>,
    /// The authentication level that findings and lock-outs demand of this request, 0 for none.
    pub demanded_level: u8,
    /// What denies on its own: a revoked session, a disabled account, a non-compliant device, a block.
    pub knock_outs: KnockOuts,
    /// Whether [`KnockOuts::SESSION_REVOKED`] follows from `revoked_before` alone: an authentication that
    /// the store does not know of, and that is later than that, lifts it.
    pub revoked_by_instant: bool,
    /// The user's sessions are revoked up to this instant. A request whose authentication is not later
    /// is of a revoked session; [`SubjectState::knock_outs`] says so already as far as the store can tell.
    pub revoked_before: Option<Timestamp>,
    /// When one of the user's sessions was last revoked by its name, for as long as revocations are
    /// remembered: a token that names no session, and is not later, may be of that one.
    pub last_session_revoked: Option<Timestamp>,
    /// The band of the last decision that allowed something.
    pub last_band: Option<Band>,
    /// An operator's override: until then findings, lock-outs and risk levels are left aside.
    pub overridden_until: Option<Timestamp>,
}

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceStanding {
    /// Whether it is registered to the user who asks.
    pub registered: bool,
    /// What is known of it as such.
    pub facts: DeviceFacts,
    /// When this was reported.
    pub reported: Option<Timestamp>,
}

/// What a decision showed, told to the store after it was made.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// What was asked for the decision.
    pub ask: SubjectQuery<'a>,
    /// Whether it was Allow. Only what was allowed becomes history and a known place.
    pub allowed: bool,
    /// Whether the caller said who it is. What an anonymous one asks becomes no history, or anybody who may
    /// decide could make one for anybody.
    pub named: bool,
    /// Whether the principal is a stored entity or that of a verified token. History of others has a small
    /// room of its own, `bounds.max_strangers`, from which the oldest goes.
    pub vouched: bool,
    /// Whether a Deny was one that trust alone caused; such a one counts as nothing.
    pub by_trust: bool,
    /// Where the principal is, and within how many metres, where that is believed.
    pub point: Option<(Point, u32)>,
    /// The band of the decision.
    pub band: Band,
    /// The speed in km/h since the last sighting, where it is beyond what is possible.
    pub impossible_speed: Option<u32>,
    /// Whether the hour was an unusual one for this principal.
    pub unusual_hour: bool,
    /// Whether a rate was above the principal's own.
    pub unusual_rate: bool,
}

/// The kinds of subjects that have a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SubjectKind {
    /// A principal.
    User(EntityRef),
    /// A session by its id.
    Session(String),
    /// A device by its id.
    Device(String),
    /// An address.
    Ip(IpAddr),
}

impl SubjectKind {
    /// The subject by the name it is kept under: an address in one of its forms.
    pub(super) fn canonical(self) -> Self {
        match self {
            Self::Ip(ip) => Self::Ip(ip.to_canonical()),
            other => other,
        }
    }
}

impl EventSubject {
    /// Each subject that it names.
    pub(super) fn kinds(&self) -> impl Iterator<Item = SubjectKind> {
        let user = self.user.clone().map(SubjectKind::User);
        let ip = self.ip.map(SubjectKind::Ip);
        let session = self.session.clone().map(SubjectKind::Session);
        let device = self.device.clone().map(SubjectKind::Device);
        user.into_iter().chain(ip).chain(session).chain(device)
    }
}

impl From<SubjectKind> for EventSubject {
    fn from(subject: SubjectKind) -> Self {
        let mut about = Self::default();
        match subject {
            SubjectKind::User(user) => about.user = Some(user),
            SubjectKind::Session(id) => about.session = Some(id),
            SubjectKind::Device(id) => about.device = Some(id),
            SubjectKind::Ip(ip) => about.ip = Some(ip),
        }
        about
    }
}

/// A device as it is registered or reported. A member or a fact that is `None` is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceRecord {
    /// Its id.
    pub id: String,
    /// Whom it is registered to; `None` only reports on it.
    pub user: Option<EntityRef>,
    /// What is known of it as such.
    pub facts: DeviceFacts,
    /// Whether it complies.
    pub compliant: Option<bool>,
}

/// An authentication in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssuranceRecord {
    /// The session.
    pub session: String,
    /// Whose it is.
    pub user: EntityRef,
    /// What proves it. A record of a level without a method takes the place of such records before it;
    /// one of a method that of the same method.
    pub evidence: Evidence,
}

/// A change that a caller orders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Registers a device or reports on it.
    Device(DeviceRecord),
    /// Takes a device out. What was said of its compliance stays, until it is erased.
    RemoveDevice(String),
    /// Records an authentication.
    Assurance(AssuranceRecord),
    /// Says what is known of a user's account.
    Account {
        /// The user.
        user: EntityRef,
        /// When the account was made.
        created: Option<Timestamp>,
        /// The methods it has enrolled.
        enrolled: Option<MethodSet>,
    },
    /// Ends findings, incidents, lock-outs, blocks and supplied risk levels of a subject; a revoked
    /// session stays revoked, a disabled account disabled.
    Remediate {
        /// Of whom.
        subject: SubjectKind,
        /// Why, for the record.
        reason: String,
        /// Who.
        by: String,
    },
    /// Leaves findings, lock-outs and risk levels of a user aside until an instant.
    Override {
        /// Of whom.
        user: EntityRef,
        /// Until when; at most 24 hours from now. `None` ends it.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Forgets everything about a subject. A revocation and a disabled account are forgotten too.
    Erase {
        /// Of whom.
        subject: SubjectKind,
        /// Who.
        by: String,
    },
}

/// Why a change or an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It cannot be made; the message says why and what to do.
    #[error("{message}")]
    Refused {
        /// A stable name, such as `too_many_devices`, `future`, `too_old`, `override_too_long`.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
    /// There is no room for another subject.
    #[error(
        "the store is full ({0} subjects); erase some, or raise `trust.signals.bounds.max_subjects`"
    )]
    Full(usize),
    /// The reporter's own subjects fill its share of the store; others have room still.
    #[error(
        "subjects of this reporter fill 80 % of the store ({0} subjects), which is its share; erase some, or \
         raise `trust.signals.bounds.max_subjects`"
    )]
    Share(usize),
    /// It could not be made durable.
    #[error("{0}")]
    State(String),
}

/// How full a part of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Its name: `subjects`, `strangers`, `sessions`, `devices`, `addresses`.
    pub room: &'static str,
    /// Entries it holds.
    pub used: usize,
    /// Entries it may hold.
    pub limit: usize,
    /// Whether something is refused when it is full. The others let the oldest go.
    pub refuses: bool,
    /// The setting that bounds it.
    pub setting: &'static str,
}

/// A room this full, in percent, is told of.
const RUNS_FULL: usize = 80;

impl Usage {
    /// That the room runs full, and what to do; `None` while there is room, and where nothing is refused.
    #[must_use]
    pub fn runs_full(&self) -> Option<String> {
        let Self {
            room,
            used,
            limit,
            refuses,
            setting,
        } = *self;
        let full = used.saturating_mul(100) >= limit.saturating_mul(RUNS_FULL);
        (refuses && full).then(|| {
            format!(
                "signals: {used} of {limit} {room} are kept; in a full room, what is said of a new one may be \
                 refused: raise `trust.signals.bounds.{setting}`, or erase some"
            )
        })
    }
}

/// The result of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventAnswer {
    /// It counts, and is durable where the store is.
    Accepted,
    /// The same (source, id) was accepted before.
    Duplicate,
    /// It does not count.
    Refused(ChangeError),
}

words! {
    /// Why a finding was made.
    #[derive(PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[non_exhaustive]
    pub enum FindingKind by as_str {
        /// Events that belong together.
        Correlated = "correlated",
        /// Too many failed logins.
        BruteForceAttack = "brute_force_attack",
        /// Two places too far apart for the time between them.
        ImpossibleTravel = "impossible_travel",
        /// An account that somebody else uses.
        AccountCompromise = "account_compromise",
        /// Too many suspicious requests.
        SuspiciousRequests = "suspicious_requests",
        /// Too many rate limits hit.
        RateLimitAbuse = "rate_limit_abuse",
        /// A credential that is known to others.
        CredentialCompromise = "credential_compromise",
    }
}

/// The kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotificationKind {
    /// A finding.
    Finding,
    /// An incident.
    Incident,
    /// A break-glass principal acted.
    BreakGlass,
    /// An operator changed what is known of a subject.
    SubjectChanged,
}

/// An event that is sent to webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its kind.
    pub kind: NotificationKind,
    /// The finding's or incident's own name, such as `brute_force_attack`; for a change what was done.
    pub name: String,
    /// A stable id: the same finding has the same one.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// How severe it is.
    pub severity: Severity,
    /// 0 to 1.
    pub risk: Score,
    /// Who or what it is about.
    pub subject: EventSubject,
    /// A sentence for a person.
    pub detail: String,
}

/// Keeps the state of subjects: in memory, or durable in the state directory.
///
/// [`SignalStore::standing`] and [`SignalStore::observe`] are on the way of every scored decision: they
/// do no I/O and do not wait. The others may wait for the disk.
pub trait SignalStore: Send + Sync + Debug {
    /// What is known, as of the instant that is asked for.
    fn standing(&self, ask: &SubjectQuery<'_>) -> SubjectState;

    /// Takes note of a decision that was made to be enforced.
    fn observe(&self, seen: &Observation<'_>);

    /// Takes events, each answered separately, in their order. What is accepted is durable.
    fn report(&self, events: Vec<Event>, now: Timestamp) -> Vec<EventAnswer>;

    /// Makes a change. What is acknowledged is durable.
    ///
    /// # Errors
    /// [`ChangeError`] when it cannot be made or kept.
    fn change(&self, change: Change, now: Timestamp) -> Result<(), ChangeError>;

    /// As [`SignalStore::change`], on behalf of a reporter: what it causes counts for its share of each room, as
    /// what its events cause does. A store without shares makes the change.
    ///
    /// # Errors
    /// As [`SignalStore::change`].
    fn change_by(
        &self,
        _reporter: &str,
        change: Change,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        self.change(change, now)
    }

    /// Takes up another configuration, from the next event and decision on. What the store does not
    /// support stays as it is.
    fn configure(&self, _config: super::SignalsConfig) {}

    /// Everything that is known of a subject and why, as JSON for a person and a program; `None` when
    /// nothing is.
    fn describe(&self, subject: &SubjectKind, now: Timestamp) -> Option<serde_json::Value>;

    /// The subjects that something is held against (a lock-out, a block, a live finding, an override,
    /// a revocation, a disabled account), at most `limit`.
    fn held(&self, now: Timestamp, limit: usize) -> Vec<SubjectKind>;

    /// How full each of its rooms is, for readiness and metrics. It walks through nothing.
    fn usage(&self) -> Vec<Usage> {
        Vec::new()
    }
}
