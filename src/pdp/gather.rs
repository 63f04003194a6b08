//! What is known of a request's circumstances: from the store of signals, from the request (where its
//! caller is believed), from a verified token, from stored entities and from the configuration.
//!
//! Where two sources contradict one another the worse one counts and the factor says so. Nothing here
//! allocates.

use std::net::IpAddr;

use super::enrich::Enriched;
use crate::base::caller::Scope;
use crate::base::timestamp::Timestamp;
use crate::entities::Value;
use crate::request::{Authentication, Request, Signals};
use crate::trust::geo::GeoSource;
use crate::trust::model::{
    Authenticated, Country, Device, DeviceFacts, Evident, Identity, Indicators, Inputs, KnockOuts,
    Location, Network, Source, SubjectRisk,
};
use crate::trust::subjects::{DeviceStanding, SignalStore, SubjectQuery, SubjectState};
use crate::trust::{Asked, Trust, TrustPlan};

/// Where facts about subjects and addresses come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) store: Option<&'a dyn SignalStore>,
    pub(crate) geo: Option<&'a dyn GeoSource>,
}

/// Where a request comes from, as far as that is believed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientOrigin {
    pub(crate) ip: Option<IpAddr>,
    country: Option<Country>,
    pub(crate) point: Option<(crate::trust::model::Point, u32)>,
    /// Whether the principal is a stored entity or that of a verified token.
    pub(crate) vouched: bool,
    source: Source,
    conflicting: bool,
    anonymous: bool,
}

/// What to ask the store about a request that comes from this place.
pub(crate) fn ask<'a>(
    request: &'a Request,
    place: &ClientOrigin,
    now: Timestamp,
) -> SubjectQuery<'a> {
    let client = request.client();
    SubjectQuery {
        user: request.principal(),
        caller: request.caller().counts_for(),
        session: session(request),
        device: client.and_then(|client| client.device.as_deref()),
        ip: client.and_then(|client| client.ip),
        country: place.country,
        now,
    }
}

/// The session that a request is of. A verified token says which; what a caller says comes after that.
fn session(request: &Request) -> Option<&str> {
    let of_token = request
        .authentication()
        .and_then(|token| token.session.as_deref());
    of_token.or_else(|| request.client()?.session.as_deref())
}

/// An address and a position prove nothing by themselves: they count from a caller that is believed about
/// signals. Others' addresses are good for looking up what is held against them.
pub(crate) fn place(request: &Request, sources: Sources<'_>) -> ClientOrigin {
    let caller = request.caller();
    let ip = request.client().and_then(|client| client.ip);
    if !caller.has(Scope::AssertSignals) {
        return ClientOrigin::default();
    }
    let said = request.signals();
    let (country, point) = said.map_or((None, None), |said| (said.country, said.point));
    let found = ip.zip(sources.geo).and_then(|(ip, geo)| geo.look_up(ip));
    let mut place = ClientOrigin {
        ip,
        country,
        point,
        source: match (country, point) {
            (None, None) => Source::None,
            _ => Source::Asserted,
        },
        conflicting: false,
        anonymous: false,
        vouched: false,
    };
    if let Some(found) = found {
        place.anonymous = found.anonymous;
        place.source = place.source.and(Source::Configured);
        match (place.country, found.country) {
            (Some(said), Some(found)) if said != found => place.conflicting = true,
            (None, found) => place.country = found,
            _ => {}
        }
        place.point = place
            .point
            .or(found.point.map(|point| (point, found.accuracy)));
    }
    place
}

/// Gathers everything that the score is made of.
pub(crate) fn gather(
    enriched: &Enriched<'_>,
    trust: &TrustPlan,
    place: &mut ClientOrigin,
    standing: SubjectState,
) -> Inputs {
    let request = enriched.request;
    let signals = request.signals();
    let asked = enriched.asked();
    let [principal, _, _] = enriched.known;
    let token = request.authentication();
    place.vouched = principal.is_some() || token.is_some();
    let revoked = token.and_then(|token| revoked(token, &standing, request));
    let mut inputs = Inputs {
        identity: identity(trust, &asked, signals, &standing),
        device: device(request, signals, &standing),
        location: location(trust, place, signals, &standing),
        behavior: standing.behavior,
        network: network(trust, place, signals),
        risk: SubjectRisk {
            finding: standing.risk,
            level: worse(
                signals.and_then(|signals| signals.risk),
                standing.risk_level,
            ),
            demanded_level: standing.demanded_level,
        },
        target: trust.target(&asked),
        knock_outs: knock_outs(signals, &standing, revoked),
        previous_band: standing.last_band,
        exempt: trust.is_exempt(request.principal()),
        authentication: Authenticated {
            enrolled: standing.enrolled,
            evidence: standing.evidence,
        },
    };
    // What was proved before a revocation proves nothing now.
    if let Some(token) = token.filter(|_| revoked != Some(true)) {
        inputs
            .authentication
            .evidence
            .extend(trust.assurances().evidence(
                token.acr.as_deref(),
                &token.amr,
                token.auth_time,
                enriched.now,
            ));
    }
    session_facts(&mut inputs, trust, enriched.now);
    inputs
}

