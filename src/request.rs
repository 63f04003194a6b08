//! Outside input to a typed [`Request`]: its shape, its limits, its inline entities.
//!
//! What enters: JSON bytes ([`Request::from_json`]) or values through [`Request::builder`]. What
//! leaves: a request whose members have the right shape. Whether its types and context fit the
//! schema is known only against a state, when it is decided. No I/O and no clock here.

mod context;
mod cursor;
mod error;
mod fast;
mod limits;
pub(crate) mod read;
mod signals;
mod trace;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::caller::{Caller, Scope};
use crate::base::entity_ref::{EntityRef, IntoEntityRef};
use crate::base::json::{pointer, without_mark};
use crate::base::timestamp::Timestamp;

use crate::base::json::InputFault;
pub(crate) use context::{Context, ContextValue};
pub use error::RequestError;
pub use limits::Limits;
pub use signals::{DeviceSignals, Signals};
pub(crate) use trace::TraceId;

/// Where to look up stored state about the client. It proves nothing by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Session id.
    pub session: Option<String>,
    /// Device id.
    pub device: Option<String>,
    /// IP address.
    pub ip: Option<std::net::IpAddr>,
    /// User agent.
    pub user_agent: Option<String>,
}

/// What the answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Purpose {
    /// The caller acts on the answer; it counts as behaviour of the principal.
    #[default]
    Enforce,
    /// A look ahead (which buttons to show); it counts as nothing.
    Probe,
}

/// One authorization request. Made by [`Request::builder`] or [`Request::from_json`].
///
/// ```
/// use deodar::{Caller, Limits, Request};
///
/// let body = br#"{
///     "principal": {"type": "User", "id": "ada"},
///     "action": "Action::\"read\"",
///     "resource": {"type": "Document", "id": "plan"},
///     "context": {"mfa": true}}"#;
/// let request = Request::from_json(body, &Limits::default(), Caller::library())?;
/// assert_eq!(request.principal().id(), "ada");
///
/// let faults = Request::from_json(b"{}", &Limits::default(), Caller::library()).unwrap_err();
/// assert_eq!(faults.faults().len(), 3); // principal, action, resource
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) principal: EntityRef,
    pub(crate) action: EntityRef,
    pub(crate) resource: EntityRef,
    pub(crate) context: Context,
    pub(crate) entities: Vec<Value>,
    /// What a verified token says of its principal; nothing a caller asserts.
    pub(crate) facts: Option<Arc<[Value]>>,
    /// How a verified token says that its principal was authenticated.
    pub(crate) authentication: Option<Box<Authentication>>,
    pub(crate) obligations: Vec<String>,
    pub(crate) client: Option<Box<Client>>,
    /// What the caller says of the circumstances; only from one that is believed.
    pub(crate) signals: Option<Box<Signals>>,
    pub(crate) purpose: Purpose,
    pub(crate) explain: bool,
    pub(crate) at_least: Option<u64>,
    pub(crate) request_id: Option<String>,
    /// For log lines.
    pub(crate) trace: Option<TraceId>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) caller: Caller,
}

/// How a principal was authenticated, as its verified token says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The class of the authentication (`acr`).
    pub acr: Option<String>,
    /// Its methods (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// When it was (`auth_time`).
    pub auth_time: Option<Timestamp>,
    /// When the token was issued (`iat`), which is not proof of when the principal was authenticated.
    pub issued_at: Option<Timestamp>,
    /// The session (`sid`).
    pub session: Option<String>,
    /// The token's own id (`jti`).
    pub token: Option<String>,
}

/// What a body of `POST /authorize` holds.
#[derive(Debug)]
pub(crate) enum Body {
    /// A request.
    Whole(Request),
    /// One whose principal a token names.
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "tokens are verified by the server")
    )]
    WithToken(Pending),
}

/// A request whose principal is not known yet.
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "tokens are verified by the server")
)]
pub(crate) struct Pending {
    token: String,
    /// With a principal that stands for none.
    request: Request,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("action", &self.request.action)
            .field("resource", &self.request.resource)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "server")]
impl Pending {
    /// The token, not verified.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The request of the token's principal.
    pub(crate) fn resolve(
        self,
        principal: EntityRef,
        facts: Arc<[Value]>,
        authentication: Authentication,
    ) -> Request {
        Request {
            principal,
            facts: Some(facts),
            authentication: Some(Box::new(authentication)),
            ..self.request
        }
    }
}

impl Request {
    /// Starts a request from principal, action and resource.
    #[must_use]
    pub fn builder() -> RequestBuilder {
        RequestBuilder::default()
    }

