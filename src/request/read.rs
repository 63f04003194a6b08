//! The JSON body of `POST /authorize` to a [`Request`], every fault named by pointer.

use serde_json::{Map, Value};

use super::signals::Signals;
use super::{Body, Client, Limits, Pending, Purpose, Request, RequestError};
use crate::base::caller::{Caller, Scope};
use crate::base::entity_ref::EntityRef;
use crate::base::json;
use crate::base::json::{
    InputFault, MAX_FAULTS, drop_nulls, kind, pointer, shown, unknown_members,
};

const MEMBERS: &[&str] = &[
    "requestId",
    "principal",
    "token",
    "action",
    "resource",
    "context",
    "client",
    "entities",
    "signals",
    "obligations",
    "explain",
    "purpose",
    "atLeast",
];
const CLIENT_MEMBERS: &[&str] = &["session", "device", "ip", "userAgent"];

/// Longest `requestId`, in bytes: it is echoed in a header and in every record.
pub(super) const MAX_REQUEST_ID: usize = 128;
/// Longest member of `client`, in bytes.
const MAX_CLIENT_TEXT: usize = 1_024;
/// Most obligation names a request may list.
const MAX_OBLIGATIONS: usize = 100;

/// Longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN: usize = 16 << 10;

/// What stands for a principal that a token names, until the token is verified.
pub(super) fn nobody() -> Option<EntityRef> {
    EntityRef::of("Nobody", "").ok()
}

pub(super) fn read(body: &[u8], limits: &Limits, caller: Caller) -> Result<Body, RequestError> {
    let value = json::read(body, limits.json_depth).map_err(RequestError::Invalid)?;
    from_value(value, limits, caller)
}

pub(super) fn from_value(
    value: Value,
    limits: &Limits,
    caller: Caller,
) -> Result<Body, RequestError> {
    let Value::Object(mut members) = value else {
        return Err(RequestError::invalid(
            "",
            format!("expected an object, found {}", kind(&value)),
        ));
    };
    // Clients write `null` for what they leave empty. One that is required is missing then.
    drop_nulls(&mut members, MEMBERS);
    let mut reader = Reader {
        members,
        faults: Vec::new(),
    };
    reader.refuse_unknown();
    let token = reader.token();
    let principal = match token {
        Some(_) => nobody(),
        None => reader.principal(),
    };
    let action = reader.entity("action");
    let resource = reader.entity("resource");
    let context = reader.object("context").unwrap_or_default().into();
    let client = reader.client().map(Box::new);
    let entities = reader.entities(limits);
    let signals = reader.signals();
    let obligations = reader.obligations();
    let explain = reader.boolean("explain");
    let purpose = reader.purpose();
    let at_least = reader.at_least();
    let request_id = reader.request_id();
    match (principal, action, resource) {
        (Some(principal), Some(action), Some(resource)) if reader.faults.is_empty() => {
            require_scopes(&caller, signals.is_some(), explain)?;
            let request = Request {
                principal,
                action,
                resource,
                context,
                entities,
                facts: None,
                authentication: None,
                obligations,
                client,
                signals,
                purpose,
                explain,
                at_least,
                request_id,
                trace: None,
                now: None,
                caller,
            };
            Ok(match token {
                None => Body::Whole(request),
                Some(token) => Body::WithToken(Pending { token, request }),
            })
        }
        _ => {
            reader.faults.truncate(MAX_FAULTS);
            Err(RequestError::Invalid(reader.faults))
        }
    }
}

fn require_scopes(caller: &Caller, signals: bool, explain: bool) -> Result<(), RequestError> {
    let needs = [
        (signals, Scope::AssertSignals, "member `signals`"),
        (explain, Scope::Explain, "member `explain`"),
    ];
    for (asked, scope, what) in needs {
        if asked && !caller.has(scope) {
            return Err(RequestError::ScopeRequired {
                caller: caller.name().to_owned(),
                scope: scope.name(),
                what,
            });
        }
    }
    Ok(())
}

struct Reader {
    members: Map<String, Value>,
    faults: Vec<InputFault>,
}

impl Reader {
    fn fault(&mut self, at: impl Into<String>, detail: impl Into<String>) {
        self.faults.push(InputFault::new(at, detail));
    }

    fn wrong(&mut self, at: impl Into<String>, expected: &str, found: &Value) {
        self.fault(at, format!("expected {expected}, found {}", kind(found)));
    }

    fn refuse_unknown(&mut self) {
        let unknown = unknown_members(&self.members, MEMBERS, "");
        self.faults.extend(unknown);
    }

    /// A token in place of the principal.
    fn token(&mut self) -> Option<String> {
        let value = self.members.remove("token")?;
        if self.members.contains_key("principal") {
            self.members.remove("principal");
            self.fault("/token", "give either `token` or `principal`, not both");
        }
        let token = self.text("/token".to_owned(), value, MAX_TOKEN)?;
        if token.is_empty() {
            self.fault("/token", "is empty");
        }
        Some(token)
    }

