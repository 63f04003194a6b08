//! What a configuration must satisfy by itself; what requests can reach is checked in `reach`.
//!
//! Most rules keep worse evidence from scoring better: a penalty that adds, or a level that is valid
//! for longer than the one below it, would let a request gain by hiding something.

use serde_json::Value;

use super::{ModelConfig, OnMissing, Preset};
use crate::base::span::Span;
use crate::trust::model::method::Method;
use crate::trust::model::number::Score;

/// Collects faults, each with its key.
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, key: &str, what: &str) {
        self.0.push(format!("`trust.model.{key}` {what}"));
    }

    /// 0 to 1.
    fn share(&mut self, key: &str, value: Score) {
        if value != value.clamped() {
            self.add(key, &format!("is {value}; give a number from 0 to 1"));
        }
    }

    /// 0 to 1, as it speaks for a request.
    fn bonus(&mut self, key: &str, value: Score) {
        if value != value.clamped() {
            let what = format!("is {value}; it speaks for a request: give a number from 0 to 1");
            self.add(key, &what);
        }
    }

    /// -1 to 0, as it speaks against a request.
    fn penalty(&mut self, key: &str, value: Score) {
        if -value != (-value).clamped() {
            let what =
                format!("is {value}; it speaks against a request: give a number from -1 to 0");
            self.add(key, &what);
        }
    }

    fn level(&mut self, key: &str, value: u8) {
        if value > 4 {
            self.add(key, &format!("is {value}; give a level from 0 to 4"));
        }
    }

    fn not_negative(&mut self, key: &str, value: Score) {
        if value < Score::ZERO {
            self.add(key, &format!("is {value}; give 0 or more"));
        }
    }

    fn not_zero(&mut self, key: &str, value: impl Into<u64>) {
        if value.into() == 0 {
            self.add(key, "is 0; give at least 1");
        }
    }

    /// The first is at least the second.
    fn order<T: PartialOrd + std::fmt::Display>(&mut self, more: (&str, T), less: (&str, T)) {
        if more.1 < less.1 {
            let what = format!(
                "is {}, below `{}` ({}); raise it or lower that",
                more.1, less.0, less.1
            );
            self.add(more.0, &what);
        }
    }
}

/// Checks keys: each group of keys by one rule.
macro_rules! check {
    ($of:expr, $faults:expr; $($rule:ident { $($($key:ident).+),+ $(,)? })+) => {$($(
        $faults.$rule(&[$(stringify!($key)),+].join("."), $of.$($key).+);
    )+)+};
}

/// Checks pairs of keys: the value of the first is at least that of the second.
macro_rules! ordered {
    ($of:expr, $faults:expr; $($($more:ident).+ >= $($less:ident).+;)+) => {$(
        $faults.order(
            (&[$(stringify!($more)),+].join("."), $of.$($more).+),
            (&[$(stringify!($less)),+].join("."), $of.$($less).+),
        );
    )+};
}

impl ModelConfig {
    /// Every fault, each with its key and what to do; empty when there is none.
    #[must_use]
    pub fn faults(&self, preset: Preset) -> Vec<String> {
        let mut faults = Faults(Vec::new());
        self.check_numbers(&mut faults);
        self.check_order(&mut faults);
        self.check_missing(preset, &mut faults);
        self.check_methods(&mut faults);
        self.check_hours(&mut faults);
        self.check_spans(&mut faults);
        faults.0
    }

    fn check_numbers(&self, faults: &mut Faults) {
        check! { self, faults;
            share {
                prior,
                weights.identity, weights.device, weights.location, weights.behavior, weights.network,
                weights.resource_sensitivity,
                identity.base, identity.confidence,
                device.base, device.confidence_registered, device.confidence_unregistered,
                location.base, location.confidence, location.confidence_inexact,
                behavior.base, behavior.confidence, behavior.hour_share,
                network.corporate, network.partner, network.vpn, network.public, network.anonymiser,
                network.no_match, network.confidence_matched, network.confidence_unmatched,
                resource_sensitivity.confidence,
                bands.medium, bands.high, bands.hysteresis,
                required.other, required.compliance, required.default_cap,
                gap.session_monitoring, gap.device_verification, gap.step_up,
                mitigations.below,
                alternatives.time_delay_risk, alternatives.supervisor_approval_sensitivity,
                levels.allowance, levels.risk_low, levels.risk_medium, levels.risk_high, levels.approval_above,
                time.inside, time.outside,
            }
            bonus {
                identity.mfa_enrolled, identity.mfa_verified, identity.phishing_resistant, identity.account_age,
                identity.no_suspicious_activity,
                device.registered, device.trust_high, device.trust_medium, device.scan_recent, device.current_os,
                device.managed, device.certificate,
                location.known_place, location.known_country, location.allowed,
                behavior.clean,
                network.mutual_tls,
            }
            penalty {
                identity.admin, identity.privileged,
                device.scan_old, device.not_registered, device.jailbroken,
                location.new_country, location.denied, location.speed,
                behavior.finding, behavior.hour, behavior.denies.adjustment, behavior.requests.adjustment,
            }
            not_negative { levels.risk_factor, behavior.denies.times, behavior.requests.times }
            not_zero { location.speed_kmh }
            level { alternatives.time_delay_levels }
        }
        faults.not_zero(
            "location.speed_least_time",
            self.location.speed_least_time.as_secs(),
        );
        for (name, trust) in &self.required.classifications {
            faults.share(&format!("required.classifications.{name}"), *trust);
        }
        if let Some(cap) = self.required.cap {
            faults.share("required.cap", cap);
        }
        let base = self.levels.default_base;
        if !(1..=4).contains(&base) {
            faults.add(
                "levels.default_base",
                &format!("is {base}; give a level from 1 to 4"),
            );
        }
        let of = &self.weights;
        // Not the network's: it takes no part where none is configured.
        if [of.identity, of.device, of.location, of.behavior]
            .iter()
            .all(|weight| *weight <= Score::ZERO)
        {
            faults.add(
                "weights",
                "of identity, device, location and behavior are all 0; give at least one of them \
                 a weight",
            );
        }
    }