/// The worse of two, where both are known.
fn worse<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// Facts from two sources. Where they differ the worse one counts.
#[derive(Default)]
struct Both {
    source: Source,
    conflicting: bool,
}

impl Both {
    fn pick<T: Copy + PartialEq>(
        &mut self,
        (asserted, stored): (Option<T>, Option<T>),
        worse: impl FnOnce(T, T) -> T,
    ) -> Option<T> {
        if asserted.is_some() {
            self.source = self.source.and(Source::Asserted);
        }
        if stored.is_some() {
            self.source = self.source.and(Source::Stored);
        }
        match (asserted, stored) {
            (Some(one), Some(other)) if one != other => {
                self.conflicting = true;
                Some(worse(one, other))
            }
            (one, other) => one.or(other),
        }
    }

    /// Where `true` is good.
    fn good(&mut self, asserted: Option<bool>, stored: Option<bool>) -> Option<bool> {
        self.pick((asserted, stored), |one, other| one && other)
    }

    /// Where `true` is bad.
    fn bad(&mut self, asserted: Option<bool>, stored: Option<bool>) -> Option<bool> {
        self.pick((asserted, stored), |one, other| one || other)
    }

    /// What is known of a device.
    fn facts(&mut self, asserted: DeviceFacts, stored: DeviceFacts) -> DeviceFacts {
        let (one, other) = (asserted, stored);
        DeviceFacts {
            trust: self.pick((one.trust, other.trust), std::cmp::min),
            // The later scan is not a contradiction.
            last_scan: worse(one.last_scan, other.last_scan),
            jailbroken: self.bad(one.jailbroken, other.jailbroken),
            current_os: self.good(one.current_os, other.current_os),
            managed: self.good(one.managed, other.managed),
            certificate: self.good(one.certificate, other.certificate),
            indicators: self.pick((one.indicators, other.indicators), Indicators::and),
        }
    }

    fn evident(&self, observed: Option<Timestamp>) -> Evident {
        Evident {
            source: self.source,
            observed,
            conflicting: self.conflicting,
        }
    }
}

fn identity(
    trust: &TrustPlan,
    asked: &Asked<'_>,
    signals: Option<&Signals>,
    standing: &SubjectState,
) -> Identity {
    let [principal, _, _] = asked.known.map(|known| known?.entity());
    let attributes = principal.map_or(&[][..], |entity| entity.attrs());
    let enrolled = match trust.mfa_enrolled(attributes) {
        Some(Value::Bool(enrolled)) => Some(*enrolled),
        _ => standing.enrolled.map(|methods| {
            let methods = methods.iter();
            methods
                .map(|method| trust.model().config().methods.of(method))
                .any(|method| method.multi_factor)
        }),
    };
    let created = match trust.account_created(attributes) {
        Some(Value::Datetime(millis)) => Some(Timestamp::from_millis(*millis)),
        Some(Value::Str(text)) => text.parse().ok(),
        _ => standing.account_created,
    };
    // That nothing is on record says something only where there is a record.
    let history = trust.model().config().behavior.history;
    let on_record = standing
        .suspicious
        .filter(|suspicious| *suspicious || standing.behavior.history >= history);
    let mut both = Both::default();
    let asserted = |fact: fn(&Signals) -> Option<bool>| signals.and_then(fact);
    let mut identity = Identity {
        mfa_enrolled: both.good(asserted(|s| s.mfa_enrolled), enrolled),
        mfa_verified: both.good(asserted(|s| s.mfa_verified), None),
        phishing_resistant: both.good(asserted(|s| s.phishing_resistant), None),
        account_created: both.pick(
            (signals.and_then(|s| s.account_created), created),
            // The younger account is trusted less.
            std::cmp::max,
        ),
        suspicious: both.bad(asserted(|s| s.suspicious_activity), on_record),
        ..Identity::default()
    };
    (identity.admin, identity.privileged) = trust.roles(asked);
    identity.evident = both.evident(signals.and_then(|signals| signals.observed_at));
    identity
}