    fn principal(&mut self) -> Option<EntityRef> {
        if let Some(Value::Object(object)) = self.members.get("principal")
            && object.contains_key("token")
        {
            self.fault(
                "/principal/token",
                "a token stands in place of the principal: give `token` and leave `principal` out",
            );
            return None;
        }
        self.entity("principal")
    }

    fn entity(&mut self, member: &str) -> Option<EntityRef> {
        let at = format!("/{member}");
        let Some(value) = self.members.remove(member) else {
            self.fault(at, "is required");
            return None;
        };
        match read_entity_ref(&value, &at) {
            Ok(entity) => Some(entity),
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    fn object(&mut self, member: &str) -> Option<Map<String, Value>> {
        match self.members.remove(member)? {
            Value::Object(object) => Some(object),
            other => {
                self.wrong(format!("/{member}"), "an object", &other);
                None
            }
        }
    }

    fn signals(&mut self) -> Option<Box<Signals>> {
        match Signals::read(self.object("signals")?, "/signals") {
            Ok(signals) => Some(Box::new(signals)),
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    fn boolean(&mut self, member: &str) -> bool {
        match self.members.remove(member) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(other) => {
                self.wrong(format!("/{member}"), "true or false", &other);
                false
            }
        }
    }

    fn text(&mut self, at: String, value: Value, longest: usize) -> Option<String> {
        match value {
            Value::String(text) if text.len() <= longest => Some(text),
            Value::String(_) => {
                self.fault(at, format!("longer than {longest} bytes"));
                None
            }
            other => {
                self.wrong(at, "a string", &other);
                None
            }
        }
    }

    fn client(&mut self) -> Option<Client> {
        let mut object = self.object("client")?;
        drop_nulls(&mut object, CLIENT_MEMBERS);
        let unknown = unknown_members(&object, CLIENT_MEMBERS, "/client");
        self.faults.extend(unknown);
        let mut take = |reader: &mut Self, name: &str| {
            object
                .remove(name)
                .and_then(|value| reader.text(format!("/client/{name}"), value, MAX_CLIENT_TEXT))
        };
        let session = take(self, "session");
        let device = take(self, "device");
        let user_agent = take(self, "userAgent");
        let ip = take(self, "ip").and_then(|text| match text.parse() {
            Ok(ip) => Some(ip),
            Err(_) => {
                self.fault(
                    "/client/ip",
                    format!("`{}` is not an IP address", shown(&text)),
                );
                None
            }
        });
        Some(Client {
            session,
            device,
            ip,
            user_agent,
        })
    }

    fn entities(&mut self, limits: &Limits) -> Vec<Value> {
        match self.members.remove("entities") {
            None => Vec::new(),
            Some(Value::Array(mut entities)) if entities.len() <= limits.inline_entities => {
                entities.iter_mut().for_each(without_nulls);
                entities
            }
            Some(Value::Array(entities)) => {
                self.fault(
                    "/entities",
                    format!(
                        "{} inline entities, the limit is {}",
                        entities.len(),
                        limits.inline_entities
                    ),
                );
                Vec::new()
            }
            Some(other) => {
                self.wrong("/entities", "an array", &other);
                Vec::new()
            }
        }
    }

    fn obligations(&mut self) -> Vec<String> {
        let names = match self.members.remove("obligations") {
            None => return Vec::new(),
            Some(Value::Array(names)) => names,
            Some(other) => {
                self.wrong("/obligations", "an array of names", &other);
                return Vec::new();
            }
        };
        if names.len() > MAX_OBLIGATIONS {
            self.fault("/obligations", format!("more than {MAX_OBLIGATIONS} names"));
            return Vec::new();
        }
        names
            .into_iter()
            .enumerate()
            .filter_map(|(n, name)| self.text(format!("/obligations/{n}"), name, MAX_REQUEST_ID))
            .collect()
    }

    fn purpose(&mut self) -> Purpose {
        match self.members.remove("purpose") {
            None => Purpose::Enforce,
            Some(Value::String(text)) if text == "enforce" => Purpose::Enforce,
            Some(Value::String(text)) if text == "probe" => Purpose::Probe,
            Some(_) => {
                self.fault("/purpose", "expected `enforce` or `probe`");
                Purpose::Enforce
            }
        }
    }

    fn at_least(&mut self) -> Option<u64> {
        let value = self.members.remove("atLeast")?;
        let sequence = value.as_u64();
        if sequence.is_none() {
            self.wrong(
                "/atLeast",
                "a state's sequence (a whole number from 0)",
                &value,
            );
        }
        sequence
    }

    fn request_id(&mut self) -> Option<String> {
        let value = self.members.remove("requestId")?;
        let id = self.text("/requestId".to_owned(), value, MAX_REQUEST_ID)?;
        if id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            Some(id)
        } else {
            self.fault("/requestId", "expected printable ASCII");
            None
        }
    }
}

/// Takes out what an inline entity leaves empty.
pub(super) fn without_nulls(entity: &mut Value) {
    if let Some(members) = entity.as_object_mut() {
        drop_nulls(members, &["attrs", "parents", "tags"]);
    }
}

/// Reads `{"type", "id"}` or `Type::"id"`.
pub(crate) fn read_entity_ref(value: &Value, at: &str) -> Result<EntityRef, Vec<InputFault>> {
    match value {
        Value::String(text) => text.parse::<EntityRef>().map_err(|fault| place(fault, at)),
        Value::Object(object) => {
            let mut faults = unknown_members(object, &["type", "id"], at);
            let mut member = |name: &str| match object.get(name) {
                Some(Value::String(text)) => Some(text.as_str()),
                Some(other) => {
                    faults.push(InputFault::new(
                        pointer(at, name),
                        format!("expected a string, found {}", kind(other)),
                    ));
                    None
                }
                None => {
                    faults.push(InputFault::new(pointer(at, name), "is required"));
                    None
                }
            };
            let (type_name, id) = (member("type"), member("id"));
            match (type_name, id) {
                (Some(type_name), Some(id)) if faults.is_empty() => EntityRef::new(type_name, id)
                    .map_err(|fault| place(fault, &pointer(at, "type"))),
                _ => Err(faults),
            }
        }
        other => Err(vec![InputFault::new(
            at,
            format!(
                "expected {{\"type\", \"id\"}} or `Type::\"id\"`, found {}",
                kind(other)
            ),
        )]),
    }
}

fn place(fault: InputFault, at: &str) -> Vec<InputFault> {
    vec![InputFault::new(at, fault.detail)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expect: &[&str]) {
        let error = read(body.as_bytes(), &Limits::default(), Caller::anonymous()).unwrap_err();
        let got: Vec<_> = error.faults().iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        check(
            r#"{"principal":{"type":"User","id":7,"name":1},"acton":"x","resource":"Doc::\"1\"",
                "context":[],"explain":"yes","purpose":"audit","atLeast":-1,"obligations":[1],
                "client":{"ip":"300.1.1.1","sesion":"x"}}"#,
            &[
                "/acton: unknown member `acton`; did you mean `action`?",
                "/principal/name: unknown member `name`; known are type, id",
                "/principal/id: expected a string, found a number",
                "/action: is required",
                "/context: expected an object, found an array",
                "/client/sesion: unknown member `sesion`; did you mean `session`?",
                "/client/ip: `300.1.1.1` is not an IP address",
                "/obligations/0: expected a string, found a number",
                "/explain: expected true or false, found a string",
                "/purpose: expected `enforce` or `probe`",
                "/atLeast: expected a state's sequence (a whole number from 0), found a number",
            ],
        );
    }

    #[test]
    fn what_is_not_an_object_is_said_to_be_none() {
        check("[]", &["expected an object, found an array"]);
        check(
            r#"{"principal":{"token":"x"},"action":"A::\"a\"","resource":"R::\"r\""}"#,
            &[
                "/principal/token: a token stands in place of the principal: give `token` and leave `principal` out",
            ],
        );
    }

    #[test]
    fn null_for_an_optional_member_is_no_member() {
        let caller = Caller::library;
        let names = r#""principal":"U::\"a\"","action":"A::\"a\"","resource":"R::\"r\"""#;
        let plain = read(
            format!("{{{names}}}").as_bytes(),
            &Limits::default(),
            caller(),
        );
        let plain = format!("{:?}", plain.unwrap());
        for member in MEMBERS {
            if ["principal", "action", "resource"].contains(member) {
                continue;
            }
            let body = format!("{{{names},\"{member}\":null}}");
            let read = read(body.as_bytes(), &Limits::default(), caller());
            assert_eq!(format!("{:?}", read.unwrap()), plain, "{member}");
        }
        let body = format!(
            r#"{{{names},"client":{{"ip":null,"device":null}},"signals":{{"risk":null,"device":{{"managed":null}}}},
            "entities":[{{"uid":{{"type":"U","id":"a"}},"attrs":null,"parents":null,"tags":null}}]}}"#
        );
        let Body::Whole(read) = read(body.as_bytes(), &Limits::default(), caller()).unwrap() else {
            unreachable!()
        };
        assert_eq!(read.client(), Some(&Client::default()));
        assert_eq!(read.entities[0].as_object().unwrap().len(), 1);
        check(
            r#"{"principal":null,"action":"A::\"a\"","resource":"R::\"r\"","nothing":null}"#,
            &[
                "/nothing: unknown member `nothing`; known are requestId, principal, token, action, resource, context, client, entities, signals, obligations, explain, purpose, atLeast",
                "/principal: is required",
            ],
        );
    }

    #[test]
    fn signals_and_explain_need_a_scope() {
        let body =
            br#"{"principal":"U::\"a\"","action":"A::\"a\"","resource":"R::\"r\"","signals":{}}"#;
        let error = read(body, &Limits::default(), Caller::anonymous()).unwrap_err();
        assert_eq!(error.code(), "scope_required");
        assert!(read(body, &Limits::default(), Caller::library()).is_ok());
    }
}
