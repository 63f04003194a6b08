//! What is known of a device as such, whoever says it: a request, a report to the store, a record on disk.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::timestamp::Timestamp;
use crate::base::words::words;

words! {
    /// How far a registered device is trusted.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum DeviceTrust by as_str {
        /// Nothing is added.
        Low = "low",
        /// Something is.
        Medium = "medium",
        /// More is.
        High = "high",
    }
}

/// Weaknesses of a device's posture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "(bool, bool, bool)", into = "(bool, bool, bool)")]
pub struct Indicators {
    /// `compromised_os`.
    pub compromised_os: bool,
    /// `outdated_os`.
    pub outdated_os: bool,
    /// `no_screen_lock`.
    pub no_screen_lock: bool,
}

impl Indicators {
    /// Adds the weakness of this name; `false` if there is none.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        match name {
            "compromised_os" => self.compromised_os = true,
            "outdated_os" => self.outdated_os = true,
            "no_screen_lock" => self.no_screen_lock = true,
            _ => return false,
        }
        true
    }

    /// The weaknesses of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            compromised_os: self.compromised_os || other.compromised_os,
            outdated_os: self.outdated_os || other.outdated_os,
            no_screen_lock: self.no_screen_lock || other.no_screen_lock,
        }
    }
}

impl From<(bool, bool, bool)> for Indicators {
    fn from((compromised_os, outdated_os, no_screen_lock): (bool, bool, bool)) -> Self {
        Self {
            compromised_os,
            outdated_os,
            no_screen_lock,
        }
    }
}

impl From<Indicators> for (bool, bool, bool) {
    fn from(of: Indicators) -> Self {
        (of.compromised_os, of.outdated_os, of.no_screen_lock)
    }
}

/// What is known of a device as such, besides whose it is; `None` is unknown. It is serialized with the short
/// names of records on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceFacts {
    /// How far it is trusted, once registered.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub trust: Option<DeviceTrust>,
    /// When it was last scanned.
    #[serde(rename = "n", with = "millis", skip_serializing_if = "Option::is_none")]
    pub last_scan: Option<Timestamp>,
    /// Whether it is jailbroken or rooted.
    #[serde(rename = "j", skip_serializing_if = "Option::is_none")]
    pub jailbroken: Option<bool>,
    /// Whether its operating system is current.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub current_os: Option<bool>,
    /// Whether it is managed.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// Whether it has a device certificate.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<bool>,
    /// Weaknesses of its posture, where they were looked for.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub indicators: Option<Indicators>,
}

impl DeviceFacts {
    /// These facts, and those of `before` that these leave unknown.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            trust: self.trust.or(before.trust),
            last_scan: self.last_scan.or(before.last_scan),
            jailbroken: self.jailbroken.or(before.jailbroken),
            current_os: self.current_os.or(before.current_os),
            managed: self.managed.or(before.managed),
            certificate: self.certificate.or(before.certificate),
            indicators: self.indicators.or(before.indicators),
        }
    }

    /// Only what speaks against the device.
    pub(crate) fn adverse(self) -> Self {
        Self {
            trust: None,
            last_scan: None,
            jailbroken: self.jailbroken.filter(|jailbroken| *jailbroken),
            current_os: self.current_os.filter(|current| !current),
            managed: self.managed.filter(|managed| !managed),
            certificate: self.certificate.filter(|shown| !shown),
            indicators: self.indicators,
        }
    }

    /// Whether any of them is known.
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }

    /// Adds them for a person, the unknown ones as `null`.
    pub(crate) fn describe(self, to: &mut Map<String, Value>) {
        let weaknesses = |of: Indicators| {
            json!({
                "compromised_os": of.compromised_os,
                "outdated_os": of.outdated_os,
                "no_screen_lock": of.no_screen_lock,
            })
        };
        let members = [
            ("trust", json!(self.trust)),
            ("lastScan", json!(self.last_scan.map(|at| at.to_string()))),
            ("jailbroken", json!(self.jailbroken)),
            ("currentOs", json!(self.current_os)),
            ("managed", json!(self.managed)),
            ("certificate", json!(self.certificate)),
            ("indicators", json!(self.indicators.map(weaknesses))),
        ];
        to.extend(members.map(|(name, value)| (name.to_owned(), value)));
    }
}

/// An instant as milliseconds since the Unix epoch.
mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::base::timestamp::Timestamp;

    pub(super) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_millis).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let millis = Option::<i64>::deserialize(from)?;
        Ok(millis.map(Timestamp::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_names() {
        let facts = DeviceFacts {
            trust: Some(DeviceTrust::High),
            last_scan: Some(Timestamp::from_millis(7)),
            jailbroken: Some(false),
            current_os: Some(true),
            managed: Some(false),
            certificate: Some(true),
            indicators: Some((true, false, true).into()),
        };
        let record = json!({
            "l": "high", "n": 7, "j": false, "o": true, "m": false, "c": true, "w": [true, false, true],
        });
        assert_eq!(json!(facts), record);
        assert_eq!(
            serde_json::from_value::<DeviceFacts>(record).unwrap(),
            facts
        );
        assert_eq!(json!(DeviceFacts::default()), json!({}));
    }

    #[test]
    fn every_indicator_has_a_name() {
        let mut all = Indicators::default();
        for name in ["compromised_os", "outdated_os", "no_screen_lock"] {
            assert!(all.add(name), "{name}");
        }
        assert_eq!(all, (true, true, true).into());
        assert!(!all.add("rust"));
    }
}
