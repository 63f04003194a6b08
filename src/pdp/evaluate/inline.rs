//! Inline entities by our own reader: laid over the stored ones in the engine's numbers.
//!
//! The rules are those of [`crate::pdp::evaluate::reference::inline`], which says what is wrong where this refuses.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::read::Refused;
use crate::base::caller::InlineRule;
use crate::base::meter::Meter;
use crate::entities::{
    EntityVersion, Fields, Locals, Overlay, RawValue, Record, RequestSymbols, Symbols, Typed, Uid,
    entity_ref, field, is_action,
};
use crate::pdp::evaluate::reference::inline::MEMBERS;
use crate::schema::EntityModel;

/// What inline entities are merged into, and by which rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge<'a> {
    pub(super) version: &'a EntityVersion,
    pub(super) typed: Option<Typed<'a>>,
    pub(super) parent_depth: usize,
    pub(super) meter: &'a Meter,
}

impl<'a> Merge<'a> {
    /// The overlay of these entities, each list by its own rule.
    pub(super) fn overlay(
        &self,
        given: [(&[Value], InlineRule); 2],
        locals: &mut Locals,
    ) -> Result<Overlay, Refused> {
        let mut symbols = RequestSymbols {
            version: self.version,
            locals,
        };
        let mut overlay = Overlay::begin(self.version);
        for (inline, rule) in given {
            if rule == InlineRule::Off && !inline.is_empty() {
                return Err(Refused);
            }
            for json in inline {
                self.add(json, rule, &mut symbols, &mut overlay)?;
            }
        }
        let checked = overlay.check(self.version, self.parent_depth, self.meter);
        checked.map(|()| overlay).map_err(|_| Refused)
    }

    fn add(
        &self,
        json: &Value,
        rule: InlineRule,
        symbols: &mut RequestSymbols<'_>,
        overlay: &mut Overlay,
    ) -> Result<(), Refused> {
        let object = json.as_object().ok_or(Refused)?;
        if object.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(Refused);
        }
        let (ty, id) = object.get("uid").and_then(strict_uid).ok_or(Refused)?;
        if is_action(ty) {
            return Err(Refused);
        }
        let declared = match self.typed {
            None => None,
            Some(typed) => {
                let entity = typed.model.entity(ty).filter(|entity| entity.known);
                let entity = entity.filter(|_| typed.is_declared(ty, id));
                Some((typed, entity.ok_or(Refused)?))
            }
        };
        let uid = symbols.entity(ty, id);
        let stored = self.version.entity(uid);
        // The stored fields are copied, and every declared attribute is asked for.
        let copied = stored.map_or(0, |stored| {
            stored.attrs().len() + stored.tags().len() + stored.parents().len()
        });
        let declares = declared.map_or(0, |(_, entity)| entity.attrs().len());
        if !self.meter.take((copied + declares) as u64) {
            return Err(Refused);
        }
        let none: &Fields = &[];
        let (stored_attrs, stored_tags) =
            stored.map_or((none, none), |entity| (entity.attrs(), entity.tags()));
        let attrs = members(object, "attrs", declared, symbols, |entity, name| {
            entity.attrs().get(name).map(|member| &member.ty)
        })?;
        let tags = members(object, "tags", declared, symbols, |entity, _| {
            entity.tags.as_ref()
        })?;
        if let (Some((_, entity)), None) = (declared, stored) {
            let mut required = entity.attrs().iter().filter(|(_, member)| member.required);
            if !required.all(|(name, _)| given(object, name)) {
                return Err(Refused);
            }
        }
        let parents = parents(object, declared, symbols)?;
        // What is not stored itself may be above what is.
        let is_above = || self.version.children(uid).next().is_some();
        if stored.is_none() && rule == InlineRule::Add && !parents.is_empty() && is_above() {
            return Err(Refused);
        }
        let mut all = parents.clone();
        if let Some(stored) = stored {
            if rule == InlineRule::Add {
                let changes = |new: &Fields, old: &Fields| {
                    let mut new = new.iter();
                    new.any(|(name, value)| field(old, *name).is_some_and(|old| old != value))
                };
                if changes(&attrs, stored_attrs) || changes(&tags, stored_tags) {
                    return Err(Refused);
                }
                if !self.are_above(&parents, uid, stored.parents()) {
                    return Err(Refused);
                }
            }
            all.extend(stored.parents());
        }
        let (attrs, tags) = (over(stored_attrs, attrs), over(stored_tags, tags));
        // The same entity twice is one, as in Cedar; two that differ are a fault.
        if overlay.insert(uid, attrs, tags, all) {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    /// Whether all of `parents` are above a stored entity already.
    fn are_above(&self, parents: &[Uid], uid: Uid, direct: &[Uid]) -> bool {
        let mut further = parents
            .iter()
            .filter(|parent| direct.binary_search(parent).is_err());
        let mut further = further.by_ref().peekable();
        if further.peek().is_none() {
            return true;
        }
        let above: HashSet<Uid> = self.version.above(uid, self.meter).into_iter().collect();
        further.all(|parent| above.contains(parent))
    }
}

/// The new fields over the old ones.
fn over(old: &Fields, new: Members) -> Record {
    Record::new(old.iter().cloned().chain(new).collect())
}

fn given(object: &Map<String, Value>, attr: &str) -> bool {
    let attrs = object.get("attrs").and_then(Value::as_object);
    attrs.is_some_and(|attrs| attrs.contains_key(attr))
}

/// Type and id of `{"type", "id"}` or `{"__entity": {"type", "id"}}`, and nothing else besides.
fn strict_uid(json: &Value) -> Option<(&str, &str)> {
    let object = json.as_object()?;
    let object = match object.get("__entity") {
        Some(inner) if object.len() == 1 => inner.as_object()?,
        _ => object,
    };
    let both = object.len() == 2 && object.contains_key("type") && object.contains_key("id");
    if both { entity_ref(json).ok() } else { None }
}

type Members = Vec<(crate::entities::Sym, crate::entities::Value)>;

fn members<'m>(
    object: &Map<String, Value>,
    member: &str,
    declared: Option<(Typed<'m>, &'m EntityModel)>,
    symbols: &mut RequestSymbols<'_>,
    ty: impl Fn(&'m EntityModel, &str) -> Option<&'m crate::schema::Type>,
) -> Result<Members, Refused> {
    let Some(values) = object.get(member) else {
        return Ok(Vec::new());
    };
    let values = values.as_object().ok_or(Refused)?;
    let mut read = Vec::with_capacity(values.len());
    for (name, json) in values {
        let value = match declared {
            None => RawValue::from_json(json),
            Some((typed, entity)) => typed.value(json, ty(entity, name).ok_or(Refused)?),
        };
        let value = value.map_err(|_| Refused)?.resolve(symbols);
        read.push((symbols.name(name), value));
    }
    Ok(read)
}

fn parents(
    object: &Map<String, Value>,
    declared: Option<(Typed<'_>, &EntityModel)>,
    symbols: &mut RequestSymbols<'_>,
) -> Result<Vec<Uid>, Refused> {
    let Some(listed) = object.get("parents") else {
        return Ok(Vec::new());
    };
    let mut parents = Vec::new();
    for parent in listed.as_array().ok_or(Refused)? {
        let (ty, id) = entity_ref(parent).map_err(|_| Refused)?;
        let fits = declared
            .is_none_or(|(typed, entity)| entity.above.contains(ty) && typed.is_declared(ty, id));
        if !fits {
            return Err(Refused);
        }
        parents.push(symbols.entity(ty, id));
    }
    Ok(parents)
}
