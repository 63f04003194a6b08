//! Members of a JSON object, read one by one; every fault is noted with its JSON pointer.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::base::entity_ref::EntityRef;
use crate::base::json::{InputFault, MAX_FAULTS, kind, pointer, shown, unknown_members};
use crate::base::timestamp::Timestamp;
use crate::request::RequestError;
use crate::service::http::problem::Problem;

/// Longest id of a user, a session or a device, in bytes: the store keeps no longer ones.
pub(super) const LONGEST_ID: usize = 256;
/// Longest reason that is given for a change, in bytes.
pub(super) const LONGEST_REASON: usize = 1_024;

/// The members of one object that are left to read.
pub(super) struct Fields {
    at: String,
    members: Map<String, Value>,
    known: &'static [&'static str],
    faults: Vec<InputFault>,
}

impl Fields {
    /// The members of `value`, which stands at `at`; other members than `known` are faults.
    pub(super) fn of(
        value: Value,
        at: impl Into<String>,
        known: &'static [&'static str],
    ) -> Result<Self, Vec<InputFault>> {
        let at = at.into();
        match value {
            Value::Object(members) => Ok(Self {
                at,
                members,
                known,
                faults: Vec::new(),
            }),
            other => {
                let found = kind(&other);
                let detail = format!("expected an object, found {found}");
                Err(vec![InputFault::new(at, detail)])
            }
        }
    }

    fn place(&self, name: &str) -> String {
        pointer(&self.at, name)
    }

    /// Notes a fault of a member.
    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        let place = self.place(name);
        self.faults.push(InputFault::new(place, detail));
    }

    /// Notes a fault of the whole.
    pub(super) fn whole(&mut self, detail: &str) {
        self.faults.push(InputFault::new(&*self.at, detail));
    }

    fn wrong(&mut self, name: &str, expected: &str, found: &Value) {
        let found = kind(found);
        self.fault(name, format!("expected {expected}, found {found}"));
    }

    /// A member that is there and not `null`.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// A member that has to be there.
    pub(super) fn required(&mut self, name: &str) -> Option<Value> {
        let found = self.take(name);
        if found.is_none() {
            self.fault(name, "is required");
        }
        found
    }

    /// Puts a member back, to be read otherwise.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// Notes that a member is required, unless it is known already what is wrong with it.
    pub(super) fn missing(&mut self, name: &str) {
        let place = self.place(name);
        if !self.faults.iter().any(|f| f.pointer.starts_with(&place)) {
            self.faults.push(InputFault::new(place, "is required"));
        }
    }

    /// Whether no fault was noted so far.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// A text of a member that was taken out.
    pub(super) fn text_of(&mut self, name: &str, value: Value, longest: usize) -> Option<String> {
        match value {
            Value::String(text) if text.is_empty() => {
                self.fault(name, "is empty");
                None
            }
            Value::String(text) if text.len() > longest => {
                self.fault(name, format!("longer than {longest} bytes"));
                None
            }
            Value::String(text) => Some(text),
            other => {
                self.wrong(name, "a string", &other);
                None
            }
        }
    }

    pub(super) fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        let value = self.take(name)?;
        self.text_of(name, value, longest)
    }

    pub(super) fn required_text(&mut self, name: &str, longest: usize) -> Option<String> {
        let value = self.required(name)?;
        self.text_of(name, value, longest)
    }

    /// The id of a session or a device. It stands in logs and paths, so it has no control characters.
    pub(super) fn id(&mut self, name: &str) -> Option<String> {
        let id = self.text(name, LONGEST_ID)?;
        if id.chars().any(char::is_control) {
            self.fault(name, "has a control character");
            return None;
        }
        Some(id)
    }

    pub(super) fn required_id(&mut self, name: &str) -> Option<String> {
        let value = self.required(name)?;
        self.put(name, value);
        self.id(name)
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => {
                self.wrong(name, "true or false", &other);
                None
            }
        }
    }

    /// A whole number of 0 to `most`.
    pub(super) fn number(&mut self, name: &str, most: u8) -> Option<u8> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
        let fits = number.filter(|number| *number <= most);
        if fits.is_none() {
            self.fault(name, format!("expected a whole number from 0 to {most}"));
        }
        fits
    }

    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name, 64)?;
        match text.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                let detail = format!(
                    "`{}` is not a date and time such as 2026-03-10T10:00:00Z",
                    shown(&text)
                );
                self.fault(name, detail);
                None
            }
        }
    }

    pub(super) fn address(&mut self, name: &str) -> Option<IpAddr> {
        let text = self.text(name, 64)?;
        let parsed = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if parsed.is_none() {
            self.fault(name, format!("`{}` is not an IP address", shown(&text)));
        }
        parsed
    }

    /// `Type::"id"` or `{"type", "id"}`, in a member that was taken out.
    pub(super) fn entity_of(&mut self, name: &str, value: Value) -> Option<EntityRef> {
        let place = self.place(name);
        let read = match value {
            Value::String(text) => entity(text.parse(), &place),
            object @ Value::Object(_) => Self::of(object, place, &["type", "id"]).and_then(read),
            other => {
                self.wrong(name, "{\"type\", \"id\"} or `Type::\"id\"`", &other);
                return None;
            }
        };
        match read {
            Ok(entity) if entity.id().len() <= LONGEST_ID => Some(entity),
            Ok(_) => {
                self.fault(name, format!("its id is longer than {LONGEST_ID} bytes"));
                None
            }
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    pub(super) fn entity(&mut self, name: &str) -> Option<EntityRef> {
        let value = self.take(name)?;
        self.entity_of(name, value)
    }

    pub(super) fn required_entity(&mut self, name: &str) -> Option<EntityRef> {
        let value = self.required(name)?;
        self.entity_of(name, value)
    }

    /// One of several words.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        words: &str,
        of: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name, LONGEST_ID)?;
        let found = of(&text);
        if found.is_none() {
            let text = shown(&text);
            self.fault(name, format!("`{text}` is none of {words}"));
        }
        found
    }

    /// A list of words.
    pub(super) fn words<T>(
        &mut self,
        name: &str,
        words: &str,
        mut of: impl FnMut(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match self.take(name)? {
            Value::Array(items) => items,
            other => {
                self.wrong(name, "an array", &other);
                return None;
            }
        };
        let mut read = Vec::new();
        for (at, item) in items.iter().enumerate().take(MAX_FAULTS) {
            match item.as_str().and_then(&mut of) {
                Some(word) => read.push(word),
                None => {
                    let place = pointer(&self.place(name), &at.to_string());
                    let detail = format!("expected one of {words}");
                    self.faults.push(InputFault::new(place, detail));
                }
            }
        }
        if items.len() > MAX_FAULTS {
            self.fault(name, format!("more than {MAX_FAULTS}"));
        }
        Some(read)
    }

    /// The members of an object within.
    pub(super) fn object(&mut self, name: &str, known: &'static [&'static str]) -> Option<Self> {
        let value = self.take(name)?;
        match Self::of(value, self.place(name), known) {
            Ok(fields) => Some(fields),
            Err(faults) => {
                self.faults.extend(faults);
                None
            }
        }
    }

    /// Takes over the faults of an object within.
    pub(super) fn within(&mut self, inner: Self) {
        if let Err(faults) = inner.end() {
            self.faults.extend(faults);
        }
    }

    /// Everything was read: every fault, those of members that are not known among them.
    pub(super) fn end(mut self) -> Result<(), Vec<InputFault>> {
        let unknown = unknown_members(&self.members, self.known, &self.at);
        self.faults.extend(unknown);
        self.faults.truncate(MAX_FAULTS);
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(self.faults)
        }
    }
}

fn read(mut fields: Fields) -> Result<EntityRef, Vec<InputFault>> {
    let of = fields.required_text("type", LONGEST_ID);
    let id = match fields.required("id") {
        // An id may be any text, the empty one too.
        Some(Value::String(id)) => Some(id),
        Some(other) => {
            fields.wrong("id", "a string", &other);
            None
        }
        None => None,
    };
    let place = fields.place("type");
    fields.end()?;
    match of.zip(id) {
        Some((of, id)) => entity(EntityRef::of(&of, &id), &place),
        None => Err(Vec::new()),
    }
}

fn entity(read: Result<EntityRef, InputFault>, place: &str) -> Result<EntityRef, Vec<InputFault>> {
    read.map_err(|fault| vec![InputFault::new(place, fault.detail)])
}

/// The answer to a body with these faults.
pub(super) fn problem(faults: Vec<InputFault>) -> Problem {
    RequestError::Invalid(faults).into()
}
