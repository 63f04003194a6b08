//! Tokens of other services: JWTs to principals and callers.
//!
//! What enters: a compact JWT, what it is to stand for, and the instant. What leaves: a [`Verified`]
//! token, or a [`TokenError`]. A token stands for something only if a configured issuer signed it, with
//! an algorithm that is allowed and that fits the key, for an audience of that use, within its time, and
//! neither the deny-list nor the issuer says that it was revoked.
//!
//! Keys, introspection and status lists are fetched through [`Fetch`] on threads that may wait; a token
//! that was verified before is found by its hash without any of that.

mod cache;
mod claims;
mod denied;
mod error;
mod find;
mod flights;
mod introspect;
mod issuer;
mod jws;
mod keys;
mod map;
mod pace;
mod preset;
mod set;
mod source;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::base::entity_ref::EntityRef;
use crate::base::fault::{Fault, Faults};
use crate::base::timestamp::Timestamp;
use crate::service::config::{IssuerConfig, check_issuers};
use crate::service::net::fetch::Fetch;

use cache::{Cache, CacheKey};
use claims::later;
use error::quoted;
use flights::Flights;
use issuer::Issuer;
use jws::Jws;
use source::KeyError;

pub(crate) use crate::service::config::TokenUsage as Usage;
pub(crate) use denied::{Denial, DenialKind, Denied};
pub(crate) use error::TokenError;
pub(crate) use map::TokenCaller;
pub(crate) use set::{SetError, SetVerifier, date};

/// A token that was verified.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Its `iss`.
    pub(crate) issuer: Arc<str>,
    /// Its `sub`.
    pub(crate) subject: Option<String>,
    /// Its `exp`.
    pub(crate) expires: Timestamp,
    /// The class of the authentication.
    pub(crate) acr: Option<String>,
    /// The methods of the authentication.
    pub(crate) amr: Vec<String>,
    /// When the authentication was.
    pub(crate) auth_time: Option<Timestamp>,
    /// Its `iat`.
    pub(crate) issued_at: Option<Timestamp>,
    /// The session.
    pub(crate) sid: Option<String>,
    /// The token's own id.
    pub(crate) jti: Option<String>,
    /// All claims.
    pub(crate) claims: Map<String, Value>,
    /// The principal it stands for, if it stands for one.
    pub(crate) principal: Option<EntityRef>,
    /// The principal with its attributes and parents, and its groups, in Cedar's JSON form.
    pub(crate) entities: Arc<[Value]>,
    /// The caller it stands for, if it stands for one.
    pub(crate) caller: Option<TokenCaller>,
}

/// The issuers that are believed; cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuers {
    inner: Arc<Inner>,
}

struct Inner {
    by_issuer: HashMap<String, Vec<Issuer>>,
    cache: Cache,
    flights: Flights,
    denied: Denied,
    counters: Counters,
    told: Told,
}

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenCounts {
    /// Tokens verified again.
    pub(crate) verified: u64,
    /// Tokens found in the cache.
    pub(crate) cached: u64,
    /// Tokens refused, by [`TokenError::code`].
    pub(crate) refused: Vec<(&'static str, u64)>,
    /// Fetches of keys.
    pub(crate) key_fetches: u64,
    /// Fetches of keys that failed.
    pub(crate) key_failures: u64,
}

/// All codes of errors.
const CODES: [&str; 10] = [
    "token_malformed",
    "token_too_large",
    "token_issuer",
    "token_signature",
    "token_expired",
    "token_not_yet_valid",
    "token_audience",
    "token_unsuitable",
    "token_revoked",
    "token_issuer_unavailable",
];

#[derive(Default)]
struct Counters {
    verified: AtomicU64,
    cached: AtomicU64,
    refused: [AtomicU64; CODES.len()],
}

/// When a refused token was last told to the log, for each code: whoever sends many fills no log.
#[derive(Default)]
struct Told([Last; CODES.len()]);

#[derive(Default)]
struct Last {
    /// In milliseconds since the Unix epoch.
    at: AtomicI64,
    /// Refused since then.
    more: AtomicU64,
}

/// Least time between two lines about one code, in milliseconds.
const TOLD_EVERY: i64 = 1_000;

impl Told {
    fn tell(&self, error: &TokenError, usage: Usage, now: Timestamp) {
        let (code, detail, usage) = (error.code(), error.detail(), usage.name());
        let place = CODES.iter().position(|other| *other == code);
        let Some(last) = place.and_then(|place| self.0.get(place)) else {
            return;
        };
        let (now, before) = (now.as_millis(), last.at.load(Ordering::Relaxed));
        let due = now.abs_diff(before) >= TOLD_EVERY.unsigned_abs();
        let mine = due
            && last
                .at
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            let more = last.more.swap(0, Ordering::Relaxed);
            tracing::info!(code, usage, detail, more, "token refused");
        } else {
            last.more.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(code, usage, detail, "token refused");
        }
    }
}

