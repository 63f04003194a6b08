//! The table of events: every type with its name, its number, what it says of whom, how severe it usually is
//! and which scope it takes.

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

#[cfg(feature = "server")]
use crate::base::caller::Scope;
use crate::base::words::words;
use crate::trust::model::{Band, Method};

words! {
    /// How severe an event is.
    #[derive(PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    pub enum Severity by as_str {
        /// 1.
        Low = "low",
        /// 2.
        Medium = "medium",
        /// 3.
        High = "high",
        /// 4.
        Critical = "critical",
    }

    /// How a credential changed.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum CredentialChange by as_str {
        /// It was enrolled.
        Create = "create",
        /// It was changed.
        Update = "update",
        /// It was revoked.
        Revoke = "revoke",
        /// It was deleted.
        Delete = "delete",
    }
}

/// Whom a type of event says something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A security event that says something of the user it names.
    OfUser,
    /// A security event that says something of the user only if it names a session that is known to be the
    /// user's: it is of a login, and without a session anybody may have tried it.
    OfSession,
    /// A security event that anybody can cause without being logged in. Holding it against the user it names
    /// would let a stranger lock that user out.
    OfAnybody,
    /// It says how a state is.
    State,
}

/// Makes the enums of events and what is looked up by them from one table.
macro_rules! events {
    (@plain $name:ident) => { Some(EventKind::$name) };
    (@plain $name:ident { $($field:ident)* }) => { None };
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $($(#[$about:meta])* $field:ident: $ty:ty,)* })?
            = $number:literal $text:literal $class:ident,
            severity $severity:expr, scope $scope:expr;
    )*) => {
        /// What happened. The names are those of `POST /events`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                #[doc = concat!("`", $text, "`")]
                ///
                $(#[$doc])*
                $name $({ $($(#[$about])* $field: $ty,)* })?,
            )*
        }

        /// A type of event without what it carries. The numbers are those of records on disk.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum EventType {
            $($name = $number,)*
        }

        impl EventType {
            /// Every type at the place of its number.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in `POST /events` and in metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }

            /// The event of this type, where it carries nothing.
            #[cfg(feature = "server")]
            pub(crate) fn plain(self) -> Option<EventKind> {
                match self {
                    $(Self::$name => events!(@plain $name $({ $($field)* })?),)*
                }
            }
        }

        #[allow(unused_variables, reason = "few columns depend on what an event carries")]
        impl EventKind {
            /// Its type.
            pub(crate) fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name { .. } => EventType::$name,)*
                }
            }

            /// How severe it is where that is not said. A state event says what is so, and how grave that
            /// is follows from it; of a security event only its source knows.
            #[cfg(feature = "server")]
            pub(crate) fn usual_severity(&self) -> Option<Severity> {
                match self {
                    $(Self::$name $({ $($field),* })? => $severity,)*
                }
            }

            /// The scope that it takes beyond `events`, which alone can only worsen what is held.
            #[cfg(feature = "server")]
            pub(crate) fn scope(&self) -> Option<Scope> {
                match self {
                    $(Self::$name $({ $($field),* })? => $scope,)*
                }
            }
        }
    };
}

