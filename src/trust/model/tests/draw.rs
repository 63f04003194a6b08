//! Arbitrary inputs and accepted configurations.

use crate::base::span::Span;
use proptest::prelude::*;

use super::support::*;
use crate::base::timestamp::Timestamp;
use crate::trust::model::*;

/// Numbers that inputs and configurations are drawn from.
pub(super) struct Draw {
    pub(super) numbers: Vec<u32>,
    at: usize,
}

impl std::fmt::Debug for Draw {
    /// Three hundred numbers say nothing; the assertions say what was drawn.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.numbers.len())
    }
}

impl Draw {
    pub(super) fn number(&mut self) -> u32 {
        self.at += 1;
        self.numbers[(self.at - 1) % self.numbers.len()]
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.number() % end
    }

    pub(super) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(super) fn span(&mut self) -> Option<Span> {
        self.flag()
            .then(|| Span::seconds(u64::from(self.below(100_000))))
    }

    pub(super) fn known(&mut self) -> Option<bool> {
        [None, Some(false), Some(true)][self.below(3) as usize]
    }

    /// 0 to 1, often an end.
    pub(super) fn share(&mut self) -> Score {
        match self.below(5) {
            0 => Score::ZERO,
            1 => Score::ONE,
            _ => Score::new(self.below(10_001) as i32),
        }
    }

    pub(super) fn penalty(&mut self) -> Score {
        -self.share()
    }

    pub(super) fn instant(&mut self) -> Timestamp {
        let far = i64::from(self.number()) * SECOND;
        match self.below(8) {
            0 => Timestamp::from_millis(i64::MIN),
            1 => Timestamp::from_millis(i64::MAX),
            2 => before(-far % (100 * DAY)),
            3 => before(far % (300 * SECOND)),
            4 => before(far % DAY),
            _ => before(far % (100 * DAY)),
        }
    }

    pub(super) fn instant_or_none(&mut self) -> Option<Timestamp> {
        self.flag().then(|| self.instant())
    }

    pub(super) fn evident(&mut self) -> Evident {
        Evident {
            source: Source::Stored,
            observed: (self.below(4) == 0).then(|| self.instant()),
            conflicting: self.below(8) == 0,
        }
    }

    pub(super) fn point(&mut self) -> Point {
        if self.below(8) == 0 {
            return Point {
                latitude: self.number() as i32,
                longitude: self.number() as i32,
            };
        }
        Point {
            latitude: berlin().latitude + self.below(2_000_000) as i32,
            longitude: berlin().longitude + self.below(2_000_000) as i32,
        }
    }

    pub(super) fn accuracy(&mut self) -> u32 {
        let exact = self.below(100_000);
        [0, exact, 250_000, 250_001, 7_000_000, u32::MAX][self.below(6) as usize]
    }

    pub(super) fn any_score(&mut self) -> Score {
        match self.below(6) {
            0 => Score::new(self.number() as i32),
            _ => self.share(),
        }
    }

    pub(super) fn count(&mut self) -> u32 {
        match self.below(6) {
            0 => self.number(),
            _ => self.below(200),
        }
    }

    pub(super) fn evidence(&mut self) -> Evidence {
        Evidence {
            method: self.flag().then(|| Method::ALL[self.below(7) as usize]),
            level: (self.below(3) == 0).then(|| self.below(7) as u8),
            user_verified: self.flag(),
            at: self.instant(),
            until: (self.below(4) == 0).then(|| self.instant()),
        }
    }

    pub(super) fn band(&mut self) -> Option<Band> {
        [None, Some(Band::Low), Some(Band::Medium), Some(Band::High)][self.below(4) as usize]
    }

    pub(super) fn class(&mut self) -> Option<NetworkClass> {
        let all = lists().networks;
        all.get(self.below(6) as usize).copied()
    }

    pub(super) fn inputs(&mut self) -> Inputs {
        Inputs {
            identity: Identity {
                mfa_enrolled: self.known(),
                mfa_verified: self.known(),
                phishing_resistant: self.known(),
                account_created: self.instant_or_none(),
                suspicious: self.known(),
                admin: self.flag(),
                privileged: self.flag(),
                evident: self.evident(),
            },
            device: Device {
                identified: self.flag(),
                registered: self.known(),
                facts: DeviceFacts {
                    trust: [
                        None,
                        Some(DeviceTrust::Low),
                        Some(DeviceTrust::Medium),
                        Some(DeviceTrust::High),
                    ][self.below(4) as usize],
                    last_scan: self.instant_or_none(),
                    jailbroken: self.known(),
                    current_os: self.known(),
                    managed: self.known(),
                    certificate: self.known(),
                    indicators: None,
                },
                evident: self.evident(),
            },
            location: Location {
                country: self.flag().then(|| Country::new("DE").unwrap()),
                listed: [Listed::No, Listed::Allowed, Listed::Denied][self.below(3) as usize],
                place: [
                    None,
                    Some(Familiarity::Known),
                    Some(Familiarity::KnownCountry),
                    Some(Familiarity::NewCountry),
                ][self.below(4) as usize],
                point: self.flag().then(|| (self.point(), self.accuracy())),
                last: self.flag().then(|| Sighting {
                    point: self.point(),
                    accuracy: self.accuracy(),
                    at: self.instant(),
                }),
                evident: self.evident(),
            },
            behavior: Behavior {
                finding: self.any_score(),
                denies: self.count(),
                usual_denies: u64::from(self.number()),
                requests: self.count(),
                usual_requests: u64::from(self.number()) * 4,
                history: self.below(60),
                hour_share: self.any_score(),
                last_adverse: self.instant_or_none(),
            },
            network: Network {
                address: self.flag(),
                class: self.class(),
                mutual_tls: self.known(),
                evident: self.evident(),
            },
            authentication: Authenticated {
                evidence: (0..self.below(4)).map(|_| self.evidence()).collect(),
                enrolled: None,
            },
            risk: SubjectRisk {
                finding: self.any_score(),
                level: self.band(),
                demanded_level: self.below(7) as u8,
            },
            target: Target {
                classification: self.flag().then(|| self.below(6) as u16),
                compliance: self.below(5) as u8,
                base_level: self.flag().then(|| self.below(7) as u8),
            },
            knock_outs: KnockOuts::none(),
            previous_band: self.band(),
            exempt: false,
        }
    }