    /// Reads the JSON body of `POST /authorize` on behalf of `caller`.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] naming every fault by JSON pointer: not JSON, wrong types, missing,
    /// unknown or duplicate members, too deep, too many inline entities.
    pub fn from_json(body: &[u8], limits: &Limits, caller: Caller) -> Result<Self, RequestError> {
        match Self::body(body, limits, caller)? {
            Body::Whole(request) => Ok(request),
            Body::WithToken(_) => Err(RequestError::invalid(
                "/token",
                "no token issuer is configured; give `principal` instead",
            )),
        }
    }

    /// As [`Request::from_json`], where a `token` may stand in place of the principal.
    pub(crate) fn body(body: &[u8], limits: &Limits, caller: Caller) -> Result<Body, RequestError> {
        let body = without_mark(body);
        match fast::read(body, limits, &caller) {
            Some(body) => Ok(body),
            None => read::read(body, limits, caller),
        }
    }

    /// What a verified token says of the principal: entities that lie over the stored ones.
    pub(crate) fn facts(&self) -> &[Value] {
        self.facts.as_deref().unwrap_or_default()
    }

    /// As [`Request::from_json`], from a value that was read before.
    #[cfg(feature = "cli")]
    pub(crate) fn from_value(
        value: Value,
        limits: &Limits,
        caller: Caller,
    ) -> Result<Self, RequestError> {
        match read::from_value(value, limits, caller)? {
            Body::Whole(request) => Ok(request),
            Body::WithToken(_) => Err(RequestError::invalid(
                "/token",
                "tokens are verified by a server; give `principal` instead",
            )),
        }
    }

    /// Who wants to act.
    #[must_use]
    pub fn principal(&self) -> &EntityRef {
        &self.principal
    }

    /// What they want to do.
    #[must_use]
    pub fn action(&self) -> &EntityRef {
        &self.action
    }

    /// What they want to do it to.
    #[must_use]
    pub fn resource(&self) -> &EntityRef {
        &self.resource
    }

    /// Principal, action and resource.
    pub(crate) fn names(&self) -> [&EntityRef; 3] {
        [&self.principal, &self.action, &self.resource]
    }

    /// On whose behalf the request is decided.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The caller's own name for this request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Where to look up stored state about the client.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.client.as_deref()
    }

    /// What the caller says of the principal's account, device, place and network.
    #[must_use]
    pub fn signals(&self) -> Option<&Signals> {
        self.signals.as_deref()
    }

    /// How the principal was authenticated, where a verified token named it.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_deref()
    }

    /// What the answer is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether the answer should explain itself.
    #[must_use]
    pub fn explain(&self) -> bool {
        self.explain
    }

    /// The sequence of the state that the answer must not be older than.
    #[must_use]
    pub fn at_least(&self) -> Option<u64> {
        self.at_least
    }

    /// The request as the JSON body of `POST /authorize`; without the members that only an answer needs
    /// (`requestId`, `explain`, `atLeast`).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let entity = |entity: &EntityRef| json!({"type": entity.type_name(), "id": entity.id()});
        let mut body = json!({
            "principal": entity(&self.principal),
            "action": entity(&self.action),
            "resource": entity(&self.resource),
            "context": self.context,
        });
        for (member, list) in [
            ("entities", [self.facts(), &self.entities].concat()),
            (
                "obligations",
                self.obligations.iter().cloned().map(Value::from).collect(),
            ),
        ] {
            if !list.is_empty()
                && let Some(body) = body.as_object_mut()
            {
                body.insert(member.to_owned(), list.into());
            }
        }
        body
    }

    /// The same request decided for this instant.
    #[must_use]
    pub fn with_now(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }
}

/// Gathers a [`Request`]; faults are kept until [`RequestBuilder::build`] names them all.
///
/// ```
/// use deodar::Request;
///
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(r#"Action::"read""#)
///     .resource(("Document", "plan"))
///     .context_member("mfa", true)
///     .obligations(["log_access"]) // what this caller handles
///     .build()?;
/// assert_eq!(request.action().id(), "read");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct RequestBuilder {
    principal: Option<EntityRef>,
    action: Option<EntityRef>,
    resource: Option<EntityRef>,
    context: Context,
    entities: Vec<Value>,
    obligations: Vec<String>,
    client: Option<Client>,
    signals: Option<Box<Signals>>,
    authentication: Option<Authentication>,
    purpose: Purpose,
    explain: bool,
    at_least: Option<u64>,
    request_id: Option<String>,
    now: Option<Timestamp>,
    caller: Option<Caller>,
    faults: Vec<InputFault>,
}

impl RequestBuilder {
    fn entity_ref(&mut self, member: &str, value: impl IntoEntityRef) -> Option<EntityRef> {
        match value.into_entity_ref() {
            Ok(entity) => Some(entity),
            Err(fault) => {
                let fault = InputFault::new(format!("/{member}"), fault.detail);
                self.faults.push(fault);
                None
            }
        }
    }

    /// Who wants to act. Required.
    #[must_use]
    pub fn principal(mut self, value: impl IntoEntityRef) -> Self {
        self.principal = self.entity_ref("principal", value);
        self
    }