    fn check_order(&self, faults: &mut Faults) {
        ordered! { self, faults;
            device.trust_high >= device.trust_medium;
            device.scan_old_after >= device.scan_recent_within;
            device.confidence_registered >= device.confidence_unregistered;
            location.known_place >= location.known_country;
            location.confidence >= location.confidence_inexact;
            bands.high >= bands.medium;
            gap.device_verification >= gap.session_monitoring;
            gap.step_up >= gap.device_verification;
            levels.risk_medium >= levels.risk_low;
            levels.risk_high >= levels.risk_medium;
            time.inside >= time.outside;
            validity.level_1 >= validity.level_2;
            validity.level_2 >= validity.level_3;
            validity.level_3 >= validity.level_4;
        }
        let of = &self.device;
        if of.registered + of.scan_old < of.not_registered {
            faults.add(
                "device.registered",
                &format!(
                    "and `device.scan_old` together are {}, below `device.not_registered` ({}): a \
                     registered device would score worse than none; raise it",
                    of.registered + of.scan_old,
                    of.not_registered
                ),
            );
        }
    }

    fn check_missing(&self, preset: Preset, faults: &mut Faults) {
        let rules = [
            ("identity", self.on_missing.identity),
            ("device", self.on_missing.device),
            ("location", self.on_missing.location),
            ("behavior", self.on_missing.behavior),
            ("network", self.on_missing.network),
        ];
        for (factor, rule) in rules {
            let key = format!("on_missing.{factor}");
            match (preset, rule) {
                (_, OnMissing::Deny)
                | (Preset::Calibrated, OnMissing::Floor)
                | (Preset::Literal, OnMissing::Unadjusted) => {}
                (Preset::Calibrated, OnMissing::Neutral) if factor == "behavior" => {}
                (Preset::Calibrated, OnMissing::Neutral) => faults.add(
                    &key,
                    "is `neutral`: hiding the signal would beat reporting a bad one; use `floor` or \
                     `deny`",
                ),
                (Preset::Calibrated, OnMissing::Unadjusted) => faults.add(
                    &key,
                    "is `unadjusted`, which only the preset `literal` has; use `floor` or `deny`",
                ),
                (Preset::Literal, _) => faults.add(
                    &key,
                    &format!(
                        "is `{}`, which only the preset `calibrated` has; use `unadjusted` or \
                         `deny`",
                        rule.as_str()
                    ),
                ),
            }
        }
    }

    fn check_methods(&self, faults: &mut Faults) {
        for method in Method::ALL {
            let of = self.methods.of(method);
            let key = |name: &str| format!("methods.{}.{name}", method.as_str());
            faults.level(&key("strength"), of.strength);
            if let Some(verified) = of.verified_strength {
                faults.level(&key("verified_strength"), verified);
                faults.order(
                    (&key("verified_strength"), verified),
                    (&key("strength"), of.strength),
                );
            }
        }
    }

    fn check_hours(&self, faults: &mut Faults) {
        let Some(hours) = &self.working_hours else {
            return;
        };
        if hours.days.is_empty() {
            faults.add("working_hours.days", "is empty; name at least one day");
        }
        if hours.from == hours.to {
            faults.add(
                "working_hours.to",
                &format!(
                    "is {} as is `from`; give the time at which work ends",
                    hours.to
                ),
            );
        }
        if !(-18 * 60..=18 * 60).contains(&hours.utc_offset.minutes()) {
            let what = format!("is {}; give -18:00 to +18:00", hours.utc_offset);
            faults.add("working_hours.utc_offset", &what);
        }
    }

    /// The model counts in seconds.
    fn check_spans(&self, faults: &mut Faults) {
        fn look(value: &Value, key: &str, faults: &mut Faults) {
            match value {
                Value::Object(table) => {
                    for (name, value) in table {
                        look(
                            value,
                            format!("{key}.{name}").trim_start_matches('.'),
                            faults,
                        );
                    }
                }
                Value::String(text) => match text.parse::<Span>() {
                    Ok(span) if span.subsec_nanos() != 0 => {
                        faults.add(key, &format!("is {span}; give whole seconds"));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        look(&serde_json::to_value(self).unwrap_or_default(), "", faults);
    }
}
