//! Faults of settings, each with its key and where its value came from.

use super::merge::{Origin, Origins};
use crate::base::fault::{Fault, Faults};
use crate::base::span::Span;

/// The faults found so far.
pub(super) struct Notes<'a> {
    origins: &'a Origins,
    faults: Faults,
}

impl<'a> Notes<'a> {
    pub(super) fn new(origins: &'a Origins) -> Self {
        Self {
            origins,
            faults: Faults::new(),
        }
    }

    /// Notes what is wrong with a key and what would help.
    pub(super) fn add(&mut self, key: &str, message: impl AsRef<str>, help: &str) {
        let origin = self.origins.get(key).unwrap_or(&Origin::Default);
        let message = format!("`{key}` ({origin}): {}", message.as_ref());
        self.faults.push(Fault::new("config", message).help(help));
    }

    /// Notes a time that is longer than so many seconds.
    pub(super) fn at_most(&mut self, key: &str, value: Span, seconds: u64) {
        if value > Span::seconds(seconds) {
            self.add(
                key,
                format!("is longer than {seconds} seconds"),
                "shorten it",
            );
        }
    }

    /// Notes that one of two keys is given alone.
    pub(super) fn both(&mut self, one: (&str, bool), other: (&str, bool)) {
        for ((key, given), (missing, is)) in [(one, other), (other, one)] {
            if given && !is {
                let message = format!("is of no use without `{missing}`");
                self.add(key, message, "give both or none");
            }
        }
    }

    /// Takes in faults of a table whose entries are told apart by their names.
    pub(super) fn extend(&mut self, faults: Faults) {
        self.faults.extend(faults);
    }

    /// Nothing, or the faults.
    pub(super) fn done(self) -> Result<(), Faults> {
        self.faults.or(())
    }
}
