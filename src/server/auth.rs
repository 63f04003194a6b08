//! Who asks: what a request and its connection show, to a [`Caller`].
//!
//! What enters: the `Authorization` header, the client certificate, the process behind a Unix socket.
//! What leaves: a caller, or a refusal that does not say what was nearly right. A credential that is
//! given and not good is refused, whatever else would have let the request in.

mod attempts;
mod table;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, StatusCode, header};

use super::metrics::AuthenticationFailure;
use super::peer::Peer;
use super::problem::Problem;
use crate::caller::{Caller, Handles, InlineRule, Scope};
use crate::config::{CallerConfig, Config};
use crate::fault::Faults;
use crate::storage::Store;
use crate::timestamp::Timestamp;
use crate::tokens::{Issuers, Usage};

use attempts::Attempts;
use table::Table;

/// How a request shows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Key,
    Token,
    Certificate,
}

/// Why nobody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing was shown, and nobody may stay unknown here.
    Missing,
    /// What was shown is not good.
    Wrong(Means),
    /// The issuer of a token cannot be asked.
    Unavailable,
    /// Too much that was not good came from this address; how many seconds to wait.
    TooMany(u64),
}

/// Headers by which a proxy says that the request comes from elsewhere.
const FORWARDED: [&str; 9] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "true-client-ip",
    "cf-connecting-ip",
    "x-envoy-external-address",
];

/// The user that stands for all whom a user namespace does not map.
const NOBODY: u32 = 65_534;

/// Longest credential that is looked at, in bytes.
const LONGEST: usize = 16 << 10;

/// Recognises callers.
#[derive(Debug)]
pub(super) struct Gate {
    table: ArcSwap<Table>,
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
    pub(super) fn new(
        config: &Config,
        store: Option<Store>,
        issuers: Option<Issuers>,
    ) -> Result<Self, Faults> {
        let server = &config.server;
        Ok(Self {
            table: ArcSwap::from_pointee(Table::new(&config.callers)?),
            store,
            attempts: Attempts::new(),
            issuers: issuers.filter(|issuers| issuers.any(Usage::Caller)),
            anonymous: Caller::anonymous(),
            owner: own_uid(),
            allow_loopback: server.anonymous_loopback,
            allow_anyone: server.danger_allow_anonymous,
            unknown_is_local: server.listen.ip().is_loopback(),
        })
    }

    /// Takes up changed callers, from the next request on.
    pub(super) fn set_callers(&self, callers: &[CallerConfig]) -> Result<(), Faults> {
        self.table.store(Arc::new(Table::new(callers)?));
        Ok(())
    }

    /// Whether a caller of the configuration has this name.
    pub(super) fn configures(&self, name: &str) -> bool {
        self.table.load().names(name)
    }

    /// The caller of a request.
    pub(super) async fn recognise(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (None, _) => self.by_connection(headers, peer, now),
            (Some(one), None) => match bearer(one.as_bytes()) {
                Some(credential) => self.by_credential(credential, peer, now).await,
                None => Err(self.wrong(Means::Key, peer)),
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
            return Ok(found.caller);
        }
        match &self.issuers {
            // The two dots of a compact JWT; keys have none.
            Some(issuers) if credential.contains('.') => {
                self.by_token(issuers, credential, peer, now).await
            }
            _ => Err(self.wrong(Means::Key, peer)),
        }
    }

    async fn by_token(
        &self,
        issuers: &Issuers,
        token: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let verified = match issuers.cached(token, Usage::Caller, now) {
            Some(known) => known,
            // Verifying takes time: an address that sent many bad ones waits for its turn.
            None if self.attempts.exhausted(peer.ip()) => {
                return Err(Refusal::TooMany(self.attempts.wait(peer.ip())));
            }
            None => issuers.verify(token, Usage::Caller, now).await,
        };
        let verified = verified.map_err(|error| {
            tracing::debug!(
                code = error.code(),
                detail = error.detail(),
                "token refused"
            );
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
        if let Some(caller) = self.table.load().token(&verified.issuer, &named.name) {
            return Ok(caller);
        }
        // What the issuer calls a scope and is none of ours gives no right.
        let scopes = named
            .scopes
            .iter()
            .filter_map(|name| Scope::from_name(name));
        let nothing = Handles::Only(std::collections::BTreeSet::new());
        // Under the issuer's name too: nobody is taken for a caller of the configuration or for a key.
        let name = format!("{}#{}", verified.issuer, named.name);
        Ok(Caller::new(name, scopes, InlineRule::Add, nothing))
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
            return known.ok_or_else(|| self.wrong(Means::Certificate, peer));
        }
        if let Some(unix) = peer.unix {
            if let Some(caller) = self.table.load().uid(unix.uid) {
                return Ok(caller);
            }
            // A proxy of the owner's speaks for others; 65534 is whom the system does not know.
            let is_owner = unix.uid == 0 || (unix.uid != NOBODY && Some(unix.uid) == self.owner);
            if is_owner && !forwarded(headers) {
                return Ok(owner());
            }
        }
        if self.allow_anyone || (self.allow_loopback && self.is_local(headers, peer)) {
            Ok(self.anonymous.clone())
        } else {
            Err(Refusal::Missing)
        }
    }

    /// Whether a request comes from this machine. Behind a proxy on it everybody would seem to.
    pub(super) fn is_local(&self, headers: &HeaderMap, peer: &Peer) -> bool {
        let unknown = peer.address.is_none() && peer.unix.is_none();
        let local = peer.is_local() || (unknown && self.unknown_is_local);
        local && !forwarded(headers)
    }

    /// Counts a failed attempt at something else than a route for callers; `Err` with the seconds to wait
    /// when there were too many.
    pub(super) fn failed(&self, peer: &Peer) -> Result<(), u64> {
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

/// Whether a proxy says that it speaks for somebody else.
fn forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Who runs the server, over its socket: what it may do to the files it may do here.
fn owner() -> Caller {
    let scopes = Scope::ALL.iter().copied();
    Caller::new(
        "owner",
        scopes,
        InlineRule::Override,
        Handles::Only(std::collections::BTreeSet::new()),
    )
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
    pub(super) fn kind(self) -> AuthenticationFailure {
        match self {
            Self::Missing => AuthenticationFailure::Missing,
            Self::Wrong(Means::Key) => AuthenticationFailure::ApiKey,
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
            Refusal::Missing => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "say who asks: send an API key or a token as `Authorization: Bearer ..`",
            )
            .challenge("Bearer"),
            Refusal::Wrong(Means::Certificate) => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the client certificate belongs to no configured caller",
            )
            .challenge("Bearer"),
            Refusal::Wrong(_) => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the key or token is not good",
            )
            .challenge("Bearer error=\"invalid_token\""),
            Refusal::Unavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "token_issuer_unavailable",
                "the token cannot be verified at present",
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
