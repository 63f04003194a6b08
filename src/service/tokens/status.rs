//! OAuth status lists: an issuer's list of what became of its tokens, one to eight bits for each
//! (draft-ietf-oauth-status-list).

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use flate2::read::ZlibDecoder;
use serde_json::{Map, Value};

use super::claims::{instant, later};
use super::jws::{Jws, decoded};
use super::pace::Pace;
use super::source::{KeyError, Keys, send};
use crate::base::hash;
use crate::base::hash::Lru;
use crate::base::lock::lock;
use crate::base::timestamp::Timestamp;
use crate::service::config::{OnFailure, StatusListConfig, TokenAlgorithm};
use crate::service::net::address::may_follow;
use crate::service::net::fetch::{Call, Fetch, LONGEST_BODY, Reply};

/// Lists kept for one issuer.
const MOST: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// Longest list, in bytes: 32 million tokens of one bit.
const LONGEST: u64 = 4 << 20;
/// First and longest rest after failures.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Shortest time for which a list is used.
const SHORTEST: Duration = Duration::from_secs(1);
/// Media type of a list.
const TYPE: &str = "statuslist+jwt";

/// What is known of a token's standing with its issuer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenStatus {
    /// It holds, and may be taken to hold until then.
    Valid(Timestamp),
    /// It does not, and why.
    Revoked(String),
    /// It cannot be told, and why.
    Unknown(String),
}

/// The status lists of an issuer.
pub(super) struct StatusLists {
    issuer: String,
    algorithms: Vec<TokenAlgorithm>,
    leeway: Duration,
    cache: Duration,
    timeout: Duration,
    required: bool,
    pub(super) on_failure: OnFailure,
    fetch: Arc<dyn Fetch>,
    keys: Arc<Keys>,
    slots: Mutex<Lru<String, Arc<Slot>>>,
}

/// One list, or the place for it.
struct Slot {
    list: ArcSwapOption<List>,
    /// Held by whoever fetches.
    fetching: tokio::sync::Mutex<()>,
    pace: Pace,
}

/// A list that was fetched and verified.
struct List {
    bits: u8,
    bytes: Vec<u8>,
    /// When it is to be fetched again.
    until: Timestamp,
}

/// Where a token's status is.
struct Reference {
    uri: String,
    index: u64,
}

impl StatusLists {
    pub(super) fn new(
        config: &StatusListConfig,
        issuer: &crate::service::config::IssuerConfig,
        keys: Arc<Keys>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            algorithms: issuer.algorithms.clone(),
            leeway: *issuer.leeway,
            cache: *config.cache,
            timeout: *issuer.timeout,
            required: config.required,
            on_failure: config.on_failure,
            fetch,
            keys,
            slots: Mutex::new(hash::lru(MOST)),
        }
    }

    /// What the lists say of a token with these claims.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> TokenStatus {
        let reference = match reference(claims) {
            Ok(Some(reference)) => reference,
            Ok(None) if self.required => {
                return TokenStatus::Revoked("it refers to no status list".to_owned());
            }
            Ok(None) => return TokenStatus::Valid(Timestamp::from_millis(i64::MAX)),
            Err(reason) => return TokenStatus::Revoked(reason.to_owned()),
        };
        if let Err(error) = may_follow(&self.issuer, &reference.uri) {
            return TokenStatus::Revoked(format!("its status list: {error}"));
        }
        let slot = self.slot(&reference.uri);
        let fresh = |list: &Option<Arc<List>>| list.as_ref().is_some_and(|list| now < list.until);
        let mut list = slot.list.load_full();
        let mut trouble = None;
        if !fresh(&list) {
            let this = Arc::clone(self);
            let (uri, at) = (reference.uri.clone(), Arc::clone(&slot));
            // Goes on if the request that waits for it is given up.
            let fetched = tokio::spawn(async move { this.fetch_alone(&at, &uri, now).await }).await;
            trouble = fetched
                .unwrap_or_else(|_| Err("it was cut off".to_owned()))
                .err();
            list = slot.list.load_full();
        }
        match list {
            Some(list) if fresh(&Some(Arc::clone(&list))) => list.standing(&reference, list.until),
            // A list that is too old still knows what was revoked.
            Some(list) => match list.standing(&reference, list.until) {
                TokenStatus::Valid(_) => TokenStatus::Unknown(trouble.unwrap_or_default()),
                revoked => revoked,
            },
            None => TokenStatus::Unknown(trouble.unwrap_or_default()),
        }
    }

    fn slot(&self, uri: &str) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let slot = slots.get_or_insert_ref(uri, || {
            Arc::new(Slot {
                list: ArcSwapOption::empty(),
                fetching: tokio::sync::Mutex::default(),
                pace: Pace::new(),
            })
        });
        Arc::clone(slot)
    }

    async fn fetch_alone(&self, slot: &Slot, uri: &str, now: Timestamp) -> Result<(), String> {
        let _alone = slot.fetching.lock().await;
        if slot
            .list
            .load()
            .as_ref()
            .is_some_and(|list| now < list.until)
        {
            return Ok(());
        }
        if !slot.pace.may(now) {
            return Err(format!("status list {uri}: failed a moment ago"));
        }
        match self.read(uri, now).await {
            Ok(list) => {
                slot.pace.succeeded(now, Duration::ZERO);
                slot.list.store(Some(Arc::new(list)));
                Ok(())
            }
            Err(reason) => {
                let (least, most) = REST;
                slot.pace.failed(now, least, most);
                Err(format!("status list {uri}: {reason}"))
            }
        }
    }

    async fn read(&self, uri: &str, now: Timestamp) -> Result<List, String> {
        let call = Call::get(uri)
            .header("accept", "application/statuslist+jwt")
            .timeout(self.timeout);
        let reply = send(&self.fetch, call).await.and_then(Reply::ok);
        let body = reply.map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&body).map_err(|_| "no JWT")?.trim();
        let jws = Jws::parse(text, LONGEST_BODY).map_err(|error| error.detail().to_owned())?;
        // RFC 8725 section 3.11: the type keeps other tokens of the issuer from being taken for a list.
        if jws.typ.as_deref() != Some(TYPE) {
            return Err(format!("its `typ` is not `{TYPE}`"));
        }
        if !self.algorithms.contains(&jws.algorithm) {
            return Err("its algorithm is not taken".to_owned());
        }
        self.keys
            .verify(&jws, now)
            .await
            .map_err(|error| match error {
                KeyError::Bad(reason) => reason.to_owned(),
                KeyError::Unknown => "its key is not known".to_owned(),
                KeyError::Unavailable(reason) => reason,
            })?;
        self.list(&jws.claims, uri, now)
    }

    fn list(&self, claims: &Map<String, Value>, uri: &str, now: Timestamp) -> Result<List, String> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // A list signed for another place says nothing about this one.
        if text("sub") != Some(uri) {
            return Err("its `sub` is not its address".to_owned());
        }
        if text("iss").is_some_and(|issuer| issuer != self.issuer) {
            return Err("its `iss` is another issuer".to_owned());
        }
        let date = |name| instant(claims, name).map_err(|error| error.detail().to_owned());
        let issued = date("iat")?.ok_or("it has no `iat`")?;
        if issued > later(now, self.leeway) {
            return Err("its `iat` is still to come".to_owned());
        }
        let expires = date("exp")?;
        if expires.is_some_and(|expires| now >= later(expires, self.leeway)) {
            return Err("it has expired".to_owned());
        }
        let mut rest = self.cache;
        if let Some(seconds) = claims.get("ttl").and_then(Value::as_u64) {
            rest = rest.min(Duration::from_secs(seconds));
        }
        // A list that were too old at once could never be used.
        let until = later(now, rest.max(SHORTEST));
        let until = expires.map_or(until, |expires| until.min(later(expires, self.leeway)));
        let list = claims.get("status_list").ok_or("it has no `status_list`")?;
        let bits = list.get("bits").and_then(Value::as_u64);
        let bits = match bits {
            Some(bits @ (1 | 2 | 4 | 8)) => bits as u8,
            _ => return Err("its `bits` is not 1, 2, 4 or 8".to_owned()),
        };
        let packed = list.get("lst").and_then(Value::as_str);
        let packed = packed.ok_or("it has no `lst`")?;
        let packed = decoded(packed, "lst").map_err(|error| error.detail().to_owned())?;
        let mut bytes = Vec::new();
        ZlibDecoder::new(packed.as_slice())
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|_| "its `lst` is not compressed by zlib")?;
        if bytes.len() as u64 > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        Ok(List { bits, bytes, until })
    }
}

