//! Who asks: what a request and its connection show, to a [`Caller`].
//!
//! What enters: the `Authorization` header, the client certificate, the process behind a Unix socket.
//! What leaves: a caller, or a refusal that does not say what was nearly right. A credential that is wrong,
//! or that stands where it is not read, is refused, whatever else would have let the request in.

mod attempts;
mod shown;
mod table;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, StatusCode, header};

use crate::base::caller::{Caller, Handles, InlineRule, Scope, is_plain};
use crate::base::fault::Faults;
use crate::base::timestamp::Timestamp;
use crate::service::config::{Anonymous, Config, ReservedNames, TokenUsage};
use crate::service::http::net::peer::Peer;
use crate::service::http::observe::metrics::AuthenticationFailure;
use crate::service::http::problem::Problem;
use crate::service::tokens::Issuers;
use crate::storage::Store;
use crate::storage::keys::{KeyMatch, MOST_KEYS};

use attempts::Attempts;
use table::Table;

/// How a request shows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Key,
    Token,
    Certificate,
}

/// Why nobody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing was shown, and nobody may stay unknown here.
    Missing,
    /// A credential stands here, where none is read.
    Unread(&'static str),
    /// `Authorization` has another scheme than `Bearer`; the scheme, if it is a known one.
    Scheme(Option<&'static str>),
    /// What was shown is wrong.
    Wrong(Means),
    /// The issuer of a token cannot be asked.
    Unavailable,
    /// Too many wrong credentials came from this address; how many seconds to wait.
    TooMany(u64),
}

/// The user that stands for all whom a user namespace does not map.
const NOBODY: u32 = 65_534;

/// API keys with a reserved name that are told one by one.
const SHOWN: usize = 5;

/// Longest credential that is looked at, in bytes.
const LONGEST: usize = 16 << 10;

/// Recognises callers.
#[derive(Debug)]
pub(crate) struct Gate {
    table: ArcSwap<Table>,
    reserved: ArcSwap<ReservedNames>,
    /// Where API keys are kept.
    store: Option<Store>,
    attempts: Attempts,
    issuers: Option<Issuers>,
    anonymous: Caller,
    /// The user that this process runs as; processes of its own may do everything over the socket.
    owner: Option<u32>,
    allow_loopback: bool,
    allow_anyone: bool,
    /// Where a request without a known connection comes from.
    unknown_is_local: bool,
}

impl Gate {
    pub(crate) fn new(
        config: &Config,
        store: Option<Store>,
        issuers: Option<Issuers>,
    ) -> Result<Self, Faults> {
        let server = &config.server;
        Ok(Self {
            table: ArcSwap::from_pointee(Table::new(&config.callers)?),
            reserved: ArcSwap::from_pointee(ReservedNames::of(config)),
            store,
            attempts: Attempts::new(),
            issuers: issuers.filter(|issuers| issuers.any(TokenUsage::Caller)),
            anonymous: Caller::anonymous(),
            owner: own_uid(),
            allow_loopback: server.anonymous == Anonymous::Loopback,
            allow_anyone: server.danger_allow_anonymous,
            unknown_is_local: server.listen.ip().is_loopback(),
        })
    }

    /// Takes up changed callers, and names that rules mention, from the next request on.
    pub(crate) fn set_callers(&self, config: &Config, now: Timestamp) -> Result<(), Faults> {
        let table = Table::new(&config.callers)?;
        self.reserved.store(Arc::new(ReservedNames::of(config)));
        self.table.store(Arc::new(table));
        self.warn_of_shared_names(now);
        Ok(())
    }

    /// Why no API key may have this name, where none may.
    pub(crate) fn reserves(&self, name: &str) -> Option<&'static str> {
        self.reserved.load().reason(name)
    }

    /// Whether a rule names the API key of this id.
    pub(crate) fn is_named_by_a_rule(&self, id: &str) -> bool {
        self.reserved.load().names_key(id)
    }

    /// Logs which API keys have a name that the configuration gives a meaning.
    pub(crate) fn warn_of_shared_names(&self, now: Timestamp) {
        for trouble in self.troubles(now) {
            tracing::warn!("{trouble}");
        }
    }

    /// API keys that have a name to which the configuration gives a meaning since they were made: a sentence
    /// for each of the first few. They get no right by it, and stand in records by their id.
    pub(crate) fn troubles(&self, now: Timestamp) -> Vec<String> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        let reserved = self.reserved.load();
        let shared = store
            .keys()
            .named(now, |name| reserved.reason(name).is_some());
        let mut troubles: Vec<_> = shared
            .iter()
            .take(SHOWN)
            .map(|(id, name)| {
                let reason = reserved.reason(name).unwrap_or_default();
                let name = name.escape_debug();
                format!(
                    "the API key {id} is named `{name}`, and {reason}: the key gets no right by that \
                     name (`key:{id}` means the key), and records show it as `key:{id}`"
                )
            })
            .collect();
        let table = self.table.load();
        let orphans = store
            .keys()
            .without_maker(now, |name| table.named(name).is_some());
        for (id, maker) in orphans.iter().take(SHOWN) {
            troubles.push(format!(
                "the API key {id} is refused: the configuration does not have the caller `{maker}`, which made it"
            ));
        }
        let untold = shared.len().saturating_sub(SHOWN) + orphans.len().saturating_sub(SHOWN);
        if untold > 0 {
            troubles.push(format!("the same holds for further API keys: {untold}"));
        }
        let kept = store.keys().count();
        if kept >= MOST_KEYS - MOST_KEYS / 10 {
            troubles.push(format!(
                "{kept} of at most {MOST_KEYS} API keys are kept: `deodar keys purge` forgets those that have \
                 ended"
            ));
        }
        troubles
    }

    /// The caller of a request.
    pub(crate) async fn recognise(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (None, _) => match self.by_connection(headers, peer, now) {
                // Recognised by its connection: a credential elsewhere is for somebody else.
                Ok(caller) if !caller.is_anonymous() && !caller.is_owner() => Ok(caller),
                Err(refusal) if refusal != Refusal::Missing => Err(refusal),
                other => match shown::unread(headers, query) {
                    Some(place) => Err(Refusal::Unread(place)),
                    None => other,
                },
            },
            (Some(one), None) => match bearer(one.as_bytes()) {
                Some(credential) => self.by_credential(credential, peer, now).await,
                None => match self.wrong(Means::Key, peer) {
                    Refusal::Wrong(_) => Err(Refusal::Scheme(shown::other_scheme(headers))),
                    refusal => Err(refusal),
                },
            },
            // Several would have to agree; nobody sends them.
            (Some(_), Some(_)) => Err(self.wrong(Means::Key, peer)),
        }
    }

    async fn by_credential(
        &self,
        credential: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        if let Some(caller) = self.table.load().key(credential) {
            return Ok(caller);
        }
        if let Some(store) = &self.store
            && let Ok(found) = store.keys().find(credential, now)
        {
            tracing::trace!(key = found.key.id, "recognised by its key");
            return self
                .of_key(found)
                .ok_or_else(|| self.wrong(Means::Key, peer));
        }
        match &self.issuers {
            // The two dots of a compact JWT; keys have none.
            Some(issuers) if credential.contains('.') => {
                self.by_token(issuers, credential, peer, now).await
            }
            _ => Err(self.wrong(Means::Key, peer)),
        }
    }

    /// The caller of an API key that holds. One that a caller of the configuration has made is within what
    /// that caller may do now.
    fn of_key(&self, found: KeyMatch) -> Option<Caller> {
        let KeyMatch { key, caller, root } = found;
        let caller = match root {
            None => caller,
            Some(root) => {
                let Some(maker) = self.table.load().named(&root) else {
                    tracing::debug!(
                        key = key.id,
                        maker = &*root,
                        "an API key is refused: the caller that made it is not in the configuration any more"
                    );
                    return None;
                };
                caller.under(&maker)
            }
        };
        let means_another = !is_plain(&key.name) || self.reserves(&key.name).is_some();
        Some(if means_another {
            caller.named_by_id()
        } else {
            caller
        })
    }

    async fn by_token(
        &self,
        issuers: &Issuers,
        token: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let verified = match issuers.cached(token, TokenUsage::Caller, now) {
            Some(known) => known,
            // Verifying takes time: an address that sent many bad ones waits for its turn.
            None if self.attempts.exhausted(peer.ip()) => {
                return Err(Refusal::TooMany(self.attempts.wait(peer.ip())));
            }
            None => issuers.verify(token, TokenUsage::Caller, now).await,
        };
        let verified = verified.map_err(|error| {
            if error.is_unavailable() {
                Refusal::Unavailable
            } else {
                self.wrong(Means::Token, peer)
            }
        })?;
        self.attempts.good(peer.ip());
        let Some(named) = &verified.caller else {
            return Err(self.wrong(Means::Token, peer));
        };
        let end = Some(verified.expires);
        if let Some(caller) = self.table.load().token(&verified.issuer, &named.name) {
            return Ok(caller.until(end));
        }
        // What the issuer calls a scope and is none of ours gives no right.
        let scopes = named
            .scopes
            .iter()
            .filter_map(|name| Scope::from_name(name));
        let nothing = Handles::Only(std::collections::BTreeSet::new());
        // Under the issuer's name too: nobody is taken for a caller of the configuration or for a key.
        let name = format!("{}#{}", verified.issuer, named.name);
        Ok(Caller::new(name, scopes, InlineRule::Add, nothing).until(end))
    }

    fn by_connection(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        if let Some(certificate) = &peer.certificate {
            // The connection may have outlived it.
            let known = Some(certificate).filter(|certificate| certificate.expires > now);
            let known = known.and_then(|certificate| self.table.load().certificate(certificate));
            let known = known.map(|caller| caller.until(Some(certificate.expires)));
            return known.ok_or_else(|| self.wrong(Means::Certificate, peer));
        }
        if let Some(unix) = peer.unix {
            if let Some(caller) = self.table.load().uid(unix.uid) {
                return Ok(caller);
            }
            // A proxy of the owner's speaks for others; 65534 is whom the system does not know.
            let is_owner = unix.uid == 0 || (unix.uid != NOBODY && Some(unix.uid) == self.owner);
            if is_owner && !shown::forwarded(headers) {
                return Ok(Caller::owner());
            }
        }
        if self.allow_anyone || (self.allow_loopback && self.is_local(headers, peer)) {
            Ok(self.anonymous.clone())
        } else {
            Err(Refusal::Missing)
        }
    }

    /// Whether a request comes from this machine. Behind a proxy on it everybody would seem to.
    pub(crate) fn is_local(&self, headers: &HeaderMap, peer: &Peer) -> bool {
        let unknown = peer.address.is_none() && peer.unix.is_none();
        let local = peer.is_local() || (unknown && self.unknown_is_local);
        local && !shown::forwarded(headers)
    }

    /// Counts a failed attempt at something else than a route for callers; `Err` with the seconds to wait
    /// when there were too many.
    pub(crate) fn failed(&self, peer: &Peer) -> Result<(), u64> {
        self.attempts.failed(peer.ip())
    }

    /// Counts a failed attempt. Good credentials never come here: nobody can keep others out.
    fn wrong(&self, means: Means, peer: &Peer) -> Refusal {
        match self.attempts.failed(peer.ip()) {
            Ok(()) => Refusal::Wrong(means),
            Err(wait) => Refusal::TooMany(wait),
        }
    }
}

