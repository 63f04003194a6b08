//! What a configuration must satisfy by itself; what requests can reach is checked in `reach`.
//!
//! Most rules keep worse evidence from scoring better: a penalty that adds, or a level that is valid
//! for longer than the one below it, would let a request gain by hiding something.

use serde_json::Value;

use super::{ModelConfig, OnMissing, Preset, RateRule};
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

impl ModelConfig {
    /// Every fault, each with its key and what to do; empty when there is none.
    #[must_use]
    pub fn faults(&self, preset: Preset) -> Vec<String> {
        let mut faults = Faults(Vec::new());
        faults.share("prior", self.prior);
        self.check_weights(&mut faults);
        self.check_missing(preset, &mut faults);
        self.check_identity(&mut faults);
        self.check_device(&mut faults);
        self.check_location(&mut faults);
        self.check_behavior(&mut faults);
        self.check_network(&mut faults);
        self.check_requirements(&mut faults);
        self.check_levels(&mut faults);
        self.check_methods(&mut faults);
        self.check_hours(&mut faults);
        self.check_spans(&mut faults);
        faults.0
    }

    fn check_weights(&self, faults: &mut Faults) {
        let weights = [
            ("weights.identity", self.weights.identity),
            ("weights.device", self.weights.device),
            ("weights.location", self.weights.location),
            ("weights.behavior", self.weights.behavior),
            ("weights.network", self.weights.network),
        ];
        for (key, weight) in weights {
            faults.share(key, weight);
        }
        faults.share(
            "weights.resource_sensitivity",
            self.weights.resource_sensitivity,
        );
        // Not the network's: it takes no part where none is configured.
        let measured = weights.iter().take(4);
        if measured.clone().all(|(_, weight)| *weight <= Score::ZERO) {
            faults.add(
                "weights",
                "of identity, device, location and behavior are all 0; give at least one of them \
                 a weight",
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

    fn check_identity(&self, faults: &mut Faults) {
        let of = &self.identity;
        faults.share("identity.base", of.base);
        faults.share("identity.confidence", of.confidence);
        faults.bonus("identity.mfa_enrolled", of.mfa_enrolled);
        faults.bonus("identity.mfa_verified", of.mfa_verified);
        faults.bonus("identity.phishing_resistant", of.phishing_resistant);
        faults.bonus("identity.account_age", of.account_age);
        faults.bonus("identity.no_suspicious_activity", of.no_suspicious_activity);
        faults.penalty("identity.admin", of.admin);
        faults.penalty("identity.privileged", of.privileged);
    }

    fn check_device(&self, faults: &mut Faults) {
        let of = &self.device;
        faults.share("device.base", of.base);
        faults.share("device.confidence_registered", of.confidence_registered);
        faults.share("device.confidence_unregistered", of.confidence_unregistered);
        faults.bonus("device.registered", of.registered);
        faults.bonus("device.trust_high", of.trust_high);
        faults.bonus("device.trust_medium", of.trust_medium);
        faults.bonus("device.scan_recent", of.scan_recent);
        faults.bonus("device.current_os", of.current_os);
        faults.bonus("device.managed", of.managed);
        faults.bonus("device.certificate", of.certificate);
        faults.penalty("device.scan_old", of.scan_old);
        faults.penalty("device.not_registered", of.not_registered);
        faults.penalty("device.jailbroken", of.jailbroken);
        faults.order(
            ("device.trust_high", of.trust_high),
            ("device.trust_medium", of.trust_medium),
        );
        faults.order(
            ("device.scan_old_after", of.scan_old_after),
            ("device.scan_recent_within", of.scan_recent_within),
        );
        faults.order(
            ("device.confidence_registered", of.confidence_registered),
            ("device.confidence_unregistered", of.confidence_unregistered),
        );
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

    fn check_location(&self, faults: &mut Faults) {
        let of = &self.location;
        faults.share("location.base", of.base);
        faults.share("location.confidence", of.confidence);
        faults.share("location.confidence_inexact", of.confidence_inexact);
        faults.bonus("location.known_place", of.known_place);
        faults.bonus("location.known_country", of.known_country);
        faults.penalty("location.new_country", of.new_country);
        faults.bonus("location.allowed", of.allowed);
        faults.penalty("location.denied", of.denied);
        faults.penalty("location.speed", of.speed);
        faults.order(
            ("location.known_place", of.known_place),
            ("location.known_country", of.known_country),
        );
        faults.order(
            ("location.confidence", of.confidence),
            ("location.confidence_inexact", of.confidence_inexact),
        );
        for (key, value) in [
            ("location.speed_kmh", u64::from(of.speed_kmh)),
            ("location.speed_least_time", of.speed_least_time.as_secs()),
        ] {
            if value == 0 {
                faults.add(key, "is 0; give at least 1");
            }
        }
    }

    fn check_behavior(&self, faults: &mut Faults) {
        let of = &self.behavior;
        faults.share("behavior.base", of.base);
        faults.share("behavior.confidence", of.confidence);
        faults.penalty("behavior.finding", of.finding);
        faults.penalty("behavior.hour", of.hour);
        faults.share("behavior.hour_share", of.hour_share);
        faults.bonus("behavior.clean", of.clean);
        let mut rate = |name: &str, rule: &RateRule| {
            faults.penalty(&format!("behavior.{name}.adjustment"), rule.adjustment);
            if rule.times < Score::ZERO {
                let what = format!("is {}; give 0 or more", rule.times);
                faults.add(&format!("behavior.{name}.times"), &what);
            }
        };
        rate("denies", &of.denies);
        rate("requests", &of.requests);
    }

    fn check_network(&self, faults: &mut Faults) {
        let of = &self.network;
        faults.share("network.corporate", of.corporate);
        faults.share("network.partner", of.partner);
        faults.share("network.vpn", of.vpn);
        faults.share("network.public", of.public);
        faults.share("network.anonymiser", of.anonymiser);
        faults.share("network.no_match", of.no_match);
        faults.bonus("network.mutual_tls", of.mutual_tls);
        faults.share("network.confidence_matched", of.confidence_matched);
        faults.share("network.confidence_unmatched", of.confidence_unmatched);
        faults.share(
            "resource_sensitivity.confidence",
            self.resource_sensitivity.confidence,
        );
    }

    fn check_requirements(&self, faults: &mut Faults) {
        let bands = &self.bands;
        faults.share("bands.medium", bands.medium);
        faults.share("bands.high", bands.high);
        faults.share("bands.hysteresis", bands.hysteresis);
        faults.order(("bands.high", bands.high), ("bands.medium", bands.medium));
        let required = &self.required;
        for (name, trust) in &required.classifications {
            faults.share(&format!("required.classifications.{name}"), *trust);
        }
        faults.share("required.other", required.other);
        faults.share("required.compliance", required.compliance);
        faults.share("required.default_cap", required.default_cap);
        if let Some(cap) = required.cap {
            faults.share("required.cap", cap);
        }
        let gap = &self.gap;
        faults.share("gap.session_monitoring", gap.session_monitoring);
        faults.share("gap.device_verification", gap.device_verification);
        faults.share("gap.step_up", gap.step_up);
        faults.order(
            ("gap.device_verification", gap.device_verification),
            ("gap.session_monitoring", gap.session_monitoring),
        );
        faults.order(
            ("gap.step_up", gap.step_up),
            ("gap.device_verification", gap.device_verification),
        );
        faults.share("mitigations.below", self.mitigations.below);
        let instead = &self.alternatives;
        faults.share("alternatives.time_delay_risk", instead.time_delay_risk);
        faults.level("alternatives.time_delay_levels", instead.time_delay_levels);
        faults.share(
            "alternatives.supervisor_approval_sensitivity",
            instead.supervisor_approval_sensitivity,
        );
    }

    fn check_levels(&self, faults: &mut Faults) {
        let of = &self.levels;
        if !(1..=4).contains(&of.default_base) {
            let what = format!("is {}; give a level from 1 to 4", of.default_base);
            faults.add("levels.default_base", &what);
        }
        if of.risk_factor < Score::ZERO {
            let what = format!("is {}; give 0 or more", of.risk_factor);
            faults.add("levels.risk_factor", &what);
        }
        faults.share("levels.allowance", of.allowance);
        faults.share("levels.risk_low", of.risk_low);
        faults.share("levels.risk_medium", of.risk_medium);
        faults.share("levels.risk_high", of.risk_high);
        faults.share("levels.approval_above", of.approval_above);
        faults.order(
            ("levels.risk_medium", of.risk_medium),
            ("levels.risk_low", of.risk_low),
        );
        faults.order(
            ("levels.risk_high", of.risk_high),
            ("levels.risk_medium", of.risk_medium),
        );
        faults.share("time.inside", self.time.inside);
        faults.share("time.outside", self.time.outside);
        faults.order(
            ("time.inside", self.time.inside),
            ("time.outside", self.time.outside),
        );
        let valid = &self.validity;
        for (longer, shorter) in [
            (
                ("validity.level_1", valid.level_1),
                ("validity.level_2", valid.level_2),
            ),
            (
                ("validity.level_2", valid.level_2),
                ("validity.level_3", valid.level_3),
            ),
            (
                ("validity.level_3", valid.level_3),
                ("validity.level_4", valid.level_4),
            ),
        ] {
            faults.order(longer, shorter);
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
