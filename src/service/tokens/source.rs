//! Where an issuer's keys come from, and when they are fetched: once when first needed, again when they
//! are old, when a token names an unknown one, or when a signature does not fit the key of its name; by one
//! request at a time, and less often while that fails.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::jws::Jws;
use super::keys::{KeySet, Verdict};
use super::pace::Pace;
use crate::base::json;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::config::{IssuerConfig, ReceiverConfig};
use crate::service::net::address::may_follow;
use crate::service::net::fetch::{Call, Fetch, FetchError, LONGEST_BODY, Reply};

/// Longest rest after failures while there are keys to use.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// First and longest rest after failures while there are none.
const SHORT_REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Age at which a transmitter's keys are fetched again, least time between two fetches, and age up to
/// which they are used while it cannot be reached.
const TRANSMITTER_REFRESH: Duration = Duration::from_secs(3_600);
const TRANSMITTER_MIN_REFRESH: Duration = Duration::from_secs(60);
const TRANSMITTER_STALE: Duration = Duration::from_secs(24 * 3_600);

/// Where the keys are.
#[derive(Debug, Clone)]
enum From {
    /// Named by the discovery document here.
    Discovery(String),
    /// Here.
    Uri(String),
    /// In this file.
    File(PathBuf),
}

/// The keys of one issuer.
pub(super) struct Keys {
    issuer: String,
    from: From,
    refresh: Duration,
    min_refresh: Duration,
    stale: Duration,
    timeout: Duration,
    fetch: Arc<dyn Fetch>,
    held: ArcSwapOption<CachedKeys>,
    pace: Pace,
    /// Held by whoever fetches.
    found: tokio::sync::Mutex<FetchState>,
    /// Why the last fetch failed.
    trouble: Mutex<Option<String>>,
    fetches: AtomicU64,
    failures: AtomicU64,
}

/// Keys that were fetched.
struct CachedKeys {
    set: KeySet,
    /// When they last were known to be current, in milliseconds.
    fetched: AtomicI64,
    number: u64,
}

/// What a fetch remembers for the next one.
#[derive(Default)]
struct FetchState {
    /// Where discovery said the keys are, and when.
    jwks_uri: Option<(String, Timestamp)>,
    /// The file's age and length when it was read.
    stamp: Option<(SystemTime, u64)>,
}

/// Why a signature is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    /// It is wrong and will stay so.
    Bad(&'static str),
    /// The issuer has no such key at present.
    Unknown,
    /// The keys are not known at present.
    Unavailable(String),
}

