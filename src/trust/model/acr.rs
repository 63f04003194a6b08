//! What tokens say of an authentication: `acr` to levels, `amr` (RFC 8176) to methods, and back.
//!
//! What enters: the claims of a verified token. What leaves: [`Evidence`]. What must hold: a claim that is
//! not configured proves nothing, and an authentication of unknown age is worth level 1 at most.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::method::{Evidence, Method};
use crate::base::timestamp::Timestamp;

/// What an authentication of unknown age is worth at most.
const UNKNOWN_AGE: u8 = 1;

/// What a value of `amr` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AmrMeaning {
    /// The method that it names.
    pub method: Option<Method>,
    /// Whether it says that the user was verified.
    pub user_verified: bool,
    /// The level it stands for without naming a method.
    pub level: Option<u8>,
}

/// Which `acr` and `amr` values mean what. A table that is given takes the place of the default one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Assurances {
    /// The level that a value of `acr` reaches.
    pub levels: BTreeMap<String, u8>,
    /// The values to ask for where level 1 is required, the preferred first.
    pub ask_1: Vec<String>,
    /// The same of level 2.
    pub ask_2: Vec<String>,
    /// The same of level 3.
    pub ask_3: Vec<String>,
    /// The same of level 4.
    pub ask_4: Vec<String>,
    /// What values of `amr` mean.
    pub amr: BTreeMap<String, AmrMeaning>,
}

impl Default for Assurances {
    /// The levels of ISO/IEC 29115 by their numbers; `phr` and `phrh` of OpenID Connect's Extended
    /// Authentication Profile reach level 3.
    fn default() -> Self {
        let levels = [
            ("1", 1),
            ("2", 2),
            ("3", 3),
            ("4", 4),
            ("phr", 3),
            ("phrh", 3),
        ];
        let method = |method| AmrMeaning {
            method: Some(method),
            ..AmrMeaning::default()
        };
        let verified = AmrMeaning {
            user_verified: true,
            ..AmrMeaning::default()
        };
        let several = AmrMeaning {
            level: Some(2),
            ..AmrMeaning::default()
        };
        let amr = [
            ("pwd", method(Method::PasswordConfirmation)),
            ("otp", method(Method::Totp)),
            ("sms", method(Method::SmsOtp)),
            ("hwk", method(Method::Webauthn)),
            ("swk", method(Method::Webauthn)),
            ("pin", verified),
            ("fpt", verified),
            ("face", verified),
            ("iris", verified),
            ("retina", verified),
            ("vbm", verified),
            ("mfa", several),
        ];
        Self {
            levels: levels.map(|(name, level)| (name.to_owned(), level)).into(),
            ask_1: vec!["1".to_owned()],
            ask_2: vec!["2".to_owned()],
            ask_3: vec!["3".to_owned()],
            ask_4: vec!["4".to_owned()],
            amr: amr.map(|(name, meaning)| (name.to_owned(), meaning)).into(),
        }
    }
}

impl Assurances {
    /// Every fault, each with its key and what to do; empty when there is none.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, level) in &self.levels {
            if *level > 4 {
                faults.push(format!(
                    "`trust.acr.levels.{name}` is {level}; give a level from 0 to 4"
                ));
            }
        }
        for (name, meaning) in &self.amr {
            if meaning.level.is_some_and(|level| level > 4) {
                faults.push(format!(
                    "`trust.acr.amr.{name}.level` is above 4; give a level from 0 to 4"
                ));
            }
        }
        for level in 1..=4 {
            for value in self.acr_values(level) {
                if self
                    .levels
                    .get(value)
                    .is_none_or(|reached| *reached < level)
                {
                    faults.push(format!(
                        "`trust.acr.ask_{level}` names `{value}`, which does not reach level \
                         {level}; name another, or give it that level in `trust.acr.levels`"
                    ));
                }
            }
        }
        faults
    }

    /// The values of `acr` to ask for, the preferred first; each reaches at least this level.
    #[must_use]
    pub fn acr_values(&self, level: u8) -> &[String] {
        match level {
            1 => &self.ask_1,
            2 => &self.ask_2,
            3 => &self.ask_3,
            4 => &self.ask_4,
            _ => &[],
        }
    }

    /// What the claims of a verified token prove. An `acr` that is configured decides the level; else the
    /// methods do. Without `auth_time` nothing is known of the age: level 1 at most, and no method.
    #[must_use]
    pub fn evidence(
        &self,
        acr: Option<&str>,
        amr: &[String],
        auth_time: Option<Timestamp>,
        now: Timestamp,
    ) -> SmallVec<[Evidence; 8]> {
        let mut found: SmallVec<[Evidence; 8]> = SmallVec::new();
        let decided = acr.and_then(|acr| self.levels.get(acr).copied());
        let meanings = || amr.iter().filter_map(|value| self.amr.get(value));
        let Some(at) = auth_time else {
            let level = decided.unwrap_or_else(|| {
                let any = meanings().any(|one| one.method.is_some() || one.level.is_some());
                if any { UNKNOWN_AGE } else { 0 }
            });
            let level = level.min(UNKNOWN_AGE);
            if level > 0 {
                found.push(Evidence {
                    method: None,
                    level: Some(level),
                    user_verified: false,
                    at: now,
                    until: None,
                });
            }
            return found;
        };
        let evidence = Evidence {
            method: None,
            level: decided,
            user_verified: meanings().any(|one| one.user_verified),
            at,
            until: None,
        };
        for method in Method::ALL {
            if found.len() < 7 && meanings().any(|one| one.method == Some(method)) {
                found.push(Evidence {
                    method: Some(method),
                    ..evidence
                });
            }
        }
        let level = decided.or_else(|| meanings().filter_map(|one| one.level).max());
        if level.is_some_and(|level| level > 0) && (decided.is_none() || found.is_empty()) {
            found.push(Evidence { level, ..evidence });
        }
        found
    }
}
