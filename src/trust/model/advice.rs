//! What would raise a score, in plain words, with what each would add.

use super::adjustment::Adjustment::{self, *};
use super::assessment::{Assessment, Factor, FactorId, Status};
use super::checked::Model;
use super::config::OnMissing;
use super::input::NetworkClass;
use super::number::Score;
use super::reasons::change;

/// What a remedy does to the confidence in its factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Same,
    /// As in a registered device.
    Registered,
    /// As in an exact place.
    Exact,
    /// As in a network that matched.
    Matched,
    /// As in one that did not.
    Unmatched,
}

/// Something that can be done: where one of `needs` was made and none of `unless`, it takes `clears`
/// away and makes `makes`.
struct Remedy {
    needs: &'static [Adjustment],
    unless: &'static [Adjustment],
    clears: &'static [Adjustment],
    makes: Option<Adjustment>,
    belief: Belief,
    text: &'static str,
}

impl Remedy {
    /// The factor that it changes.
    fn factor(&self) -> Option<FactorId> {
        let mut about = self.makes.iter().chain(self.needs).chain(self.unless);
        about.next().map(|adjustment| adjustment.factor())
    }
}

/// A bonus that is not there yet.
const fn gain(bonus: &'static [Adjustment; 1], text: &'static str) -> Remedy {
    let [makes] = *bonus;
    Remedy {
        needs: &[],
        unless: bonus,
        clears: &[],
        makes: Some(makes),
        belief: Belief::Same,
        text,
    }
}

/// A penalty that goes away.
const fn end(penalties: &'static [Adjustment], text: &'static str) -> Remedy {
    Remedy {
        needs: penalties,
        unless: &[],
        clears: penalties,
        makes: None,
        belief: Belief::Same,
        text,
    }
}

const REMEDIES: &[Remedy] = &[
    gain(&[MfaEnrolled], "enrol a second factor of authentication"),
    gain(&[MfaVerified], "verify a second factor in this session"),
    gain(
        &[PhishingResistant],
        "authenticate by a phishing-resistant method (WebAuthn)",
    ),
    gain(
        &[NoSuspicious],
        "have suspicious activity ruled out or remediated",
    ),
    Remedy {
        clears: &[NotRegistered, RegistrationUnknown],
        belief: Belief::Registered,
        ..gain(&[Registered], "register the device to this user")
    },
    Remedy {
        needs: &[Registered],
        clears: &[TrustMedium],
        ..gain(&[TrustHigh], "raise the trust in the device to high")
    },
    Remedy {
        needs: &[Registered],
        clears: &[ScanOld, ScanUnknown],
        ..gain(&[ScanRecent], "scan the device")
    },
    end(
        &[Jailbroken],
        "use a device that is not jailbroken or rooted",
    ),
    end(
        &[JailbrokenUnknown],
        "report that the device is not jailbroken or rooted",
    ),
    gain(
        &[CurrentOs],
        "bring the operating system up to date, and report it",
    ),
    gain(&[Managed], "bring the device under management"),
    gain(&[Certificate], "give the device a certificate"),
    Remedy {
        unless: &[KnownPlace, CountryUnknown],
        clears: &[KnownCountry, NewCountry],
        ..gain(&[KnownPlace], "request from a known place")
    },
    end(&[CountryUnknown, DeniedUnknown], "report the country"),
    end(
        &[Denied],
        "request from a country that is not on the deny list",
    ),
    Remedy {
        unless: &[Allowed, Denied, CountryUnknown],
        ..gain(&[Allowed], "request from a country on the allow list")
    },
    end(
        &[Speed],
        "explain the distance to the last sighting: the time between was too short for it",
    ),
    Remedy {
        belief: Belief::Exact,
        ..end(&[SpeedInexact, SpeedUnknown], "report the place exactly")
    },
    Remedy {
        needs: &[],
        unless: &[SpeedInexact, SpeedUnknown],
        clears: &[],
        makes: None,
        belief: Belief::Exact,
        text: "report the place exactly",
    },
    end(&[Finding], "have the finding examined and remediated"),
    end(&[Denies], "ask less often for what is denied"),
    end(&[Requests], "ask less often"),
    Remedy {
        needs: &[AddressUnknown],
        unless: &[],
        clears: &[AddressUnknown],
        belief: Belief::Unmatched,
        ..gain(&[NoMatch], "report the address")
    },
    gain(&[MutualTls], "connect with mutual TLS, and report it"),
];