impl List {
    fn standing(&self, reference: &Reference, until: Timestamp) -> TokenStatus {
        match self.status(reference.index) {
            Some(0) => TokenStatus::Valid(until),
            Some(status) => TokenStatus::Revoked(format!("its status is {status}")),
            None => {
                TokenStatus::Revoked("its place lies beyond the end of its status list".to_owned())
            }
        }
    }

    /// The status at a place; the first is in the lowest bits of the first byte.
    fn status(&self, index: u64) -> Option<u8> {
        let bit = index.checked_mul(u64::from(self.bits))?;
        let byte = *self.bytes.get(usize::try_from(bit / 8).ok()?)?;
        let mask = u8::MAX >> (8 - self.bits);
        Some((byte >> (bit % 8)) & mask)
    }
}

/// The claim `status.status_list`.
fn reference(claims: &Map<String, Value>) -> Result<Option<Reference>, &'static str> {
    let Some(list) = claims
        .get("status")
        .and_then(|status| status.get("status_list"))
    else {
        return Ok(None);
    };
    let index = list.get("idx").and_then(Value::as_u64);
    let uri = list.get("uri").and_then(Value::as_str);
    match index.zip(uri) {
        Some((index, uri)) if uri.len() <= 2_048 => Ok(Some(Reference {
            uri: uri.to_owned(),
            index,
        })),
        _ => Err("its reference to a status list is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bits: u8, bytes: &[u8]) -> List {
        List {
            bits,
            bytes: bytes.to_vec(),
            until: Timestamp::from_millis(0),
        }
    }

    /// The examples of the specification, section 4.1.
    #[test]
    fn statuses_are_read_from_the_lowest_bit_on() {
        let one = list(1, &[0xb9, 0xa3]);
        let got: Vec<_> = (0..17).map(|at| one.status(at)).collect();
        let expect = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1];
        let expect: Vec<_> = expect.into_iter().map(Some).chain([None]).collect();
        assert_eq!(got, expect);
        let two = list(2, &[0xc9, 0x44, 0xf9]);
        let got: Vec<_> = (0..12).filter_map(|at| two.status(at)).collect();
        assert_eq!(got, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
        assert_eq!(list(8, &[7, 9]).status(1), Some(9));
        assert_eq!(list(4, &[0x21]).status(1), Some(2));
        assert_eq!(list(8, &[7]).status(u64::MAX), None);
    }
}