impl Keys {
    pub(super) fn new(
        config: &IssuerConfig,
        jwks_uri: Option<&'static str>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let from = if let Some(path) = &config.jwks_file {
            From::File(path.clone())
        } else if let Some(uri) = config.jwks_uri.as_deref() {
            From::Uri(uri.to_owned())
        } else if let Some(uri) = jwks_uri.filter(|_| !config.finds_by_discovery()) {
            From::Uri(uri.to_owned())
        } else {
            // OpenID Connect Discovery section 4: a slash at the end is taken off.
            let base = config.issuer.trim_end_matches('/');
            From::Discovery(format!("{base}/.well-known/openid-configuration"))
        };
        // A look at a file costs little.
        let refresh = match &from {
            From::File(_) => *config.min_refresh,
            _ => *config.refresh,
        };
        Self {
            issuer: config.issuer.clone(),
            from,
            refresh,
            min_refresh: *config.min_refresh,
            stale: *config.stale,
            timeout: *config.timeout,
            fetch,
            held: ArcSwapOption::empty(),
            pace: Pace::new(),
            found: tokio::sync::Mutex::default(),
            trouble: Mutex::new(None),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The keys of a transmitter of security event tokens.
    pub(super) fn of_transmitter(config: &ReceiverConfig, fetch: Arc<dyn Fetch>) -> Self {
        let from = if let Some(path) = &config.jwks_file {
            From::File(path.clone())
        } else if let Some(uri) = &config.jwks_uri {
            From::Uri(uri.clone())
        } else {
            From::Discovery(ssf_configuration(&config.issuer))
        };
        let refresh = match &from {
            From::File(_) => TRANSMITTER_MIN_REFRESH,
            _ => TRANSMITTER_REFRESH,
        };
        Self {
            issuer: config.issuer.clone(),
            from,
            refresh,
            min_refresh: TRANSMITTER_MIN_REFRESH,
            stale: TRANSMITTER_STALE,
            timeout: crate::service::net::fetch::TIMEOUT,
            fetch,
            held: ArcSwapOption::empty(),
            pace: Pace::new(),
            found: tokio::sync::Mutex::default(),
            trouble: Mutex::new(None),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Whether one of the issuer's keys made the token's signature.
    pub(super) async fn verify(
        self: &Arc<Self>,
        jws: &Jws<'_>,
        now: Timestamp,
    ) -> Result<(), KeyError> {
        let mut fetched = false;
        loop {
            let held = self.held.load_full();
            let number = held.as_ref().map_or(0, |held| held.number);
            let age = held.as_ref().map(|held| held.age(now));
            let Some(held) = held.filter(|_| age.is_some_and(|age| age <= self.stale)) else {
                if fetched || (!self.pace.may(now) && !self.is_fetching()) {
                    return Err(KeyError::Unavailable(self.why()));
                }
                self.fetch_now(number, now).await;
                fetched = true;
                continue;
            };
            if age.is_some_and(|age| age >= self.refresh) && self.pace.may(now) {
                // The keys at hand are good enough for this token.
                let this = Arc::clone(self);
                tokio::spawn(async move { this.fetch_alone(number, now).await });
            }
            match held.set.verdict(jws) {
                Verdict::Good => return Ok(()),
                Verdict::Bad(reason) if fetched || (!self.pace.may(now) && !self.is_fetching()) => {
                    return Err(KeyError::Bad(reason));
                }
                Verdict::UnknownKey if fetched || (!self.pace.may(now) && !self.is_fetching()) => {
                    return Err(match self.pace.failures() {
                        0 => KeyError::Unknown,
                        // A newer key may be there that we cannot see.
                        _ => KeyError::Unavailable(self.why()),
                    });
                }
                // The issuer may have put another key under the same name: one more look, as often as for a
                // key that is not known.
                Verdict::Bad(_) | Verdict::UnknownKey => {
                    self.fetch_now(number, now).await;
                    fetched = true;
                }
            }
        }
    }

    /// Fetches the keys if there are none yet.
    pub(super) async fn warm(self: &Arc<Self>, now: Timestamp) {
        if self.held.load().is_none() && self.pace.may(now) {
            self.fetch_now(0, now).await;
        }
    }

    fn is_fetching(&self) -> bool {
        self.found.try_lock().is_err()
    }

    /// Fetches keys newer than `number` and waits for them. The fetch goes on if the request that waits
    /// for it is given up.
    async fn fetch_now(self: &Arc<Self>, number: u64, now: Timestamp) {
        let this = Arc::clone(self);
        // Fails only when the runtime ends.
        let _ = tokio::spawn(async move { this.fetch_alone(number, now).await }).await;
    }

    async fn fetch_alone(&self, number: u64, now: Timestamp) {
        let mut found = self.found.lock().await;
        let before = self.held.load_full();
        // Another request has done it, or has tried.
        if before.as_ref().map_or(0, |held| held.number) != number || !self.pace.may(now) {
            return;
        }
        self.pace.begin(now, self.min_refresh);
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let result = match &self.from {
            From::Discovery(url) => self.discovered(url, &mut found, now).await,
            From::Uri(url) => self.get(url).await.map(Some),
            From::File(path) => read_changed(path.clone(), found.stamp).await.map(|read| {
                read.map(|(bytes, stamp)| {
                    found.stamp = Some(stamp);
                    bytes
                })
            }),
        };
        let result = result.and_then(|document| match document {
            Some(document) => KeySet::read(&document, &self.issuer).map(Some),
            None => Ok(None),
        });
        match result {
            Ok(set) => {
                self.pace.succeeded(now, self.min_refresh);
                self.set_trouble(None);
                match (set, before) {
                    (Some(set), _) => self.held.store(Some(Arc::new(CachedKeys {
                        set,
                        fetched: AtomicI64::new(now.as_millis()),
                        number: number + 1,
                    }))),
                    (None, Some(held)) => held.fetched.store(now.as_millis(), Ordering::Relaxed),
                    (None, None) => {}
                }
            }
            Err(reason) => {
                found.jwks_uri = None;
                found.stamp = None;
                let usable = before.is_some_and(|held| held.age(now) <= self.stale);
                let (least, most) = if usable {
                    (self.min_refresh, LONGEST_REST)
                } else {
                    SHORT_REST
                };
                self.pace.failed(now, least, most);
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    issuer = self.issuer,
                    keys_at_hand = usable,
                    "the keys of an issuer cannot be fetched: {reason}"
                );
                self.set_trouble(Some(reason));
            }
        }
    }

    /// The key document that the discovery document names; that is asked for again after `refresh`.
    async fn discovered(
        &self,
        url: &str,
        found: &mut FetchState,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, String> {
        let known = found.jwks_uri.as_ref();
        let known = known.filter(|(_, since)| age(since.as_millis(), now) < self.refresh);
        let uri = match known {
            Some((uri, _)) => uri.clone(),
            None => {
                let uri = jwks_uri(&self.get(url).await?, &self.issuer)?;
                may_follow(url, &uri).map_err(|error| format!("discovery: {error}"))?;
                found.jwks_uri = Some((uri.clone(), now));
                uri
            }
        };
        self.get(&uri).await.map(Some)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let call = Call::get(url)
            .header("accept", "application/json")
            .timeout(self.timeout);
        let reply = send(&self.fetch, call).await.and_then(Reply::ok);
        reply.map_err(|error| format!("{url}: {error}"))
    }

    fn set_trouble(&self, reason: Option<String>) {
        *lock(&self.trouble) = reason;
    }

    /// Why the keys are not known, or not known to be current.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = lock(&self.trouble);
        trouble.clone()
    }

    fn why(&self) -> String {
        self.trouble()
            .unwrap_or_else(|| "its keys were not fetched yet".to_owned())
    }

    /// Fetches that were begun, and those that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.fetches.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed),
        )
    }
}

