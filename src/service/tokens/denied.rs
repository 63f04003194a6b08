//! The deny-list: tokens, sessions and subjects that are no longer taken, whatever their signatures say.
//!
//! It is in memory; [`Denied::load`] and [`Denied::list`] let a durable store keep it. Expired denials
//! fall out when room is needed and are never looked at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};

use super::Verified;
use crate::base::lock::unpoisoned;
use crate::base::timestamp::Timestamp;

/// Denials that are kept unless another bound is given.
pub(crate) const MOST_DENIALS: usize = 100_000;

/// What a denial is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DenialKind {
    /// One token, by `jti`.
    Token,
    /// All tokens of a session, by `sid`.
    Session,
    /// All tokens of a subject, by `sub`.
    Subject,
}

/// One entry of the deny-list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Denial {
    /// What it is about.
    pub(crate) kind: DenialKind,
    /// The `jti`, `sid` or `sub`.
    pub(crate) value: String,
    /// The issuer it holds for; all, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// Only tokens issued before this instant, and those that do not say when.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339")]
    pub(crate) issued_before: Option<Timestamp>,
    /// When it ends; never, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339")]
    pub(crate) expires: Option<Timestamp>,
}

/// Instants as they stand in JSON.
mod rfc3339 {
    use std::str::FromStr;

    use crate::base::timestamp::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        instant: &Option<Timestamp>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => writer.collect_str(instant),
            None => writer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(reader)?;
        text.map(|text| Timestamp::from_str(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

impl Denial {
    fn ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn is_about(&self, token: &Verified, now: Timestamp) -> bool {
        let issuer = self.issuer.as_deref();
        let before = match (self.issued_before, token.issued_at) {
            (Some(before), Some(issued)) => issued < before,
            (Some(_), None) | (None, _) => true,
        };
        before && issuer.is_none_or(|issuer| issuer == &*token.issuer) && !self.ended(now)
    }

    /// The same entry, as strict as both.
    fn stricter(self, other: &Self) -> Self {
        // Nothing given is the strictest of both.
        let later = |a: Option<Timestamp>, b: Option<Timestamp>| a.zip(b).map(|(a, b)| a.max(b));
        Self {
            issued_before: later(self.issued_before, other.issued_before),
            expires: later(self.expires, other.expires),
            ..self
        }
    }
}

/// The deny-list is full of denials that still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deny-list holds {0} entries, and none of them has ended")]
pub(crate) struct DeniedFull(pub(crate) usize);

/// The deny-list; cheap to clone, all clones are one list.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    most: usize,
    /// Rises with every denial: who has looked at this generation need not look again.
    generation: AtomicU64,
    lists: RwLock<Lists>,
}

/// By kind and value; one value may be denied for several issuers.
#[derive(Debug, Default)]
struct Lists {
    tokens: HashMap<String, Vec<Denial>>,
    sessions: HashMap<String, Vec<Denial>>,
    subjects: HashMap<String, Vec<Denial>>,
    count: usize,
}

impl Default for Denied {
    fn default() -> Self {
        Self::new(MOST_DENIALS)
    }
}

impl Denied {
    /// An empty list of at most so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                most,
                generation: AtomicU64::new(0),
                lists: RwLock::default(),
            }),
        }
    }

    /// Takes over what a durable store has kept; what does not fit is an error.
    pub(crate) fn load(
        &self,
        denials: impl IntoIterator<Item = Denial>,
        now: Timestamp,
    ) -> Result<(), DeniedFull> {
        for denial in denials {
            if !denial.ended(now) {
                self.deny(denial, now)?;
            }
        }
        Ok(())
    }

    /// From now on what the denial is about is not taken. Given twice, the stricter of each holds; what
    /// holds comes back.
    pub(crate) fn deny(&self, denial: Denial, now: Timestamp) -> Result<Denial, DeniedFull> {
        let mut lists = self.write();
        if lists.count >= self.inner.most {
            lists.forget_ended(now);
        }
        let full = lists.count >= self.inner.most;
        let list = lists
            .of(denial.kind)
            .entry(denial.value.clone())
            .or_default();
        let same = list.iter_mut().find(|other| other.issuer == denial.issuer);
        let held = match same {
            Some(other) => {
                *other = if other.ended(now) {
                    denial
                } else {
                    denial.stricter(other)
                };
                other.clone()
            }
            None if full => {
                if list.is_empty() {
                    lists.of(denial.kind).remove(&denial.value);
                }
                return Err(DeniedFull(self.inner.most));
            }
            None => {
                list.push(denial.clone());
                lists.count += 1;
                denial
            }
        };
        // Within the lock: who sees the new number finds the new entry.
        self.inner.generation.fetch_add(1, Ordering::Release);
        Ok(held)
    }

    /// Takes an entry off the list; whether it was there.
    pub(crate) fn remove(&self, kind: DenialKind, value: &str, issuer: Option<&str>) -> bool {
        let mut lists = self.write();
        let by_value = lists.of(kind);
        let Some(list) = by_value.get_mut(value) else {
            return false;
        };
        let before = list.len();
        list.retain(|denial| denial.issuer.as_deref() != issuer);
        let removed = before - list.len();
        if list.is_empty() {
            by_value.remove(value);
        }
        lists.count -= removed;
        removed > 0
    }

    /// Every entry that has not ended, in a stable order.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Denial> {
        let lists = unpoisoned(self.inner.lists.read());
        let all = [&lists.tokens, &lists.sessions, &lists.subjects];
        let mut all: Vec<_> = all
            .iter()
            .flat_map(|by_value| by_value.values().flatten())
            .filter(|denial| !denial.ended(now))
            .cloned()
            .collect();
        drop(lists);
        all.sort_by(|a, b| (a.kind, &a.value, &a.issuer).cmp(&(b.kind, &b.value, &b.issuer)));
        all
    }

    /// The denial that is about this token, if there is one.
    pub(crate) fn is_denied(&self, token: &Verified, now: Timestamp) -> Option<DenialKind> {
        let lists = unpoisoned(self.inner.lists.read());
        if lists.count == 0 {
            return None;
        }
        [
            (DenialKind::Token, &lists.tokens, &token.jti),
            (DenialKind::Session, &lists.sessions, &token.sid),
            (DenialKind::Subject, &lists.subjects, &token.subject),
        ]
        .into_iter()
        .find_map(|(kind, by_value, value)| {
            let mut denials = by_value.get(value.as_deref()?)?.iter();
            denials
                .any(|denial| denial.is_about(token, now))
                .then_some(kind)
        })
    }

    /// A number that rises with every denial.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Lists> {
        unpoisoned(self.inner.lists.write())
    }
}

impl Lists {
    fn of(&mut self, kind: DenialKind) -> &mut HashMap<String, Vec<Denial>> {
        match kind {
            DenialKind::Token => &mut self.tokens,
            DenialKind::Session => &mut self.sessions,
            DenialKind::Subject => &mut self.subjects,
        }
    }

    fn forget_ended(&mut self, now: Timestamp) {
        let mut count = 0;
        for by_value in [&mut self.tokens, &mut self.sessions, &mut self.subjects] {
            by_value.retain(|_, list| {
                list.retain(|denial| !denial.ended(now));
                count += list.len();
                !list.is_empty()
            });
        }
        self.count = count;
    }
}
