//! What moves a factor: every adjustment with its code and its sentence.
//!
//! An assessment keeps the adjustments that were made as a set of bits and writes them out only when it
//! is asked to. What is unknown and counts as its worst has adjustments of its own, so that an
//! explanation does not say of a device that it is jailbroken when nobody looked.

use super::assessment::FactorId;
use super::config::ModelConfig;
use super::input::NetworkClass;
use super::number::Score;

/// Adjustments with factor, code and sentence, in the order of explanations.
macro_rules! adjustments {
    ($($name:ident $factor:ident $code:literal $text:literal;)*) => {
        /// An adjustment of a factor.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Adjustment { $($name),* }

        impl Adjustment {
            /// Every adjustment.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Whose it is.
            pub(super) fn factor(self) -> FactorId {
                match self { $(Self::$name => FactorId::$factor),* }
            }

            /// A stable name.
            pub(super) fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// A sentence without its figures.
            pub(super) fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

adjustments! {
    MfaEnrolled Identity "mfa_enrolled" "a second factor is enrolled";
    MfaVerified Identity "mfa_verified" "a second factor was verified in this session";
    PhishingResistant Identity "phishing_resistant" "the method was phishing-resistant";
    AccountAge Identity "account_age" "the account is old enough";
    NoSuspicious Identity "no_suspicious_activity" "no suspicious activity on record";
    Admin Identity "admin_role" "administrative role";
    Privileged Identity "privileged_role" "privileged role";

    Registered Device "registered" "device registered";
    TrustHigh Device "trust_high" "device trust high";
    TrustMedium Device "trust_medium" "device trust medium";
    ScanRecent Device "scan_recent" "device scanned recently";
    ScanOld Device "scan_old" "last scan of the device too long ago";
    ScanUnknown Device "scan_unknown" "last scan of the device not known, counted as too long ago";
    NotRegistered Device "not_registered" "device not registered";
    RegistrationUnknown Device "registration_unknown"
        "not known whether the device is registered, counted as not";
    Jailbroken Device "jailbroken" "device jailbroken or rooted";
    JailbrokenUnknown Device "jailbroken_unknown"
        "not known whether the device is jailbroken, counted as if it were";
    CurrentOs Device "current_os" "operating system current";
    Managed Device "managed" "device managed";
    Certificate Device "certificate" "device certificate shown";

    KnownPlace Location "known_place" "known place";
    KnownCountry Location "known_country" "known country, new network";
    NewCountry Location "new_country" "country never seen for this user";
    CountryUnknown Location "country_unknown" "country not known, counted as a new one";
    Allowed Location "country_allowed" "country on the allow list";
    Denied Location "country_denied" "country on the deny list";
    DeniedUnknown Location "country_unknown_denied"
        "country not known, counted as one on the deny list";
    Speed Location "impossible_speed" "too far from the last sighting for the time between";
    SpeedInexact Location "speed_inexact"
        "place not exact enough to tell the speed, counted as too far from the last sighting";
    SpeedUnknown Location "speed_unknown"
        "place not known, counted as too far from the last sighting";

    Finding Behavior "finding" "live finding";
    Denies Behavior "denies" "many more denies than usual";
    Requests Behavior "requests" "many more requests than usual";
    Hour Behavior "unusual_hour" "unusual hour of the day";
    HourUnknown Behavior "hour_unknown"
        "too short a history to know the hour, counted as an unusual one";
    Clean Behavior "clean" "nothing adverse for a long time";

    Corporate Network "corporate" "corporate network";
    Partner Network "partner" "network of a partner";
    Vpn Network "vpn" "virtual private network";
    Public Network "public" "public network";
    Anonymiser Network "anonymiser" "network of an anonymiser";
    NoMatch Network "no_match" "no configured network";
    AddressUnknown Network "address_unknown" "address not known, counted as the lowest class";
    MutualTls Network "mutual_tls" "mutual TLS seen";
}

impl Adjustment {
    /// Its bit in a set.
    pub(super) fn bit(self) -> u64 {
        1 << self as u8
    }

    /// What a network of a class is, as an adjustment.
    pub(super) fn of_class(class: NetworkClass) -> Self {
        match class {
            NetworkClass::Corporate => Self::Corporate,
            NetworkClass::Partner => Self::Partner,
            NetworkClass::Vpn => Self::Vpn,
            NetworkClass::Public => Self::Public,
            NetworkClass::Anonymiser => Self::Anonymiser,
        }
    }

    /// By how much; the finding's with risk 1.
    pub(super) fn amount(self, config: &ModelConfig) -> Score {
        let ModelConfig {
            identity,
            device,
            location,
            behavior,
            network,
            ..
        } = config;
        match self {
            Self::MfaEnrolled => identity.mfa_enrolled,
            Self::MfaVerified => identity.mfa_verified,
            Self::PhishingResistant => identity.phishing_resistant,
            Self::AccountAge => identity.account_age,
            Self::NoSuspicious => identity.no_suspicious_activity,
            Self::Admin => identity.admin,
            Self::Privileged => identity.privileged,
            Self::Registered => device.registered,
            Self::TrustHigh => device.trust_high,
            Self::TrustMedium => device.trust_medium,
            Self::ScanRecent => device.scan_recent,
            Self::ScanOld | Self::ScanUnknown => device.scan_old,
            Self::NotRegistered | Self::RegistrationUnknown => device.not_registered,
            Self::Jailbroken | Self::JailbrokenUnknown => device.jailbroken,
            Self::CurrentOs => device.current_os,
            Self::Managed => device.managed,
            Self::Certificate => device.certificate,
            Self::KnownPlace => location.known_place,
            Self::KnownCountry => location.known_country,
            Self::NewCountry | Self::CountryUnknown => location.new_country,
            Self::Allowed => location.allowed,
            Self::Denied | Self::DeniedUnknown => location.denied,
            Self::Speed | Self::SpeedInexact | Self::SpeedUnknown => location.speed,
            Self::Finding => behavior.finding,
            Self::Denies => behavior.denies.adjustment,
            Self::Requests => behavior.requests.adjustment,
            Self::Hour | Self::HourUnknown => behavior.hour,
            Self::Clean => behavior.clean,
            Self::Corporate => network.corporate,
            Self::Partner => network.partner,
            Self::Vpn => network.vpn,
            Self::Public => network.public,
            Self::Anonymiser => network.anonymiser,
            Self::NoMatch => network.no_match,
            Self::AddressUnknown => lowest_network(config),
            Self::MutualTls => network.mutual_tls,
        }
    }
}

/// The lowest that a network can be.
pub(super) fn lowest_network(config: &ModelConfig) -> Score {
    let of = &config.network;
    of.corporate
        .min(of.partner)
        .min(of.vpn)
        .min(of.public)
        .min(of.anonymiser)
        .min(of.no_match)
}