impl CachedKeys {
    fn age(&self, now: Timestamp) -> Duration {
        age(self.fetched.load(Ordering::Relaxed), now)
    }
}

fn age(since: i64, now: Timestamp) -> Duration {
    let millis = now.as_millis().saturating_sub(since);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Makes a call on a thread that may wait.
pub(super) async fn send(fetch: &Arc<dyn Fetch>, call: Call) -> Result<Reply, FetchError> {
    let fetch = Arc::clone(fetch);
    let sent = tokio::task::spawn_blocking(move || fetch.send(&call)).await;
    sent.unwrap_or_else(|_| Err(FetchError::Failed("the call was cut off".to_owned())))
}

/// Where a transmitter's configuration is: between the host and the path of its name (Shared Signals
/// Framework 1.0, section 7.2).
fn ssf_configuration(issuer: &str) -> String {
    let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
    let rest = issuer.get(after_scheme..).unwrap_or_default();
    let path = rest.find('/').map_or(issuer.len(), |at| after_scheme + at);
    let (host, path) = issuer.split_at(path);
    let path = path.trim_end_matches('/');
    format!("{host}/.well-known/ssf-configuration{path}")
}

/// What the discovery document says, which must be that of this issuer.
fn jwks_uri(document: &[u8], issuer: &str) -> Result<String, String> {
    let value = json::read(document, 32).map_err(|_| "discovery: not JSON".to_owned())?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    match text("issuer") {
        Some(found) if found == issuer => {}
        // Another issuer's document would bring another issuer's keys.
        Some(found) => {
            return Err(format!(
                "discovery: the document is that of issuer {}",
                super::error::quoted(found)
            ));
        }
        None => return Err("discovery: the document names no issuer".to_owned()),
    }
    let uri = text("jwks_uri").ok_or("discovery: the document has no `jwks_uri`")?;
    Ok(uri.to_owned())
}

type Stamp = (SystemTime, u64);

/// The file, if it is another one than before.
async fn read_changed(
    path: PathBuf,
    before: Option<Stamp>,
) -> Result<Option<(Vec<u8>, Stamp)>, String> {
    let read = tokio::task::spawn_blocking(move || read_file(&path, before)).await;
    read.unwrap_or_else(|_| Err("reading was cut off".to_owned()))
}

fn read_file(
    path: &std::path::Path,
    before: Option<Stamp>,
) -> Result<Option<(Vec<u8>, Stamp)>, String> {
    let place = path.display();
    let fault = |error: std::io::Error| format!("`{place}`: {error}");
    let data = std::fs::metadata(path).map_err(fault)?;
    let stamp = (data.modified().map_err(fault)?, data.len());
    if before == Some(stamp) {
        return Ok(None);
    }
    let bytes = crate::base::files::read(path, LONGEST_BODY as u64).map_err(fault)?;
    Ok(Some((bytes, stamp)))
}

/// Reads a key file at the start, to say at once what is wrong with it.
pub(super) fn check_file(path: &std::path::Path, issuer: &str) -> Result<(), String> {
    match read_file(path, None)? {
        Some((bytes, _)) => KeySet::read(&bytes, issuer).map(|_| ()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transmitter_is_found_between_its_host_and_its_path() {
        for (issuer, expect) in [
            (
                "https://tr.example.com",
                "https://tr.example.com/.well-known/ssf-configuration",
            ),
            (
                "https://tr.example.com/",
                "https://tr.example.com/.well-known/ssf-configuration",
            ),
            (
                "https://tr.example.com/issuer1",
                "https://tr.example.com/.well-known/ssf-configuration/issuer1",
            ),
            (
                "http://127.0.0.1:9/a/b/",
                "http://127.0.0.1:9/.well-known/ssf-configuration/a/b",
            ),
        ] {
            assert_eq!(ssf_configuration(issuer), expect);
        }
    }
}
