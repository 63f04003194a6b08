//! Faults of settings, each with its key and where its value came from.

use super::merge::{Origin, Origins};
use crate::base::fault::{Fault, Faults};
use crate::base::span::Span;
use crate::service::net::address::may_call;

/// Notes what is wrong: a condition, what to say where it holds, and what would help.
macro_rules! wrong {
    ($on:ident.$note:ident; $($when:expr => $($said:expr),+;)+) => {
        $(if $when { $on.$note($($said),+); })+
    };
}

pub(super) use wrong;

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

/// The faults of one table.
pub(super) struct TableNotes<'a> {
    /// Which tables, such as `[[issuers]]`.
    tables: &'static str,
    /// The name of the one that is looked at.
    name: &'a str,
    pub(super) faults: Faults,
}

impl<'a> TableNotes<'a> {
    pub(super) fn of(tables: &'static str, name: &'a str) -> Self {
        Self {
            tables,
            name,
            faults: Faults::new(),
        }
    }

    /// Notes what is wrong with the table and what would help.
    pub(super) fn note(&mut self, message: impl AsRef<str>, help: impl AsRef<str>) {
        let message = format!("{} `{}`: {}", self.tables, self.name, message.as_ref());
        self.faults.push(Fault::new("config", message).help(help));
    }

    /// What every table of issued tokens has to say.
    pub(super) fn check_tokens(
        &mut self,
        issuer: &str,
        audience: &[String],
        algorithms: usize,
        leeway: Span,
    ) {
        wrong! { self.note;
            issuer.is_empty() => "`issuer` is empty", "write the `iss` of its tokens";
            audience.is_empty() || audience.iter().any(String::is_empty) => "`audience` names no audience",
                "list the `aud` that its tokens for this server have";
            algorithms == 0 => "`algorithms` is empty, so that no token could be taken",
                "leave the key out for the default";
        }
        self.at_most("leeway", leeway, 300);
    }

    /// Notes an address that may not be called.
    pub(super) fn address(&mut self, key: &str, url: &str) {
        if let Err(error) = may_call(url) {
            self.note(format!("`{key}`: {error}"), "write a whole https address");
        }
    }

    /// Notes what is no JSON pointer to one place.
    pub(super) fn pointer(&mut self, key: &str, pointer: &str) {
        self.list_pointer(key, pointer);
        if pointer.split('/').any(|step| step == "*") {
            self.note(
                format!("`{key}`: `{pointer}` names many places"),
                "`*` stands for each element in `groups` and `roles` only",
            );
        }
    }

    /// RFC 6901: a pointer begins with `/`, and `~` is written `~0`, `/` within a name `~1`.
    pub(super) fn list_pointer(&mut self, key: &str, pointer: &str) {
        let mut after = pointer.split('~').skip(1);
        if !pointer.starts_with('/') || after.any(|rest| !rest.starts_with(['0', '1'])) {
            self.note(
                format!("`{key}`: `{pointer}` is not a JSON pointer"),
                "write it as `/realm_access/roles`; `/` within a name is `~1`, `~` is `~0`",
            );
        }
    }

    /// Notes a time that is longer than so many seconds.
    pub(super) fn at_most(&mut self, key: &str, value: Span, seconds: u64) {
        let most = Span::seconds(seconds);
        if value > most {
            self.note(format!("`{key}` is longer than {most}"), "shorten it");
        }
    }

    /// Notes keys that are given and have no meaning for this use.
    pub(super) fn not_for(&mut self, usage: &str, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            self.note(
                format!("`{key}` has no meaning with `usage = \"{}\"`", usage),
                "leave the key out",
            );
        }
    }
}