fn own_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    // The owner of this process's entry; there is no safe call for it in the standard library.
    std::fs::metadata("/proc/self").ok().map(|meta| meta.uid())
}

/// The credential of `Bearer <credential>`.
fn bearer(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header).ok()?;
    let (scheme, credential) = text.split_once(' ')?;
    let credential = credential.trim_matches(' ');
    let plain = credential.bytes().all(|b| b.is_ascii_graphic());
    let fits = !credential.is_empty() && credential.len() <= LONGEST && plain;
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(credential)
}

impl Refusal {
    /// As what it is counted.
    pub(crate) fn kind(self) -> AuthenticationFailure {
        match self {
            Self::Missing | Self::Unread(_) => AuthenticationFailure::Missing,
            Self::Scheme(_) | Self::Wrong(Means::Key) => AuthenticationFailure::ApiKey,
            Self::Wrong(Means::Token) => AuthenticationFailure::Token,
            Self::Wrong(Means::Certificate) => AuthenticationFailure::Certificate,
            Self::Unavailable => AuthenticationFailure::TokenUnverifiable,
            Self::TooMany(_) => AuthenticationFailure::Throttled,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => unauthenticated(
                "the request shows no credential: send an API key or a token as `Authorization: Bearer <key>`"
                    .to_owned(),
                "Bearer",
            ),
            Refusal::Unread(place) => unauthenticated(
                format!(
                    "the request shows a credential in `{place}`, which is not read: send an API key or a token \
                     as `Authorization: Bearer <key>`"
                ),
                "Bearer error=\"invalid_request\"",
            ),
            Refusal::Scheme(scheme) => unauthenticated(
                match scheme {
                    Some(scheme) => format!(
                        "`Authorization` has the scheme `{scheme}`, which is not read: send an API key or a token \
                         as `Authorization: Bearer <key>`"
                    ),
                    None => format!(
                        "`Authorization` is not `Bearer` and an API key or a token of at most {LONGEST} visible \
                         ASCII characters"
                    ),
                },
                "Bearer error=\"invalid_request\"",
            ),
            Refusal::Wrong(Means::Certificate) => unauthenticated(
                "the client certificate belongs to no configured caller".to_owned(),
                "Bearer",
            ),
            Refusal::Wrong(_) => unauthenticated(
                "the API key or token is unknown, expired or revoked".to_owned(),
                "Bearer error=\"invalid_token\"",
            ),
            Refusal::Unavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "token_issuer_unavailable",
                "the token cannot be verified now: its issuer does not answer",
            )
            .retry_after(1),
            Refusal::TooMany(wait) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "too many requests with wrong keys or tokens came from this address",
            )
            .retry_after(wait),
        }
    }
}

fn unauthenticated(detail: String, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).challenge(challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_of_credential_is_read() {
        for (header, expect) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer a b", None),
            ("Bearer a\tb", None),
        ] {
            assert_eq!(bearer(header.as_bytes()), expect, "{header}");
        }
        let long = format!("Bearer {}", "x".repeat(LONGEST + 1));
        assert_eq!(bearer(long.as_bytes()), None);
    }
}
