//! The member `signals`: what a caller that is believed says of the principal's account, device, place
//! and network.
//!
//! What enters: its JSON. What leaves: [`Signals`], or a fault for each member that is wrong. Whatever is
//! left out is unknown, which is not `false`.

use serde_json::{Map, Value};

use crate::base::json::{InputFault, drop_nulls, kind, pointer, shown, unknown_members};
use crate::base::timestamp::Timestamp;
use crate::trust::model::{
    Band, Country, DeviceFacts, DeviceTrust, Indicators, NetworkClass, Point,
};

/// What a caller says of the circumstances of a request. `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signals {
    /// When this was observed; with the request unless said. Old signals are stale.
    pub observed_at: Option<Timestamp>,
    /// The account has more than one authentication factor.
    pub mfa_enrolled: Option<bool>,
    /// More than one factor was verified in this session.
    pub mfa_verified: Option<bool>,
    /// The method was phishing-resistant (WebAuthn).
    pub phishing_resistant: Option<bool>,
    /// When the account was made.
    pub account_created: Option<Timestamp>,
    /// There is suspicious activity.
    pub suspicious_activity: Option<bool>,
    /// What is said of the device.
    pub device: Option<DeviceSignals>,
    /// The country the request comes from.
    pub country: Option<Country>,
    /// Where it comes from, and within how many metres.
    pub point: Option<(Point, u32)>,
    /// Mutual TLS was seen.
    pub mutual_tls: Option<bool>,
    /// The class of the network, where the caller knows better than the configured list. It can only
    /// lower what the list says.
    pub network_class: Option<NetworkClass>,
    /// The subject's risk.
    pub risk: Option<Band>,
}

/// What is said of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSignals {
    /// It is registered to the principal.
    pub registered: Option<bool>,
    /// What is said of it as such.
    pub facts: DeviceFacts,
    /// It complies with the organisation's rules.
    pub compliant: Option<bool>,
}

const MEMBERS: &[&str] = &[
    "observedAt",
    "identity",
    "device",
    "location",
    "network",
    "risk",
];
const IDENTITY: &[&str] = &[
    "mfaEnrolled",
    "mfaVerified",
    "phishingResistant",
    "accountCreated",
    "suspiciousActivity",
];
const DEVICE: &[&str] = &[
    "registered",
    "trust",
    "lastScan",
    "jailbroken",
    "currentOs",
    "managed",
    "certificate",
    "compliant",
    "indicators",
];
const LOCATION: &[&str] = &["country", "latitude", "longitude", "accuracyKm"];
const NETWORK: &[&str] = &["mutualTls", "class"];

/// Half the way round the earth: a worse accuracy says no more.
const WORST_ACCURACY_KM: f64 = 20_038.0;
/// Where no accuracy is given: a position of which nothing is known but itself, in metres.
const ACCURACY_UNLESS_SAID: u32 = 25_000;

impl Signals {
    /// Reads the member at `at`.
    pub(crate) fn read(object: Map<String, Value>, at: &str) -> Result<Self, Vec<InputFault>> {
        let mut all = Members::new(object, at, MEMBERS, Vec::new());
        let mut signals = Self {
            observed_at: all.time("observedAt"),
            risk: all.word(
                "risk",
                &[
                    ("LOW", Band::Low),
                    ("MEDIUM", Band::Medium),
                    ("HIGH", Band::High),
                ],
            ),
            ..Self::default()
        };
        if let Some(mut identity) = all.group("identity", IDENTITY) {
            signals.mfa_enrolled = identity.flag("mfaEnrolled");
            signals.mfa_verified = identity.flag("mfaVerified");
            signals.phishing_resistant = identity.flag("phishingResistant");
            signals.account_created = identity.time("accountCreated");
            signals.suspicious_activity = identity.flag("suspiciousActivity");
            all.faults = identity.faults;
        }
        if let Some(mut device) = all.group("device", DEVICE) {
            signals.device = Some(device_signals(&mut device));
            all.faults = device.faults;
        }
        if let Some(mut location) = all.group("location", LOCATION) {
            signals.country = location.country("country");
            signals.point = location.point();
            all.faults = location.faults;
        }
        if let Some(mut network) = all.group("network", NETWORK) {
            signals.mutual_tls = network.flag("mutualTls");
            signals.network_class = network.word(
                "class",
                &[
                    ("corporate", NetworkClass::Corporate),
                    ("partner", NetworkClass::Partner),
                    ("vpn", NetworkClass::Vpn),
                    ("public", NetworkClass::Public),
                    ("anonymiser", NetworkClass::Anonymiser),
                ],
            );
            all.faults = network.faults;
        }
        if all.faults.is_empty() {
            Ok(signals)
        } else {
            Err(all.faults)
        }
    }
}

