//! The invariants, over arbitrary inputs and accepted configurations.

use proptest::prelude::*;

use super::support::*;
use crate::score::*;
use crate::timestamp::Timestamp;

/// Numbers that inputs and configurations are drawn from.
struct Draw {
    numbers: Vec<u32>,
    at: usize,
}

impl std::fmt::Debug for Draw {
    /// Three hundred numbers say nothing; the assertions say what was drawn.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.numbers.len())
    }
}

impl Draw {
    fn number(&mut self) -> u32 {
        self.at += 1;
        self.numbers[(self.at - 1) % self.numbers.len()]
    }

    fn below(&mut self, end: u32) -> u32 {
        self.number() % end
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn known(&mut self) -> Option<bool> {
        [None, Some(false), Some(true)][self.below(3) as usize]
    }

    /// 0 to 1, often an end.
    fn share(&mut self) -> Score {
        match self.below(5) {
            0 => Score::ZERO,
            1 => Score::ONE,
            _ => Score::new(self.below(10_001) as i32),
        }
    }

    fn penalty(&mut self) -> Score {
        -self.share()
    }

    fn instant(&mut self) -> Timestamp {
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

    fn instant_or_none(&mut self) -> Option<Timestamp> {
        self.flag().then(|| self.instant())
    }

    fn evident(&mut self) -> Evident {
        Evident {
            source: Source::Stored,
            observed: (self.below(4) == 0).then(|| self.instant()),
            conflicting: self.below(8) == 0,
        }
    }

    fn point(&mut self) -> Point {
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

    fn accuracy(&mut self) -> u32 {
        let exact = self.below(100_000);
        [0, exact, 250_000, 250_001, 7_000_000, u32::MAX][self.below(6) as usize]
    }

    fn any_score(&mut self) -> Score {
        match self.below(6) {
            0 => Score::new(self.number() as i32),
            _ => self.share(),
        }
    }

    fn count(&mut self) -> u32 {
        match self.below(6) {
            0 => self.number(),
            _ => self.below(200),
        }
    }

    fn evidence(&mut self) -> Evidence {
        Evidence {
            method: self.flag().then(|| Method::ALL[self.below(7) as usize]),
            level: (self.below(3) == 0).then(|| self.below(7) as u8),
            user_verified: self.flag(),
            at: self.instant(),
            until: (self.below(4) == 0).then(|| self.instant()),
        }
    }

    fn band(&mut self) -> Option<Band> {
        [None, Some(Band::Low), Some(Band::Medium), Some(Band::High)][self.below(4) as usize]
    }

    fn class(&mut self) -> Option<NetworkClass> {
        let all = lists().networks;
        all.get(self.below(6) as usize).copied()
    }

    fn inputs(&mut self) -> Inputs {
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
                evident: self.evident(),
            },
            location: Location {
                country: self.flag().then(|| Country::new("DE").unwrap()),
                listed: [Listed::No, Listed::Allowed, Listed::Denied][self.below(3) as usize],
                place: [
                    None,
                    Some(Place::Known),
                    Some(Place::KnownCountry),
                    Some(Place::NewCountry),
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
                configured: self.flag(),
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
            failed: false,
        }
    }

    fn lists(&mut self) -> Lists {
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
    fn config(&mut self, preset: Preset) -> ModelConfig {
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
        config.max_age_seconds.network = self.flag().then(|| self.below(100_000));
        config.max_age_seconds.identity = self.flag().then(|| self.below(100_000));
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
    fn model(&mut self, preset: Preset) -> Option<Model> {
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

fn draw() -> impl Strategy<Value = Draw> {
    proptest::collection::vec(any::<u32>(), 300).prop_map(|numbers| Draw { numbers, at: 0 })
}

/// As old as can be; what lies ahead is too old already, or would only become known.
fn older(evident: &mut Evident) {
    if evident.observed.is_none_or(|observed| observed <= now()) {
        evident.observed = Some(Timestamp::from_millis(i64::MIN));
    }
}

/// Another value of what is known; telling what was not known is no worsening.
fn change<T>(known: &mut Option<T>, to: T) {
    if let Some(known) = known {
        *known = to;
    }
}

/// Ways to make signals worse or take them away.
const DEGRADE: &[(&str, fn(&mut Inputs))] = &[
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
    ("trust: none", |i| i.device.trust = None),
    ("trust: low", |i| {
        change(&mut i.device.trust, DeviceTrust::Low)
    }),
    ("trust: lower", |i| {
        i.device.trust = i.device.trust.min(Some(DeviceTrust::Medium));
    }),
    ("scan: none", |i| i.device.last_scan = None),
    ("scan: old", |i| {
        change(&mut i.device.last_scan, Timestamp::from_millis(i64::MIN));
    }),
    ("jailbroken: none", |i| i.device.jailbroken = None),
    ("jailbroken: yes", |i| {
        change(&mut i.device.jailbroken, true)
    }),
    ("os: none", |i| i.device.current_os = None),
    ("os: no", |i| change(&mut i.device.current_os, false)),
    ("managed: none", |i| i.device.managed = None),
    ("managed: no", |i| change(&mut i.device.managed, false)),
    ("certificate: none", |i| i.device.certificate = None),
    ("certificate: no", |i| {
        change(&mut i.device.certificate, false)
    }),
    ("device: none", |i| i.device = Device::default()),
    ("device: unidentified", |i| i.device.identified = false),
    ("device: old", |i| {
        older(&mut i.device.evident);
    }),
    ("country: none", |i| i.location.country = None),
    ("place: none", |i| i.location.place = None),
    ("place: new", |i| i.location.place = Some(Place::NewCountry)),
    ("place: less known", |i| {
        if i.location.place == Some(Place::Known) {
            i.location.place = Some(Place::KnownCountry);
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contributions_sum_to_the_composite(mut draw in draw()) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let found = model.assess(&draw.inputs(), now());
            let sum = found.factors.iter().fold(Score::ZERO, |sum, one| sum + one.contribution);
            prop_assert_eq!(sum, found.composite);
            prop_assert_eq!(found.composite, found.composite.clamped());
            for factor in found.factors {
                prop_assert!(factor.contribution >= Score::ZERO);
                prop_assert_eq!(factor.score, factor.score.clamped());
            }
        }
    }

    #[test]
    fn a_worse_or_missing_signal_never_pays(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let inputs = draw.inputs();
        let shown = model.assess(&inputs, now());
        for (name, degrade) in DEGRADE {
            let mut worse = inputs.clone();
            degrade(&mut worse);
            let found = model.assess(&worse, now());
            prop_assert!(found.composite <= shown.composite, "{}: {:?} {:?}", name, shown, found);
            prop_assert!(found.band >= shown.band, "{}", name);
            prop_assert!(found.level.required >= shown.level.required, "{}", name);
            prop_assert!(found.level.reached <= shown.level.reached, "{}", name);
            prop_assert!(found.knock_outs.contains(shown.knock_outs), "{}", name);
            prop_assert_eq!(found.required, shown.required, "{}", name);
        }
    }

    #[test]
    fn worse_risk_never_lowers_a_level_of_the_published_model(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Literal) else { return Ok(()) };
        let mut inputs = draw.inputs();
        let shown = model.assess(&inputs, now()).level.required;
        inputs.risk.finding = inputs.risk.finding.clamped().max(draw.share());
        inputs.risk.level = inputs.risk.level.max(draw.band());
        prop_assert!(model.assess(&inputs, now()).level.required >= shown);
    }

    #[test]
    fn every_classification_is_in_reach_of_every_role(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        for role in Role::ALL {
            let mut inputs = crate::score::reach::best(model.config(), model.lists(), role, now());
            let classes = model.config().required.classifications.len() as u16;
            for class in (0..classes).map(Some).chain([None]) {
                for compliance in 0..=4 {
                    inputs.target.classification = class;
                    inputs.target.compliance = compliance;
                    let found = model.assess(&inputs, now());
                    prop_assert!(found.trusted(), "{:?} {:?} {:?}", role, class, found);
                    prop_assert!(found.knock_outs.is_empty());
                }
            }
        }
    }

    #[test]
    fn nothing_beats_the_best_request_of_a_role(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let mut inputs = draw.inputs();
        if !model.lists().allow_list && inputs.location.listed == Listed::Allowed {
            inputs.location.listed = Listed::No;
        }
        let configured = |class| model.lists().networks.contains(&class);
        inputs.network.class = inputs.network.class.filter(|class| configured(*class));
        let role = match (inputs.identity.admin, inputs.identity.privileged) {
            (false, false) => Role::Plain,
            (true, false) => Role::Admin,
            (false, true) => Role::Privileged,
            (true, true) => Role::AdminAndPrivileged,
        };
        prop_assert!(model.assess(&inputs, now()).composite <= model.reach(role));
    }

    #[test]
    fn missing_never_beats_perfect(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let best = crate::score::reach::best(model.config(), model.lists(), Role::Plain, now());
        let perfect = model.assess(&best, now()).composite;
        let without: [fn(&mut Inputs); 5] = [
            |i| i.identity = Identity::default(),
            |i| i.device = Device::default(),
            |i| i.location = Location::default(),
            |i| i.behavior = Behavior::default(),
            |i| i.network = Network::default(),
        ];
        for take in without {
            let mut inputs = best.clone();
            take(&mut inputs);
            prop_assert!(model.assess(&inputs, now()).composite <= perfect);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_output(mut draw in draw()) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let again = Model::new(preset, model.config(), model.lists()).unwrap();
            let inputs = draw.inputs();
            let (one, other) = (model.assess(&inputs, now()), again.assess(&inputs.clone(), now()));
            prop_assert_eq!(one, other);
            prop_assert_eq!(breakdown(&model, &one), breakdown(&again, &other));
        }
    }

    #[test]
    fn an_option_that_is_completed_makes_the_request_pass(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let inputs = draw.inputs();
        let (trust, level) = (draw.share(), draw.below(5) as u8);
        let step_up = model.step_up(&inputs, trust, level, now());
        prop_assert!(step_up.other.is_empty());
        for offer in step_up.ordered(None) {
            // As a request is made anew: with the evidence, and what it proves.
            let mut after = inputs.clone();
            after.authentication.evidence.push(Evidence {
                method: Some(offer.method),
                level: None,
                user_verified: offer.user_verification,
                at: now(),
                until: None,
            });
            let proven = model.proven(&after.authentication.evidence[inputs.authentication.evidence.len()..], now());
            if proven.multi_factor {
                after.identity.mfa_verified = Some(true);
            }
            if proven.phishing_resistant {
                after.identity.phishing_resistant = Some(true);
            }
            let found = model.assess(&after, now());
            prop_assert!(found.composite >= trust && found.level.reached >= level, "{:?}", offer);
            prop_assert!(found.knock_outs.is_empty());
            prop_assert!(offer.method != Method::AdminApproval);
        }
    }

    #[test]
    fn a_reached_level_falls_with_time(mut draw in draw(), later in 0_i64..200_000) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let mut inputs = Inputs::default();
            for _ in 0..draw.below(9) {
                let mut one = draw.evidence();
                one.at = one.at.min(now());
                inputs.authentication.evidence.push(one);
            }
            let first = model.assess(&inputs, now()).level;
            let then = before(-later * SECOND);
            let found = model.assess(&inputs, then).level;
            prop_assert!(found.reached <= first.reached);
            // It stands until the instant that is said, and no longer.
            if let Some(until) = first.until {
                prop_assert!(then >= until || found.reached == first.reached);
                let after = Timestamp::from_millis(until.as_millis() + 1);
                prop_assert!(model.assess(&inputs, after).level.reached <= first.reached);
            }
        }
    }

    #[test]
    fn extremes_have_a_result(mut draw in draw(), millis in any::<i64>()) {
        let extremes = [0, 1, u32::MAX, i32::MAX as u32, i32::MIN as u32];
        for number in &mut draw.numbers {
            if *number % 3 == 0 {
                *number = extremes[(*number / 3 % 5) as usize];
            }
        }
        for preset in BOTH {
            let model = model(preset);
            let mut inputs = draw.inputs();
            inputs.behavior.usual_denies = u64::MAX;
            inputs.target.compliance = u8::MAX;
            inputs.target.base_level = Some(u8::MAX);
            for millis in [millis, i64::MIN, i64::MAX] {
                let at = Timestamp::from_millis(millis);
                let found = model.assess(&inputs, at);
                breakdown(&model, &found);
                let _ = model.step_up(&inputs, draw.any_score(), u8::MAX, at);
            }
        }
    }
}