/// The networks that can be moved to, the best first.
const NETWORKS: [(NetworkClass, &str); 3] = [
    (NetworkClass::Corporate, "use the corporate network"),
    (NetworkClass::Partner, "use a partner's network"),
    (NetworkClass::Vpn, "use the virtual private network"),
];

impl Model {
    /// What would raise the composite of an assessment by this model, in plain words, what adds most
    /// first. Each is computed separately.
    #[must_use]
    pub fn advice_to_fix(&self, assessment: &Assessment) -> Vec<String> {
        let mut found: Vec<(Score, String)> = Vec::new();
        let mut add = |composite: Score, text: &str, up_to: &str| {
            let gain = composite - assessment.composite;
            if gain > Score::ZERO {
                found.push((gain, format!("{text}: composite {up_to}{}", change(gain))));
            }
        };
        for factor in &assessment.factors {
            if self.is_floored(factor) {
                let best = self.composite_as(
                    assessment,
                    factor.id,
                    Score::ONE,
                    Some(self.best_confidence(factor.id)),
                );
                let name = factor.id.as_str();
                let text = if factor.status == Status::Stale {
                    format!("report the {name} again, what is known is too old")
                } else {
                    format!("report the {name}, nothing is known of it")
                };
                add(best, &text, "up to ");
                continue;
            }
            let made = |all: &[Adjustment]| all.iter().any(|a| factor.adjustments & a.bit() != 0);
            let remedies = REMEDIES.iter().filter(|remedy| {
                remedy.factor() == Some(factor.id)
                    && factor.status != Status::Unavailable
                    && (remedy.needs.is_empty() || made(remedy.needs))
                    && !made(remedy.unless)
                    && (remedy.makes != Some(Allowed) || self.lists().allow_list)
            });
            for remedy in remedies {
                let composite = self.remedied(
                    assessment,
                    factor,
                    remedy.clears,
                    remedy.makes,
                    remedy.belief,
                );
                add(composite, remedy.text, "");
            }
            if factor.id == FactorId::Network && factor.status != Status::Unavailable {
                let networks = NETWORKS
                    .iter()
                    .find(|(class, _)| self.lists().networks.contains(class));
                if let Some((class, text)) = networks {
                    let class = Some(Adjustment::of_class(*class));
                    let classes = &[
                        Corporate,
                        Partner,
                        Vpn,
                        Public,
                        Anonymiser,
                        NoMatch,
                        AddressUnknown,
                    ];
                    add(
                        self.remedied(assessment, factor, classes, class, Belief::Matched),
                        text,
                        "",
                    );
                }
            }
        }
        // A stable sort: what adds the same stays in the order of the factors.
        found.sort_by_key(|(gain, _)| std::cmp::Reverse(*gain));
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// Whether a factor counts its floor, as nothing is known of it or only what is too old.
    fn is_floored(&self, factor: &Factor) -> bool {
        let rule = match factor.id {
            FactorId::Identity => self.config().on_missing.identity,
            FactorId::Device => self.config().on_missing.device,
            FactorId::Location => self.config().on_missing.location,
            FactorId::Network => self.config().on_missing.network,
            // There is nothing to report.
            FactorId::Behavior | FactorId::ResourceSensitivity => return false,
        };
        matches!(factor.status, Status::Missing | Status::Stale)
            && matches!(rule, OnMissing::Floor | OnMissing::Deny)
    }

    fn best_confidence(&self, id: FactorId) -> Score {
        let config = self.config();
        match id {
            FactorId::Identity => config.identity.confidence,
            FactorId::Device => config.device.confidence_registered,
            FactorId::Location => config.location.confidence,
            FactorId::Behavior => config.behavior.confidence,
            FactorId::Network => config.network.confidence_matched,
            FactorId::ResourceSensitivity => config.resource_sensitivity.confidence,
        }
    }

    fn remedied(
        &self,
        assessment: &Assessment,
        factor: &Factor,
        clears: &[Adjustment],
        makes: Option<Adjustment>,
        belief: Belief,
    ) -> Score {
        let cleared = clears
            .iter()
            .fold(factor.adjustments, |all, a| all & !a.bit());
        let adjustments = cleared | makes.map_or(0, Adjustment::bit);
        let score = self.rescored(assessment, factor, adjustments);
        let config = self.config();
        let confidence = match belief {
            Belief::Same => None,
            Belief::Registered => Some(config.device.confidence_registered),
            Belief::Exact => Some(config.location.confidence),
            Belief::Matched => Some(config.network.confidence_matched),
            Belief::Unmatched => Some(config.network.confidence_unmatched),
        };
        self.composite_as(assessment, factor.id, score, confidence)
    }
}