fn device_signals(device: &mut Members) -> DeviceSignals {
    let mut signals = DeviceSignals {
        registered: device.flag("registered"),
        facts: DeviceFacts {
            trust: device.word(
                "trust",
                &[
                    ("low", DeviceTrust::Low),
                    ("medium", DeviceTrust::Medium),
                    ("high", DeviceTrust::High),
                ],
            ),
            last_scan: device.time("lastScan"),
            jailbroken: device.flag("jailbroken"),
            current_os: device.flag("currentOs"),
            managed: device.flag("managed"),
            certificate: device.flag("certificate"),
            indicators: None,
        },
        compliant: device.flag("compliant"),
    };
    // Faults are in the order of reading, and the indicators come last.
    signals.facts.indicators = device.indicators("indicators");
    signals
}

/// The members of one object, taken out one by one.
struct Members {
    object: Map<String, Value>,
    at: String,
    faults: Vec<InputFault>,
}

impl Members {
    fn new(
        mut object: Map<String, Value>,
        at: &str,
        known: &[&str],
        mut faults: Vec<InputFault>,
    ) -> Self {
        drop_nulls(&mut object, known);
        faults.extend(unknown_members(&object, known, at));
        Self {
            object,
            at: at.to_owned(),
            faults,
        }
    }

    fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.faults
            .push(InputFault::new(pointer(&self.at, name), detail));
    }

    fn item(&mut self, name: &str, n: usize, detail: &str) {
        let at = format!("{}/{n}", pointer(&self.at, name));
        self.faults.push(InputFault::new(at, detail));
    }

    fn unexpected(&mut self, name: &str, expected: &str, found: &Value) {
        self.wrong(name, format!("expected {expected}, found {}", kind(found)));
    }

    /// The members of an object within this one. Faults go on being gathered there.
    fn group(&mut self, name: &str, known: &[&str]) -> Option<Self> {
        match self.object.remove(name)? {
            Value::Object(object) => {
                let faults = std::mem::take(&mut self.faults);
                Some(Self::new(object, &pointer(&self.at, name), known, faults))
            }
            other => {
                self.unexpected(name, "an object", &other);
                None
            }
        }
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        match self.object.remove(name)? {
            Value::Bool(value) => Some(value),
            other => {
                self.unexpected(name, "true or false", &other);
                None
            }
        }
    }

    fn text(&mut self, name: &str, expected: &str) -> Option<String> {
        match self.object.remove(name)? {
            Value::String(text) => Some(text),
            other => {
                self.unexpected(name, expected, &other);
                None
            }
        }
    }

    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name, "a date and time")?;
        let time = text.parse().ok();
        if time.is_none() {
            let detail = format!(
                "`{}` is not a date and time such as 2026-03-10T10:00:00Z",
                shown(&text)
            );
            self.wrong(name, detail);
        }
        time
    }

    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name, "a word")?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let detail = format!("`{}` is none of {}", shown(&text), known.join(", "));
            self.wrong(name, detail);
        }
        found.map(|(_, value)| *value)
    }

    fn country(&mut self, name: &str) -> Option<Country> {
        let text = self.text(name, "a country")?;
        let country = Country::new(&text);
        if country.is_none() {
            let detail = format!(
                "`{}` is not a country of ISO 3166-1 alpha-2, such as `NL`",
                shown(&text)
            );
            self.wrong(name, detail);
        }
        country
    }

    fn indicators(&mut self, name: &str) -> Option<Indicators> {
        let list = match self.object.remove(name)? {
            Value::Array(list) => list,
            other => {
                self.unexpected(name, "an array", &other);
                return None;
            }
        };
        let mut indicators = Indicators::default();
        for (n, item) in list.iter().take(100).enumerate() {
            if !item.as_str().is_some_and(|name| indicators.add(name)) {
                let detail = "is none of `compromised_os`, `outdated_os`, `no_screen_lock`";
                self.item(name, n, detail);
            }
        }
        Some(indicators)
    }

    /// A number within bounds.
    fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = self.object.remove(name)?;
        let number = value.as_f64().filter(|number| bounds.contains(number));
        if number.is_none() {
            let detail = match *bounds.end() {
                f64::MAX => format!("expected a number from {} up", bounds.start()),
                end => format!("expected a number from {} to {end}", bounds.start()),
            };
            self.wrong(name, detail);
        }
        number
    }

    fn point(&mut self) -> Option<(Point, u32)> {
        let has_accuracy = self.object.contains_key("accuracyKm");
        let has = |name| self.object.contains_key(name);
        let (has_latitude, has_longitude) = (has("latitude"), has("longitude"));
        let latitude = self.number("latitude", -90.0..=90.0);
        let longitude = self.number("longitude", -180.0..=180.0);
        let accuracy = self.number("accuracyKm", 0.0..=f64::MAX);
        let both = "is required: a point has latitude and longitude";
        match (has_latitude, has_longitude) {
            (true, false) => self.wrong("longitude", both),
            (false, true) => self.wrong("latitude", both),
            (false, false) if has_accuracy => {
                self.wrong("accuracyKm", "is given without latitude and longitude");
            }
            _ => {}
        }
        // Integers from here on; within these bounds nothing is cut off.
        let micro = |degrees: f64| (degrees * 1e6).round() as i32;
        let point = Point {
            latitude: micro(latitude?),
            longitude: micro(longitude?),
        };
        let metres = match accuracy {
            Some(km) => (km.min(WORST_ACCURACY_KM) * 1e3).ceil() as u32,
            None => ACCURACY_UNLESS_SAID,
        };
        Some((point, metres))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Signals, Vec<String>> {
        let Value::Object(object) = value else {
            panic!("not an object")
        };
        Signals::read(object, "/signals")
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_left_out_is_unknown() {
        assert_eq!(read(json!({})), Ok(Signals::default()));
        let signals = read(json!({
            "identity": {"mfaEnrolled": true},
            "device": {"jailbroken": false, "indicators": ["no_screen_lock"], "trust": "high"},
            "location": {"country": "nl", "latitude": 52.37, "longitude": -4.9},
            "network": {"mutualTls": true, "class": "vpn"},
            "risk": "MEDIUM", "observedAt": "2026-03-10T10:00:00Z",
        }))
        .unwrap();
        assert_eq!(signals.mfa_enrolled, Some(true));
        assert_eq!(signals.mfa_verified, None);
        let device = signals.device.unwrap();
        let facts = device.facts;
        assert_eq!((facts.jailbroken, facts.managed), (Some(false), None));
        assert!(facts.indicators.unwrap().no_screen_lock);
        assert_eq!(signals.country.unwrap().as_str(), "NL");
        let point = Point {
            latitude: 52_370_000,
            longitude: -4_900_000,
        };
        assert_eq!(signals.point, Some((point, 25_000)));
        assert_eq!(signals.risk, Some(Band::Medium));
    }

    #[test]
    fn every_fault_is_named() {
        let faults = read(json!({
            "identity": {"mfaEnroled": true, "accountCreated": "last year"},
            "device": {"jailbroken": "no", "indicators": ["rust"], "trust": "full"},
            "location": {"country": "Holland", "latitude": 91, "accuracyKm": -1},
            "network": [],
            "risk": "low",
        }))
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "/signals/risk: `low` is none of `LOW`, `MEDIUM`, `HIGH`",
                "/signals/identity/mfaEnroled: unknown member `mfaEnroled`; did you mean `mfaEnrolled`?",
                "/signals/identity/accountCreated: `last year` is not a date and time such as 2026-03-10T10:00:00Z",
                "/signals/device/trust: `full` is none of `low`, `medium`, `high`",
                "/signals/device/jailbroken: expected true or false, found a string",
                "/signals/device/indicators/0: is none of `compromised_os`, `outdated_os`, `no_screen_lock`",
                "/signals/location/country: `Holland` is not a country of ISO 3166-1 alpha-2, such as `NL`",
                "/signals/location/latitude: expected a number from -90 to 90",
                "/signals/location/accuracyKm: expected a number from 0 up",
                "/signals/location/longitude: is required: a point has latitude and longitude",
                "/signals/network: expected an object, found an array",
            ]
        );
    }

    #[test]
    fn huge_and_odd_numbers_have_a_result() {
        let point = |value| read(json!({"location": value})).map(|signals| signals.point);
        assert_eq!(
            point(json!({"latitude": -90, "longitude": 180, "accuracyKm": 1e300}))
                .unwrap()
                .unwrap()
                .1,
            20_038_000
        );
        assert!(point(json!({"latitude": 90.1, "longitude": 0})).is_err());
        assert!(point(json!({"accuracyKm": 5})).is_err());
    }
}