fn device(request: &Request, signals: Option<&Signals>, standing: &SubjectState) -> Device {
    let said = signals.and_then(|signals| signals.device.as_ref());
    // Of a device that is not this principal's only what speaks against it counts: naming somebody else's
    // must not help.
    let stored = standing.device.map(|device| match device.registered {
        true => device,
        false => DeviceStanding {
            facts: device.facts.adverse(),
            ..device
        },
    });
    let named = request
        .client()
        .is_some_and(|client| client.device.is_some());
    let mut both = Both::default();
    let registered = stored.map(|device| device.registered);
    // An id that is known to nobody is a device that is not registered, unless a believed caller says
    // that it is: then it is registered elsewhere.
    let unknown = named && stored.is_none();
    let registered = match said.and_then(|said| said.registered) {
        None if unknown => Some(false),
        said => both.good(said, registered),
    };
    let facts = both.facts(
        said.map(|said| said.facts).unwrap_or_default(),
        stored.map(|device| device.facts).unwrap_or_default(),
    );
    let observed = match (said, stored) {
        (Some(_), _) => signals.and_then(|signals| signals.observed_at),
        (None, stored) => stored.and_then(|device| device.reported),
    };
    Device {
        identified: said.is_some() || named,
        registered,
        facts,
        evident: both.evident(observed),
    }
}

fn location(
    trust: &Trust,
    place: &ClientOrigin,
    signals: Option<&Signals>,
    standing: &SubjectState,
) -> Location {
    Location {
        country: place.country,
        listed: trust.listed(place.country, place.conflicting),
        place: standing.place,
        point: place.point,
        last: standing.last_sighting,
        evident: Evident {
            source: place.source,
            observed: match place.source {
                Source::Asserted => signals.and_then(|signals| signals.observed_at),
                _ => None,
            },
            conflicting: place.conflicting,
        },
    }
}

fn network(trust: &Trust, place: &ClientOrigin, signals: Option<&Signals>) -> Network {
    use crate::trust::model::NetworkClass;
    let networks = trust.networks();
    let ip = place.ip;
    let listed = ip.and_then(|ip| networks.class(ip));
    let said = signals.and_then(|signals| signals.network_class);
    let hidden = place.anonymous.then_some(NetworkClass::Anonymiser);
    let mutual_tls = signals.and_then(|signals| signals.mutual_tls);
    Network {
        address: ip.is_some(),
        // Classes are in the order of trust, so the worse is the greater. What is said can lower what the
        // list says and gives no class to an address that is on no list.
        class: listed.map(|listed| {
            let worse = said.map_or(listed, |said| listed.max(said));
            hidden.map_or(worse, |hidden| worse.max(hidden))
        }),
        mutual_tls,
        evident: Evident {
            source: match (ip, mutual_tls) {
                (None, None) => Source::None,
                (Some(_), None) => Source::Configured,
                (None, Some(_)) => Source::Asserted,
                (Some(_), Some(_)) => Source::Several,
            },
            observed: signals.and_then(|signals| signals.observed_at),
            conflicting: listed
                .zip(said)
                .is_some_and(|(listed, said)| listed != said),
        },
    }
}

/// What authenticates the session says of the identity too: a method that was verified is enrolled. It is
/// proved, so it stands whatever a caller says of the session.
fn session_facts(inputs: &mut Inputs, trust: &Trust, now: Timestamp) {
    let proven = trust.model().proven(&inputs.authentication.evidence, now);
    let (multi_factor, phishing_resistant) = (proven.multi_factor, proven.phishing_resistant);
    let identity = &mut inputs.identity;
    if multi_factor {
        identity.mfa_verified = Some(true);
        identity.mfa_enrolled = identity.mfa_enrolled.or(Some(true));
    }
    if phishing_resistant {
        identity.phishing_resistant = Some(true);
    }
    if multi_factor || phishing_resistant {
        identity.evident.source = identity.evident.source.and(Source::Stored);
    }
}

fn knock_outs(
    signals: Option<&Signals>,
    standing: &SubjectState,
    revoked: Option<bool>,
) -> KnockOuts {
    let mut knock_outs = standing.knock_outs;
    let said = signals.and_then(|signals| signals.device.as_ref());
    if said.and_then(|device| device.compliant) == Some(false) {
        knock_outs = knock_outs.with(KnockOuts::DEVICE_NOT_COMPLIANT);
    }
    match revoked {
        Some(true) => knock_outs.with(KnockOuts::SESSION_REVOKED),
        // It is of a session that the store does not know of, and that began later.
        Some(false) if standing.revoked_by_instant => {
            knock_outs.without(KnockOuts::SESSION_REVOKED)
        }
        _ => knock_outs,
    }
}

/// Whether a token is of a session that was revoked; `None` where nothing was revoked that it could be of.
///
/// A token tells its age by `auth_time`, else by `iat`; one that does neither is as old as can be. One that
/// names no session may be of any of its principal's, so that the last revocation of one counts.
fn revoked(token: &Authentication, standing: &SubjectState, request: &Request) -> Option<bool> {
    let names_session = session(request).is_some();
    let of_session = standing.last_session_revoked.filter(|_| !names_session);
    let revoked = standing.revoked_before.max(of_session)?;
    let age = token.auth_time.or(token.issued_at);
    Some(age.is_none_or(|at| at <= revoked))
}
