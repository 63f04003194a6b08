//! Ways to make a request's signals worse.

use super::support::*;
use crate::base::timestamp::Timestamp;
use crate::trust::model::*;

/// As old as can be; what lies ahead is too old already, or would only become known.
fn older(evident: &mut Evident) {
    if evident.observed.is_none_or(|observed| observed <= now()) {
        evident.observed = Some(Timestamp::from_millis(i64::MIN));
    }
}

/// Another value of what is known; telling what was not known is not a worsening.
fn change<T>(known: &mut Option<T>, to: T) {
    if let Some(known) = known {
        *known = to;
    }
}

/// Makes a request worse.
type Worse = fn(&mut Inputs);

/// Ways to make signals worse or take them away.
pub(super) const DEGRADE: &[(&str, Worse)] = &[
    ("enrolled: none", |i| i.identity.mfa_enrolled = None),
    ("enrolled: no", |i| {
        change(&mut i.identity.mfa_enrolled, false)
    }),
    ("verified: none", |i| i.identity.mfa_verified = None),
    ("verified: no", |i| {
        change(&mut i.identity.mfa_verified, false)
    }),
    ("resistant: none", |i| i.identity.phishing_resistant = None),
    ("resistant: no", |i| {
        change(&mut i.identity.phishing_resistant, false)
    }),
    ("created: none", |i| i.identity.account_created = None),
    ("created: now", |i| {
        change(&mut i.identity.account_created, now())
    }),
    ("suspicious: none", |i| i.identity.suspicious = None),
    ("suspicious: yes", |i| {
        change(&mut i.identity.suspicious, true)
    }),
    ("identity: none", |i| i.identity = Identity::default()),
    ("identity: old", |i| {
        older(&mut i.identity.evident);
    }),
    ("registered: none", |i| i.device.registered = None),
    ("registered: no", |i| {
        change(&mut i.device.registered, false)
    }),
    ("trust: none", |i| i.device.facts.trust = None),
    ("trust: low", |i| {
        change(&mut i.device.facts.trust, DeviceTrust::Low)
    }),
    ("trust: lower", |i| {
        i.device.facts.trust = i.device.facts.trust.min(Some(DeviceTrust::Medium));
    }),
    ("scan: none", |i| i.device.facts.last_scan = None),
    ("scan: old", |i| {
        change(
            &mut i.device.facts.last_scan,
            Timestamp::from_millis(i64::MIN),
        );
    }),
    ("jailbroken: none", |i| i.device.facts.jailbroken = None),
    ("jailbroken: yes", |i| {
        change(&mut i.device.facts.jailbroken, true)
    }),
    ("os: none", |i| i.device.facts.current_os = None),
    ("os: no", |i| change(&mut i.device.facts.current_os, false)),
    ("managed: none", |i| i.device.facts.managed = None),
    ("managed: no", |i| {
        change(&mut i.device.facts.managed, false)
    }),
    ("certificate: none", |i| i.device.facts.certificate = None),
    ("certificate: no", |i| {
        change(&mut i.device.facts.certificate, false)
    }),
    ("device: none", |i| i.device = Device::default()),
    ("device: unidentified", |i| i.device.identified = false),
    ("device: old", |i| {
        older(&mut i.device.evident);
    }),
    ("country: none", |i| i.location.country = None),
    ("place: none", |i| i.location.place = None),
    ("place: new", |i| {
        i.location.place = Some(Familiarity::NewCountry)
    }),
    ("place: less known", |i| {
        if i.location.place == Some(Familiarity::Known) {
            i.location.place = Some(Familiarity::KnownCountry);
        }
    }),
    ("listed: denied", |i| i.location.listed = Listed::Denied),
    ("listed: not allowed", |i| {
        if i.location.listed == Listed::Allowed {
            i.location.listed = Listed::No;
        }
    }),
    ("point: none", |i| i.location.point = None),
    ("point: inexact", |i| {
        i.location.point = i.location.point.map(|(point, _)| (point, u32::MAX));
    }),
    ("point: less exact", |i| {
        let worse = |(point, accuracy): (_, u32)| (point, accuracy.saturating_add(240_000));
        i.location.point = i.location.point.map(worse);
    }),
    ("location: none", |i| {
        i.location = Location {
            last: i.location.last,
            ..Location::default()
        };
    }),
    ("location: old", |i| {
        older(&mut i.location.evident);
    }),
    ("finding", |i| i.behavior.finding = Score::ONE),
    ("denies", |i| i.behavior.denies = u32::MAX),
    ("requests", |i| i.behavior.requests = u32::MAX),
    ("usual: less", |i| {
        (i.behavior.usual_denies, i.behavior.usual_requests) = (0, 0);
    }),
    ("history: none", |i| i.behavior.history = 0),
    ("history: less", |i| i.behavior.history /= 2),
    ("hour", |i| i.behavior.hour_share = Score::ZERO),
    ("adverse", |i| i.behavior.last_adverse = Some(now())),
    ("address: none", |i| i.network.address = false),
    ("mutual TLS: none", |i| i.network.mutual_tls = None),
    ("mutual TLS: no", |i| {
        change(&mut i.network.mutual_tls, false)
    }),
    ("network: none", |i| i.network = Network::default()),
    ("network: old", |i| {
        older(&mut i.network.evident);
    }),
    ("evidence: none", |i| i.authentication.evidence.clear()),
    ("evidence: presence only", |i| {
        for one in &mut i.authentication.evidence {
            one.user_verified = false;
        }
    }),
    ("evidence: older", |i| {
        // What lies ahead counts nothing yet.
        let past = |one: &&mut Evidence| one.at <= now();
        for one in i.authentication.evidence.iter_mut().filter(past) {
            one.at = Timestamp::from_millis(one.at.as_millis() - 300 * SECOND);
        }
    }),
    ("risk: found", |i| i.risk.finding = Score::ONE),
    ("risk: high", |i| i.risk.level = Some(Band::High)),
    ("risk: higher", |i| {
        i.risk.level = i.risk.level.max(Some(Band::Medium));
    }),
    ("risk: demanded", |i| i.risk.demanded_level = 4),
];