events! {
    LoginFailed = 0 "auth.login_failed" OfAnybody,
        severity None, scope None;
    SuspiciousLocation = 1 "auth.suspicious_location" OfSession,
        severity None, scope None;
    MfaBypassAttempt = 2 "auth.mfa_bypass_attempt" OfSession,
        severity None, scope None;
    AnomalousApiUsage = 3 "app.anomalous_api_usage" OfUser,
        severity None, scope None;
    SensitiveDataAccess = 4 "app.sensitive_data_access" OfUser,
        severity None, scope None;
    PrivilegeEscalation = 5 "app.privilege_escalation" OfUser,
        severity None, scope None;
    SuspiciousNetworkTraffic = 6 "infra.suspicious_network_traffic" OfAnybody,
        severity None, scope None;
    SystemCompromiseIndicator = 7 "infra.system_compromise_indicator" OfUser,
        severity None, scope None;
    RateLimitHit = 8 "rate_limit.hit" OfAnybody,
        severity None, scope None;
    /// Of the session, or of all the user's sessions until then.
    SessionRevoked = 9 "session-revoked" State,
        severity Some(Severity::Medium), scope None;
    /// The user has a new session.
    SessionEstablished = 10 "session-established" State,
        severity Some(Severity::Low), scope Some(Scope::AssuranceWrite);
    /// Claims of the user's tokens are others; nothing is concluded but that older tokens' claims are stale.
    TokenClaimsChange = 11 "token-claims-change" State,
        severity Some(Severity::Low), scope None;
    /// A credential was created, updated, revoked or deleted.
    CredentialChange {
        /// The method, where it is one that is known.
        method: Option<Method>,
        /// What became of it.
        change: CredentialChange,
    } = 12 "credential-change" State,
        severity Some(match change {
            CredentialChange::Create | CredentialChange::Update => Severity::Low,
            CredentialChange::Revoke | CredentialChange::Delete => Severity::Medium,
        }),
        // A method that is enrolled speaks for the account.
        scope match (method, change) {
            (None, CredentialChange::Create) => None,
            _ => Some(Scope::SubjectsWrite),
        };
    /// The session has this level now (0 to 4).
    AssuranceLevelChange {
        /// The level.
        level: u8,
    } = 13 "assurance-level-change" State,
        severity Some(Severity::Low), scope Some(Scope::AssuranceWrite);
    DeviceComplianceChange {
        /// Whether it complies now.
        compliant: bool,
    } = 14 "device-compliance-change" State,
        severity Some(if *compliant { Severity::Low } else { Severity::High }),
        scope compliant.then_some(Scope::DevicesWrite);
    RiskLevelChange {
        /// The level now.
        level: Band,
    } = 15 "risk-level-change" State,
        severity Some(match level {
            Band::Low => Severity::Low,
            Band::Medium => Severity::Medium,
            Band::High => Severity::High,
        }),
        // It replaces the level before, so that only the highest is sure to better nothing.
        scope (*level != Band::High).then_some(Scope::SubjectsWrite);
    AccountDisabled = 16 "account-disabled" State,
        severity Some(Severity::High), scope None;
    AccountEnabled = 17 "account-enabled" State,
        severity Some(Severity::Low), scope Some(Scope::SubjectsWrite);
    CredentialCompromise = 18 "credential-compromise" State,
        severity Some(Severity::Critical), scope None;
}

impl EventType {
    /// The type of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Whether it is a security event; the others say how a state is.
    pub(super) fn security(self) -> bool {
        self.class() != Class::State
    }

    /// Whether it says something of the user it names, with its session where it
    /// [needs one](Self::needs_session).
    pub(super) fn attributable(self) -> bool {
        matches!(self.class(), Class::OfUser | Class::OfSession)
    }

    /// Whether it says something of the user only together with a session that is known to be the user's.
    pub(super) fn needs_session(self) -> bool {
        self.class() == Class::OfSession
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let found = Self::ALL.get(usize::from(number)).copied();
        found.ok_or_else(|| de::Error::custom(format!("no type of event has the number {number}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_distinct_and_read_back() {
        for (at, one) in EventType::ALL.iter().enumerate() {
            let name = one.name();
            assert_eq!(*one as usize, at, "{name}");
            assert_eq!(EventType::from_name(name), Some(*one));
            let json = serde_json::to_string(one).unwrap();
            assert_eq!(serde_json::from_str::<EventType>(&json).unwrap(), *one);
            if let Some(kind) = one.plain() {
                assert_eq!(kind.event_type(), *one);
            }
        }
        assert_eq!(EventType::from_name("auth.login"), None);
        let json = EventType::ALL.len().to_string();
        assert!(serde_json::from_str::<EventType>(&json).is_err());
    }

    #[test]
    fn what_strangers_can_cause_is_not_attributable() {
        let attributable = EventType::ALL.iter().filter(|one| one.attributable());
        assert_eq!(attributable.count(), 6);
        for one in [
            EventType::LoginFailed,
            EventType::RateLimitHit,
            EventType::SuspiciousNetworkTraffic,
        ] {
            assert!(one.security() && !one.attributable());
        }
    }
}
