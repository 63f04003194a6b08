//! Labels from closed sets, each with a counter made beforehand: counting is an addition at a known
//! place, without a lock and without looking anything up.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::pdp::decide::Cause;
use crate::pdp::evaluate::PolicyErrorCode;
use crate::trust::model::Band;

/// A set whose members are known when this is built.
pub(super) trait Closed: Copy + 'static {
    /// The members, each at its place.
    const ALL: &'static [Self];
    /// The member as a label.
    fn name(self) -> &'static str;
    /// Its place in [`Closed::ALL`].
    fn place(self) -> usize;
}

macro_rules! closed {
    ($(#[$doc:meta])* $set:ident { $($(#[$about:meta])* $member:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $set { $($(#[$about])* $member,)+ }

        impl Closed for $set {
            const ALL: &'static [Self] = &[$(Self::$member,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$member => $name,)+ }
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}

closed! {
    /// What enforcement would deny while it only reports.
    WouldDeny {
        /// The level of authentication does not suffice.
        StepUpRequired = "step_up_required",
        /// A configured floor of trust is not reached.
        InsufficientTrust = "insufficient_trust",
        /// A signal rules the subject out.
        KnockedOut = "knocked_out",
        /// The caller does not handle the obligation to get an approval.
        UnsupportedObligation = "unsupported_obligation",
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

impl Closed for Band {
    const ALL: &'static [Self] = &[Self::Low, Self::Medium, Self::High];

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn place(self) -> usize {
        self as usize
    }
}

closed! {
    /// Why a request was turned away because there was no room.
    Shed {
        /// No place among the requests under way became free in time.
        Overloaded = "overloaded",
        /// Nothing was loaded yet.
        NotReady = "not_ready",
        /// The decision log is full, and a full log denies.
        LogFull = "log_full",
        /// The body found no room in `limits.bodies_bytes`, or gave way to another.
        Bodies = "bodies",
    }
}

closed! {
    /// What was wrong with how a caller said who it is.
    AuthenticationFailure {
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
}

closed! {
    /// Certificates that end some day.
    Certificate {
        /// What the server shows.
        Server = "server",
    }
}

impl Closed for Cause {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn place(self) -> usize {
        self as usize
    }
}

impl Closed for PolicyErrorCode {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn place(self) -> usize {
        self as usize
    }
}

/// A counter for each member of a set.
#[derive(Debug)]
pub(super) struct Counts<T> {
    cells: Box<[AtomicU64]>,
    set: PhantomData<fn() -> T>,
}

impl<T: Closed> Counts<T> {
    pub(super) fn new() -> Self {
        Self {
            cells: T::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            set: PhantomData,
        }
    }

    /// Counts one of `member`.
    pub(super) fn add(&self, member: T) {
        if let Some(cell) = self.cells.get(member.place()) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were of each member.
    pub(super) fn entries(&self) -> impl Iterator<Item = (T, u64)> {
        let counts = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        T::ALL.iter().copied().zip(counts)
    }

    /// Writes a counter with one label.
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        label: &'static str,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (member, count) in self.entries() {
            let labels = [(label, member.name())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Closed + std::fmt::Debug>() {
        for (place, member) in T::ALL.iter().enumerate() {
            assert_eq!(member.place(), place, "{member:?}");
        }
        let mut names: Vec<_> = T::ALL.iter().map(|member| member.name()).collect();
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
    }
}