    /// What they want to do. Required.
    #[must_use]
    pub fn action(mut self, value: impl IntoEntityRef) -> Self {
        self.action = self.entity_ref("action", value);
        self
    }

    /// What they want to do it to. Required.
    #[must_use]
    pub fn resource(mut self, value: impl IntoEntityRef) -> Self {
        self.resource = self.entity_ref("resource", value);
        self
    }

    /// The whole context: anything that serializes to a JSON object, in Cedar's JSON form (entities
    /// as `{"__entity": {"type", "id"}}`, extension values as `{"__extn": {"fn", "arg"}}`, or as the
    /// schema implies).
    #[must_use]
    pub fn context(mut self, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Object(context)) => self.context = context.into(),
            Ok(_) => self
                .faults
                .push(InputFault::new("/context", "expected an object")),
            Err(error) => self
                .faults
                .push(InputFault::new("/context", error.to_string())),
        }
        self
    }

    /// One member of the context.
    #[must_use]
    pub fn context_member(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        match serde_json::to_value(value) {
            Ok(value) => {
                self.context.insert(&name, value);
            }
            Err(error) => self.faults.push(InputFault::new(
                pointer("/context", &name),
                error.to_string(),
            )),
        }
        self
    }

    /// An inline entity in Cedar's JSON form `{"uid", "attrs", "parents", "tags"}`; it overlays the
    /// stored entity of the same id, attribute by attribute, for this request.
    #[must_use]
    pub fn entity(mut self, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(mut value) => {
                read::without_nulls(&mut value);
                self.entities.push(value);
            }
            Err(error) => self.faults.push(InputFault::new(
                format!("/entities/{}", self.entities.len()),
                error.to_string(),
            )),
        }
        self
    }

    /// Names of obligations that the caller will discharge.
    #[must_use]
    pub fn obligations<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.obligations.extend(names.into_iter().map(Into::into));
        self
    }

    /// Where to look up stored state about the client.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// What is known of the circumstances. The caller needs [`Scope::AssertSignals`](crate::Scope).
    #[must_use]
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = Some(Box::new(signals));
        self
    }

    /// How the principal was authenticated, by a token that the embedding program has verified.
    #[must_use]
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// What the answer is for; [`Purpose::Enforce`] unless said.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// Asks for explanations in the answer.
    #[must_use]
    pub fn explain(mut self, explain: bool) -> Self {
        self.explain = explain;
        self
    }

    /// The sequence of the state that the answer must not be older than.
    #[must_use]
    pub fn at_least(mut self, sequence: u64) -> Self {
        self.at_least = Some(sequence);
        self
    }

    /// The caller's own name for this request.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The instant to decide for; the instant of the call to `authorize` unless said.
    #[must_use]
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// On whose behalf; [`Caller::library`] unless said.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// The request.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] naming everything that is missing or malformed.
    pub fn build(mut self) -> Result<Request, RequestError> {
        for (member, missing) in [
            ("principal", self.principal.is_none()),
            ("action", self.action.is_none()),
            ("resource", self.resource.is_none()),
        ] {
            let at = format!("/{member}");
            if missing && !self.faults.iter().any(|fault| fault.pointer == at) {
                self.faults.push(InputFault::new(at, "is required"));
            }
        }
        match (self.principal, self.action, self.resource) {
            (Some(principal), Some(action), Some(resource)) if self.faults.is_empty() => {
                let caller = self.caller.unwrap_or_else(Caller::library);
                if self.signals.is_some() && !caller.has(Scope::AssertSignals) {
                    return Err(RequestError::ScopeRequired {
                        caller: caller.name().to_owned(),
                        scope: Scope::AssertSignals.name(),
                        what: "member `signals`",
                    });
                }
                Ok(Request {
                    principal,
                    action,
                    resource,
                    context: self.context,
                    entities: self.entities,
                    facts: None,
                    authentication: self.authentication.map(Box::new),
                    obligations: self.obligations,
                    client: self.client.map(Box::new),
                    signals: self.signals,
                    purpose: self.purpose,
                    explain: self.explain,
                    at_least: self.at_least,
                    request_id: self.request_id,
                    trace: None,
                    now: self.now,
                    caller,
                })
            }
            _ => Err(RequestError::Invalid(self.faults)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_names_every_fault() {
        let error = Request::builder()
            .principal("alice")
            .resource(("not a type", "x"))
            .context(5)
            .build()
            .unwrap_err();
        let at: Vec<_> = error.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(at, ["/principal", "/resource", "/context", "/action"]);
    }

    #[test]
    fn entity_names_round_trip_through_cedar_syntax() {
        let entity = EntityRef::new("A::B", "quo\"te\n").unwrap();
        assert_eq!(entity.to_string().parse::<EntityRef>().unwrap(), entity);
    }
}