    pub(super) fn lists(&mut self) -> Lists {
        let networks = lists()
            .networks
            .into_iter()
            .filter(|_| self.flag())
            .collect();
        Lists {
            networks,
            allow_list: self.flag(),
        }
    }

    /// A configuration that is mostly accepted: numbers in range and in order.
    pub(super) fn config(&mut self, preset: Preset) -> ModelConfig {
        let mut config = ModelConfig::preset(preset);
        config.prior = self.share();
        let weights = &mut config.weights;
        weights.identity = self.share();
        weights.device = self.share();
        weights.location = self.share();
        weights.behavior = self.share();
        weights.network = self.share();
        let calibrated = preset == Preset::Calibrated;
        let mut rule = |neutral: bool| match (calibrated, self.below(4)) {
            (_, 0) => OnMissing::Deny,
            (true, 1) if neutral => OnMissing::Neutral,
            (true, _) => OnMissing::Floor,
            (false, _) => OnMissing::Unadjusted,
        };
        config.on_missing = OnMissingConfig {
            identity: rule(false),
            device: rule(false),
            location: rule(false),
            behavior: rule(true),
            network: rule(false),
        };
        config.max_age.network = self.span();
        config.max_age.identity = self.span();
        let of = &mut config.identity;
        of.base = self.share();
        of.mfa_enrolled = self.share();
        of.mfa_verified = self.share();
        of.phishing_resistant = self.share();
        of.account_age = self.share();
        of.no_suspicious_activity = self.share();
        of.admin = self.penalty();
        of.privileged = self.penalty();
        of.confidence = self.share();
        let of = &mut config.device;
        of.base = self.share();
        of.registered = self.share();
        of.trust_high = self.share();
        of.trust_medium = self.share().min(of.trust_high);
        of.scan_recent = self.share();
        of.not_registered = self.penalty();
        of.scan_old = self.penalty().max(of.not_registered - of.registered);
        of.jailbroken = self.penalty();
        of.current_os = self.share();
        of.managed = self.share();
        of.certificate = self.share();
        of.confidence_registered = self.share();
        of.confidence_unregistered = self.share().min(of.confidence_registered);
        let of = &mut config.location;
        of.base = self.share();
        of.known_place = self.share();
        of.known_country = self.share().min(of.known_place);
        of.new_country = self.penalty();
        of.allowed = self.share();
        of.denied = self.penalty();
        of.speed = self.penalty();
        of.speed_kmh = 1 + self.below(2_000);
        of.confidence = self.share();
        of.confidence_inexact = self.share().min(of.confidence);
        let of = &mut config.behavior;
        of.base = self.share();
        of.finding = self.penalty();
        of.hour = self.penalty();
        of.hour_share = self.share();
        of.clean = self.share();
        of.confidence = self.share();
        of.history = self.below(40);
        of.denies.enabled = self.flag();
        of.denies.adjustment = self.penalty();
        of.requests.enabled = self.flag();
        of.requests.adjustment = self.penalty();
        let of = &mut config.network;
        of.corporate = self.share();
        of.partner = self.share();
        of.vpn = self.share();
        of.public = self.share();
        of.anonymiser = self.share();
        of.no_match = self.share();
        of.mutual_tls = self.share();
        of.confidence_matched = self.share();
        of.confidence_unmatched = self.share();
        config.levels.risk_factor = Score::new(self.below(30_000) as i32);
        config.levels.allowance = self.share();
        config.methods.totp.strength = self.below(5) as u8;
        config.methods.sms_otp.multi_factor = self.flag();
        config
    }

    /// An accepted model; requirements are lowered to what can be reached.
    pub(super) fn model(&mut self, preset: Preset) -> Option<Model> {
        if self.below(4) == 0 {
            return Some(model(preset));
        }
        let (mut config, lists) = (self.config(preset), self.lists());
        if let Ok(model) = Model::new(preset, &config, &lists) {
            return Some(model);
        }
        let most = self.below(3_000) as i32;
        for required in config.required.classifications.values_mut() {
            *required = Score::new(most);
        }
        config.required.other = Score::new(most / 2);
        Model::new(preset, &config, &lists).ok()
    }
}

pub(super) fn draw() -> impl Strategy<Value = Draw> {
    proptest::collection::vec(any::<u32>(), 300).prop_map(|numbers| Draw { numbers, at: 0 })
}
