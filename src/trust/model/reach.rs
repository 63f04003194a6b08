//! What the best possible request can reach, so that no requirement is out of everybody's reach.

use super::assessment::Assessment;
use super::checked::Model;
use super::config::{Lists, ModelConfig, Preset};
use super::input::{
    Behavior, Country, Device, Familiarity, Identity, Inputs, Listed, Location, Network,
    NetworkClass, Point,
};
use super::number::Score;
use crate::base::timestamp::Timestamp;
use crate::base::words::words;
use crate::trust::device::{DeviceFacts, DeviceTrust};

words! {
    /// A role as the factor `identity` knows it.
    #[non_exhaustive]
    pub enum Role by as_str {
        /// Neither administrative nor privileged.
        Plain = "plain",
        /// Administrative.
        Admin = "admin",
        /// Privileged.
        Privileged = "privileged",
        /// Both.
        AdminAndPrivileged = "admin and privileged",
    }
}

/// The network that counts most among those configured; `None` for one that matches none of them.
fn best_network(config: &ModelConfig, lists: &Lists) -> Option<NetworkClass> {
    let of = &config.network;
    let value = |class: Option<NetworkClass>| {
        let (score, confidence) = match class {
            Some(NetworkClass::Corporate) => (of.corporate, of.confidence_matched),
            Some(NetworkClass::Partner) => (of.partner, of.confidence_matched),
            Some(NetworkClass::Vpn) => (of.vpn, of.confidence_matched),
            Some(NetworkClass::Public) => (of.public, of.confidence_matched),
            Some(NetworkClass::Anonymiser) => (of.anonymiser, of.confidence_matched),
            None => (of.no_match, of.confidence_unmatched),
        };
        let score = (score + of.mutual_tls).clamped();
        // As the composite has it: confidence counts above the prior only.
        score.min(config.prior) + confidence.times((score - config.prior).clamped())
    };
    let classes = lists.networks.iter().copied().map(Some);
    classes.fold(None, |best, class| {
        if value(class) > value(best) {
            class
        } else {
            best
        }
    })
}

/// The best possible request of a role.
pub(super) fn best(config: &ModelConfig, lists: &Lists, role: Role, now: Timestamp) -> Inputs {
    let centre = Point {
        latitude: 0,
        longitude: 0,
    };
    Inputs {
        identity: Identity {
            mfa_enrolled: Some(true),
            mfa_verified: Some(true),
            phishing_resistant: Some(true),
            account_created: Some(Timestamp::from_millis(i64::MIN)),
            suspicious: Some(false),
            admin: matches!(role, Role::Admin | Role::AdminAndPrivileged),
            privileged: matches!(role, Role::Privileged | Role::AdminAndPrivileged),
            ..Identity::default()
        },
        device: Device {
            identified: true,
            registered: Some(true),
            facts: DeviceFacts {
                trust: Some(DeviceTrust::High),
                last_scan: Some(now),
                jailbroken: Some(false),
                current_os: Some(true),
                managed: Some(true),
                certificate: Some(true),
                ..DeviceFacts::default()
            },
            ..Device::default()
        },
        location: Location {
            country: Country::new("DE"),
            listed: if lists.allow_list {
                Listed::Allowed
            } else {
                Listed::No
            },
            place: Some(Familiarity::Known),
            point: Some((centre, 0)),
            ..Location::default()
        },
        behavior: Behavior {
            history: u32::MAX,
            hour_share: Score::ONE,
            usual_denies: u64::MAX,
            usual_requests: u64::MAX,
            ..Behavior::default()
        },
        network: Network {
            address: true,
            class: best_network(config, lists),
            mutual_tls: Some(true),
            ..Network::default()
        },
        ..Inputs::default()
    }
}

impl Model {
    /// The composite that the best possible request of a role reaches.
    #[must_use]
    pub fn reach(&self, role: Role) -> Score {
        self.assess_best(role).composite
    }

    fn assess_best(&self, role: Role) -> Assessment {
        let now = Timestamp::from_millis(0);
        self.assess(&best(self.config(), self.lists(), role, now), now)
    }

    /// The least that any role reaches.
    pub(super) fn weakest_reach(&self) -> Score {
        let reached = Role::ALL.into_iter().map(|role| self.reach(role));
        reached.min().unwrap_or(Score::ZERO)
    }

    /// Every requirement that the best request of some role misses. Under `literal` there is no such
    /// check: that nobody reads a secret is one of its flaws.
    pub(super) fn unreachable(&self) -> Vec<String> {
        if self.preset() == Preset::Literal {
            return Vec::new();
        }
        let required = &self.config().required;
        let named = required
            .classifications
            .iter()
            .map(|(name, trust)| (format!("required.classifications.{name}"), *trust))
            .chain([("required.other".to_owned(), required.other)]);
        let mut faults = Vec::new();
        for (key, base) in named {
            // A cap that follows from what is reached would hide what it cannot reach.
            let plain = required.cap.map_or(base, |cap| base.min(cap));
            let most = plain.max(self.capped(base, u8::MAX));
            let reached = || Role::ALL.into_iter().map(|role| (role, self.reach(role)));
            let missed = |required: Score| {
                reached()
                    .filter(|(_, reached)| required > *reached)
                    .map(|(role, reached)| format!("{reached} as `{}`", role.as_str()))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            if reached().any(|(_, reached)| plain > reached) {
                faults.push(format!(
                    "`trust.model.{key}` requires {plain}, and the best possible request reaches {}; \
                     lower it to that{}, or set `required.cap`",
                    missed(plain),
                    self.what_would_reach_more()
                ));
            } else if reached().any(|(_, reached)| most > reached) {
                faults.push(format!(
                    "`trust.model.{key}` requires {most} with compliance, and the best possible \
                     request reaches {}; lower `required.cap` to that or leave it out",
                    missed(most)
                ));
            }
        }
        faults
    }

    fn what_would_reach_more(&self) -> &'static str {
        let lists = self.lists();
        let corporate = lists.networks.contains(&NetworkClass::Corporate);
        if !lists.allow_list {
            ", configure an allow list of countries"
        } else if !lists.networks.is_empty() && !corporate {
            ", configure the corporate networks"
        } else {
            ""
        }
    }
}
