//! The sets that labels come from.

use crate::base::words::{is_words, words};
use crate::pdp::decide::Cause;
use crate::pdp::evaluate::PolicyErrorCode;

is_words!(Cause by as_str, PolicyErrorCode by as_str);

words! {
    /// What enforcement would deny while it only reports.
    pub(crate) enum WouldDeny by name {
        /// The level of authentication does not suffice.
        StepUpRequired = "step_up_required",
        /// A configured floor of trust is not reached.
        InsufficientTrust = "insufficient_trust",
        /// A signal rules the subject out.
        KnockedOut = "knocked_out",
        /// The caller does not handle the obligation to get an approval.
        UnsupportedObligation = "unsupported_obligation",
    }

    /// Why a request was turned away because there was no room.
    pub(crate) enum Shed by name {
        /// No place among the requests under way became free in time.
        Overloaded = "overloaded",
        /// Nothing was loaded yet.
        NotReady = "not_ready",
        /// The decision log is full, and a full log denies.
        LogFull = "log_full",
        /// The body found no room in `limits.bodies_bytes`, or gave way to another.
        Bodies = "bodies",
    }

    /// What was wrong with how a caller said who it is.
    pub(crate) enum AuthenticationFailure by name {
        /// Nothing was given where something is asked for.
        Missing = "missing",
        /// The API key is not known, past its time or revoked, or what was given is of no known form.
        ApiKey = "api_key",
        /// The token does not verify, is past its time or revoked.
        Token = "token",
        /// Whoever must be asked about the token does not answer.
        TokenUnverifiable = "token_unverifiable",
        /// The client certificate belongs to no caller.
        Certificate = "certificate",
        /// There were too many failed attempts before.
        Throttled = "throttled",
    }

    /// Certificates that end some day.
    pub(crate) enum Certificate by name {
        /// What the server shows.
        Server = "server",
    }

    /// The result of an event.
    pub(crate) enum EventResult by name {
        /// It counts.
        Accepted = "accepted",
        /// It was accepted before.
        Duplicate = "duplicate",
        /// It does not count.
        Refused = "refused",
        /// It could not be kept.
        NotKept = "not_kept",
    }
}

impl WouldDeny {
    /// The cause of a Deny that trust alone would make.
    pub(crate) fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::StepUpRequired => Some(Self::StepUpRequired),
            Cause::InsufficientTrust => Some(Self::InsufficientTrust),
            Cause::KnockedOut => Some(Self::KnockedOut),
            Cause::UnsupportedObligation => Some(Self::UnsupportedObligation),
            _ => None,
        }
    }
}

impl EventResult {
    /// What its reporter is told.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::NotKept => Self::Refused.name(),
            other => other.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::words::Words;
    use crate::trust::model::Band;

    fn check<T: Words + std::fmt::Debug>() {
        for (place, member) in T::ALL.iter().enumerate() {
            assert_eq!(member.place(), place, "{member:?}");
        }
        let mut names: Vec<_> = T::ALL.iter().map(|member| member.word()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), T::ALL.len(), "{names:?}");
    }

    #[test]
    fn every_member_has_a_place_and_a_name_of_its_own() {
        check::<WouldDeny>();
        check::<Shed>();
        check::<AuthenticationFailure>();
        check::<Certificate>();
        check::<Cause>();
        check::<PolicyErrorCode>();
        check::<Band>();
        check::<EventResult>();
    }
}