impl Counters {
    fn note(&self, result: &Result<Arc<Verified>, TokenError>, taken: &AtomicU64) {
        let counter = match result {
            Ok(_) => Some(taken),
            Err(error) => {
                let code = error.code();
                let mut pairs = CODES.iter().zip(&self.refused);
                pairs
                    .find(|(other, _)| **other == code)
                    .map(|(_, count)| count)
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers")
            .field("issuers", &self.inner.by_issuer.keys())
            .finish_non_exhaustive()
    }
}

impl Issuers {
    /// The issuers of a configuration. Nothing is fetched yet: see [`Issuers::warm`].
    ///
    /// # Errors
    /// Every contradiction in the configuration, secrets and key files that cannot be read.
    pub(crate) fn start(
        configs: Vec<IssuerConfig>,
        denied: Denied,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, Faults> {
        let mut faults = check_issuers(&configs);
        let mut by_issuer: HashMap<String, Vec<Issuer>> = HashMap::new();
        for config in &configs {
            let others = configs
                .iter()
                .filter(|other| other.issuer == config.issuer && other.usage != config.usage);
            let elsewhere = others.flat_map(|other| other.audience.clone()).collect();
            match Issuer::new(config, elsewhere, &fetch) {
                Ok(issuer) => by_issuer
                    .entry(config.issuer.clone())
                    .or_default()
                    .push(issuer),
                Err(message) => faults.push(Fault::new(
                    "config",
                    format!("[[issuers]] `{}`: {message}", config.issuer),
                )),
            }
        }
        warn_of_shared_names(&configs);
        faults.or(Self {
            inner: Arc::new(Inner {
                by_issuer,
                cache: Cache::new(),
                flights: Flights::default(),
                denied,
                counters: Counters::default(),
                told: Told::default(),
            }),
        })
    }

    /// Whether tokens can stand for this at all.
    pub(crate) fn any(&self, usage: Usage) -> bool {
        let mut all = self.inner.by_issuer.values().flatten();
        all.any(|issuer| issuer.config.usage == usage)
    }

    /// The deny-list.
    #[cfg(test)]
    fn denied(&self) -> &Denied {
        &self.inner.denied
    }

    /// Fetches the keys of all issuers, so that the first token need not wait for them. What fails is
    /// logged and tried again when a token needs it.
    pub(crate) async fn warm(&self, now: Timestamp) {
        let all = self.inner.by_issuer.values().flatten();
        let fetches: Vec<_> = all
            .map(|issuer| {
                let keys = Arc::clone(&issuer.keys);
                tokio::spawn(async move { keys.warm(now).await })
            })
            .collect();
        for fetch in fetches {
            // Fails only when the runtime ends.
            let _ = fetch.await;
        }
    }

    /// What is known of the token without waiting: it was verified before, or its signature was bad a
    /// moment ago. The deny-list is looked at.
    pub(crate) fn cached(
        &self,
        token: &str,
        usage: Usage,
        now: Timestamp,
    ) -> Option<Result<Arc<Verified>, TokenError>> {
        if token.len() > jws::LONGEST {
            return None;
        }
        let key = CacheKey::of(token, usage);
        let found = self.inner.cache.find(&key, &self.inner.denied, now)?;
        self.inner
            .counters
            .note(&found, &self.inner.counters.cached);
        Some(found)
    }

    /// Verifies the token, from the cache where it can.
    ///
    /// To be called within a tokio runtime.
    pub(crate) async fn verify(
        &self,
        token: &str,
        usage: Usage,
        now: Timestamp,
    ) -> Result<Arc<Verified>, TokenError> {
        if let Some(found) = self.cached(token, usage, now) {
            return found;
        }
        let result = self.verify_anew(token, usage, now).await;
        let counters = &self.inner.counters;
        counters.note(&result, &counters.verified);
        if let Err(error) = &result {
            self.inner.told.tell(error, usage, now);
        }
        result
    }

    async fn verify_anew(
        &self,
        token: &str,
        usage: Usage,
        now: Timestamp,
    ) -> Result<Arc<Verified>, TokenError> {
        let jws = Jws::parse(token, jws::LONGEST)?;
        let key = CacheKey::of(token, usage);
        let issuer = self.issuer_of(&jws, usage)?;
        match issuer.signed(&jws, now).await {
            Ok(()) => {}
            Err(KeyError::Bad(reason)) => {
                let error = TokenError::BadSignature(reason.into());
                self.inner.cache.refuse(key, error.clone(), now);
                return Err(error);
            }
            Err(KeyError::Unknown) => {
                let kid = jws.kid.as_deref().unwrap_or_default();
                let detail = format!("the issuer has no key {}", quoted(kid));
                return Err(TokenError::BadSignature(detail.into()));
            }
            Err(KeyError::Unavailable(reason)) => {
                return Err(TokenError::Unavailable(reason.into()));
            }
        }
        let verified = issuer.read(&jws, now)?;
        // Before the look at the list: a denial in between makes the entry one to be looked up again.
        let clean = self.inner.denied.generation();
        if let Some(kind) = self.inner.denied.is_denied(&verified, now) {
            return Err(denied_by(kind));
        }
        let until = if issuer.is_asked() {
            let ask = issuer.standing(token, &verified, now);
            self.inner.flights.join(key, ask).await?
        } else {
            verified.expires
        };
        let until = until
            .min(verified.expires)
            .min(later(now, *issuer.config.cache));
        let verified = Arc::new(verified);
        if until > now {
            let entry = Arc::clone(&verified);
            self.inner.cache.keep(key, entry, until, clean);
        }
        // The issuer may have been asked for a while.
        match self.inner.denied.generation() == clean {
            true => Ok(verified),
            false => match self.inner.denied.is_denied(&verified, now) {
                Some(kind) => Err(denied_by(kind)),
                None => Ok(verified),
            },
        }
    }

    /// The table that a token falls under, by what it says of itself.
    fn issuer_of(&self, jws: &Jws<'_>, usage: Usage) -> Result<&Issuer, TokenError> {
        let name = match jws.claims.get("iss") {
            Some(Value::String(name)) => name,
            _ => return Err(TokenError::malformed("it has no `iss`")),
        };
        let all = self.inner.by_issuer.get(name).into_iter().flatten();
        let mut tables = all.filter(|issuer| issuer.config.usage == usage).peekable();
        let Some(first) = tables.peek().copied() else {
            let detail = format!("{} is not an issuer of {}s", quoted(name), usage.name());
            return Err(TokenError::UnknownIssuer(detail.into()));
        };
        // Where none is meant, the first one says so once the signature is known to be good.
        Ok(tables.find(|issuer| issuer.is_meant(jws)).unwrap_or(first))
    }

    /// What was counted since the start.
    pub(crate) fn counts(&self) -> TokenCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counters = &self.inner.counters;
        let (mut key_fetches, mut key_failures) = (0, 0);
        for issuer in self.inner.by_issuer.values().flatten() {
            let (fetches, failures) = issuer.keys.counts();
            key_fetches += fetches;
            key_failures += failures;
        }
        TokenCounts {
            verified: read(&counters.verified),
            cached: read(&counters.cached),
            refused: CODES
                .iter()
                .zip(&counters.refused)
                .map(|(code, count)| (*code, read(count)))
                .collect(),
            key_fetches,
            key_failures,
        }
    }

    /// What is the matter with the issuers' keys, one sentence for each.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let all = self.inner.by_issuer.values().flatten();
        let mut troubles: Vec<_> = all
            .filter_map(|issuer| Some((&issuer.name, issuer.keys.trouble()?)))
            .map(|(name, reason)| format!("keys of issuer `{name}`: {reason}"))
            .collect();
        troubles.sort();
        troubles.dedup();
        troubles
    }
}

/// Two issuers may know one person by one name, or two persons: only the operator can tell.
fn warn_of_shared_names(configs: &[IssuerConfig]) {
    let mut seen: HashMap<(&str, &str), &str> = HashMap::new();
    for config in configs {
        let Some(of_type) = config.principal_type.as_deref() else {
            continue;
        };
        let other = seen.entry((of_type, &config.id_prefix));
        let other = *other.or_insert(&config.issuer);
        if other != config.issuer {
            tracing::warn!(
                "issuers `{other}` and `{}` both name principals of type `{of_type}`: a subject of the one \
                 is the same principal as that of the other; `id_prefix` keeps them apart",
                config.issuer
            );
        }
    }
}

/// The error of a token on the deny-list.
fn denied_by(kind: DenialKind) -> TokenError {
    TokenError::Denied(
        match kind {
            DenialKind::Token => "its `jti` is on the deny-list",
            DenialKind::Session => "its session is on the deny-list",
            DenialKind::Subject => "its subject is on the deny-list",
        }
        .into(),
    )
}
