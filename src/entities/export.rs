//! What the store holds, as Cedar's own values: for the reference evaluator and for messages.

use super::locals::Locals;
use super::symbol::{Sym, Uid};
use super::value::{Fields, Value};
use super::version::{EntityRef, EntityVersion};
use crate::base::timestamp::Timestamp;
use cedar_policy::{
    Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Expression,
};
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

/// Turns numbers of a version, and of one request over it, back into Cedar's values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exporter<'a> {
    pub(crate) version: &'a EntityVersion,
    pub(crate) locals: Option<&'a Locals>,
}

impl Exporter<'_> {
    /// Cedar's form of an entity id; `None` for a number that nobody gave out.
    pub(crate) fn uid(&self, uid: Uid) -> Option<EntityUid> {
        let (ty, id) = match self.locals {
            Some(locals) if uid.is_local() => {
                let (ty, id) = locals.id(uid)?;
                (self.name(ty)?, id)
            }
            _ => self.version.id_text(uid)?,
        };
        let ty = EntityTypeName::from_str(ty).ok()?;
        Some(EntityUid::from_type_name_and_id(ty, EntityId::new(id)))
    }

    /// The number of one of Cedar's entity ids, if the store knows it.
    pub(crate) fn find(&self, uid: &EntityUid) -> Option<Uid> {
        self.version
            .find((&*uid.type_name().to_string(), uid.id().unescaped()))
    }

    /// The stored entity of this id.
    pub(crate) fn stored(&self, uid: &EntityUid) -> Option<Entity> {
        let uid = self.find(uid)?;
        self.entity(uid, self.version.entity(uid)?)
    }

    /// Whether stored entities have the entity of this id for a parent, stored or not.
    pub(crate) fn is_above(&self, uid: &EntityUid) -> bool {
        let uid = self.find(uid);
        uid.is_some_and(|uid| self.version.children(uid).next().is_some())
    }

    /// What the stored entity of this id weighs; nothing, where none is stored.
    pub(crate) fn weight(&self, uid: &EntityUid) -> u64 {
        let entity = self.find(uid).and_then(|uid| self.version.entity(uid));
        entity.map_or(0, |entity| entity.weight())
    }

    /// Cedar's form of an entity.
    pub(crate) fn entity(&self, uid: Uid, entity: EntityRef<'_>) -> Option<Entity> {
        let fields = |fields: &Fields| -> Option<HashMap<String, Expression>> {
            let each = fields.iter();
            each.map(|(name, value)| Some((self.name(*name)?.to_owned(), self.value(value)?)))
                .collect()
        };
        let parents: Option<HashSet<EntityUid>> =
            entity.parents().iter().map(|uid| self.uid(*uid)).collect();
        let (attrs, tags) = (fields(entity.attrs())?, fields(entity.tags())?);
        Entity::new_with_tags(self.uid(uid)?, attrs, parents?, tags).ok()
    }

    /// The stored entity in Cedar's JSON form with explicit escapes; the same for all that are equal.
    pub(crate) fn json(&self, uid: Uid) -> Option<Json> {
        let entity = self.version.entity(uid)?;
        let parents = entity.parents().iter().map(|uid| self.uid_json(*uid));
        let mut parents = parents.collect::<Option<Vec<Json>>>()?;
        parents.sort_by_cached_key(Json::to_string);
        let mut json = json!({
            "uid": self.uid_json(uid)?,
            "attrs": self.fields_json(entity.attrs())?,
            "parents": parents,
        });
        if let (Some(members), false) = (json.as_object_mut(), entity.tags().is_empty()) {
            members.insert("tags".to_owned(), self.fields_json(entity.tags())?);
        }
        Some(json)
    }

    fn uid_json(&self, uid: Uid) -> Option<Json> {
        let (ty, id) = self.version.id_text(uid)?;
        Some(json!({"type": ty, "id": id}))
    }

    fn fields_json(&self, fields: &Fields) -> Option<Json> {
        let member = |(name, value): &(Sym, Value)| {
            Some((self.name(*name)?.to_owned(), self.value_json(value)?))
        };
        let members: Option<serde_json::Map<_, _>> = fields.iter().map(member).collect();
        members.map(Json::Object)
    }

    fn value_json(&self, value: &Value) -> Option<Json> {
        let call = |function: &str, arg: String| json!({"__extn": {"fn": function, "arg": arg}});
        Some(match value {
            Value::Bool(value) => (*value).into(),
            Value::Long(value) => (*value).into(),
            Value::Str(text) => text.as_str().into(),
            Value::Entity(uid) => json!({"__entity": self.uid_json(*uid)?}),
            Value::Set(set) => {
                let items = set.items().iter().map(|item| self.value_json(item));
                let mut items = items.collect::<Option<Vec<Json>>>()?;
                // Entities are sorted by their numbers, which another store gives in another order.
                items.sort_by_cached_key(Json::to_string);
                items.into()
            }
            Value::Record(record) => self.fields_json(record.fields())?,
            Value::Decimal(parts) => call("decimal", decimal(*parts)),
            Value::Datetime(ms) => {
                let time = Timestamp::from_millis(*ms);
                if time.as_millis() == *ms {
                    call("datetime", time.to_string())
                } else {
                    // The text of a datetime ends with the year 9999; an offset reaches all of them.
                    let args = [
                        call("datetime", "1970-01-01".to_owned()),
                        call("duration", format!("{ms}ms")),
                    ];
                    json!({"__extn": {"fn": "offset", "args": args}})
                }
            }
            Value::Duration(ms) => call("duration", format!("{ms}ms")),
            Value::Ip(ip) => {
                let whole = if ip.addr.is_ipv4() { 32 } else { 128 };
                let text = if ip.prefix == whole {
                    ip.addr.to_string()
                } else {
                    format!("{}/{}", ip.addr, ip.prefix)
                };
                call("ip", text)
            }
        })
    }

    fn name(&self, name: Sym) -> Option<&str> {
        match self.locals {
            Some(locals) if name.is_local() => locals.name_text(name),
            _ => self.version.names.text(name),
        }
    }

    fn value(&self, value: &Value) -> Option<Expression> {
        Some(match value {
            Value::Bool(value) => Expression::new_bool(*value),
            Value::Long(value) => Expression::new_long(*value),
            Value::Str(text) => Expression::new_string(text.to_string()),
            Value::Entity(uid) => Expression::new_entity_uid(self.uid(*uid)?),
            Value::Set(set) => {
                let items = set.items().iter().map(|item| self.value(item));
                Expression::new_set(items.collect::<Option<Vec<_>>>()?)
            }
            Value::Record(record) => {
                let fields = record.fields().iter();
                let fields = fields
                    .map(|(name, value)| Some((self.name(*name)?.to_owned(), self.value(value)?)));
                Expression::new_record(fields.collect::<Option<Vec<_>>>()?).ok()?
            }
            Value::Decimal(parts) => Expression::new_decimal(decimal(*parts)),
            // The text of a datetime ends with the year 9999; an offset reaches all of them.
            Value::Datetime(ms) => {
                let text = format!("datetime(\"1970-01-01\").offset(duration(\"{ms}ms\"))");
                Expression::from_str(&text).ok()?
            }
            Value::Duration(ms) => Expression::new_duration(format!("{ms}ms")),
            Value::Ip(ip) => Expression::new_ip(format!("{}/{}", ip.addr, ip.prefix)),
        })
    }
}

fn decimal(parts: i64) -> String {
    let (whole, part) = (parts.unsigned_abs() / 10_000, parts.unsigned_abs() % 10_000);
    let sign = if parts < 0 { "-" } else { "" };
    format!("{sign}{whole}.{part:04}")
}
