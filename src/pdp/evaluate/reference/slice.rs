//! The part of the entities that one request can reach.
//!
//! What enters: the stored entities, inline ones over them, and the names that a decision begins
//! with. What leaves: the entities reachable from those names over parents, attributes and tags; a
//! decision on them is the decision on all.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Entity, EntityTypeName, EntityUid, EvalResult, Policy, PrincipalConstraint,
    Request, ResourceConstraint,
};

use crate::base::meter::{BY_CEDAR, Meter};
use crate::entities::Exporter;

/// More entities than a slice may have, or more work than the request may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Entities reachable from the roots given so far; inline ones stand in place of stored ones.
#[derive(Debug)]
pub(crate) struct Slice<'a> {
    stored: Exporter<'a>,
    inline: HashMap<EntityUid, Entity>,
    visited: HashSet<EntityUid>,
    reached: HashMap<EntityUid, Entity>,
    most: usize,
    meter: &'a Meter,
    /// Inline entities among the reached ones.
    inlined: u64,
}

impl<'a> Slice<'a> {
    /// A slice of at most `most` entities; the inline ones are its first roots.
    pub(crate) fn new(
        stored: Exporter<'a>,
        inline: Vec<Entity>,
        most: usize,
        meter: &'a Meter,
    ) -> Result<Self, TooLarge> {
        let roots: Vec<EntityUid> = inline.iter().map(Entity::uid).collect();
        let mut slice = Self {
            stored,
            inline: inline.into_iter().map(|e| (e.uid(), e)).collect(),
            visited: HashSet::new(),
            reached: HashMap::new(),
            most,
            meter,
            inlined: 0,
        };
        slice.reach(roots)?;
        Ok(slice)
    }

    /// Adds what is reachable from `roots`.
    pub(crate) fn reach(
        &mut self,
        roots: impl IntoIterator<Item = EntityUid>,
    ) -> Result<(), TooLarge> {
        let mut pending: Vec<EntityUid> = roots.into_iter().collect();
        while let Some(uid) = pending.pop() {
            if self.visited.contains(&uid) {
                continue;
            }
            // Each is turned into Cedar's values, copied and looked through.
            if !self
                .meter
                .take(4 * BY_CEDAR * (1 + self.stored.weight(&uid)))
            {
                return Err(TooLarge);
            }
            let inline = self.inline.remove(&uid);
            self.inlined += u64::from(inline.is_some());
            let entity = inline.or_else(|| self.stored.stored(&uid));
            self.visited.insert(uid.clone());
            let Some(entity) = entity else { continue };
            let (_, _, parents) = entity.clone().into_inner();
            pending.extend(parents);
            let attributes = entity.attrs().filter_map(|(_, value)| value.ok());
            let tags = entity.tags().filter_map(|(_, value)| value.ok());
            for value in attributes.chain(tags) {
                collect(value, &mut pending);
            }
            self.reached.insert(uid, entity);
            if self.reached.len() > self.most {
                return Err(TooLarge);
            }
        }
        Ok(())
    }

    /// Adds what the policies name whose scope fits the request: nothing else of them is evaluated.
    pub(crate) fn reach_literals<'p>(
        &mut self,
        request: &Request,
        policies: impl Iterator<Item = &'p Policy>,
    ) -> Result<(), TooLarge> {
        let above = |uid: Option<&EntityUid>| uid.map(|uid| (uid.clone(), self.ancestors(uid)));
        let (principal, action, resource) = (
            above(request.principal()),
            above(request.action()),
            above(request.resource()),
        );
        let (Some(principal), Some(action), Some(resource)) = (principal, action, resource) else {
            return Ok(());
        };
        let fits = |policy: &Policy| {
            let under = |(_, above): &Above, target: &EntityUid| above.contains(target);
            let is = |(uid, _): &Above, ty: &EntityTypeName| uid.type_name() == ty;
            let by_principal = match policy.principal_constraint() {
                PrincipalConstraint::Any => true,
                PrincipalConstraint::Eq(uid) => principal.0 == uid,
                PrincipalConstraint::In(uid) => under(&principal, &uid),
                PrincipalConstraint::Is(ty) => is(&principal, &ty),
                PrincipalConstraint::IsIn(ty, uid) => {
                    is(&principal, &ty) && under(&principal, &uid)
                }
            };
            by_principal
                && match policy.action_constraint() {
                    ActionConstraint::Any => true,
                    ActionConstraint::Eq(uid) => action.0 == uid,
                    ActionConstraint::In(uids) => uids.iter().any(|uid| under(&action, uid)),
                }
                && match policy.resource_constraint() {
                    ResourceConstraint::Any => true,
                    ResourceConstraint::Eq(uid) => resource.0 == uid,
                    ResourceConstraint::In(uid) => under(&resource, &uid),
                    ResourceConstraint::Is(ty) => is(&resource, &ty),
                    ResourceConstraint::IsIn(ty, uid) => {
                        is(&resource, &ty) && under(&resource, &uid)
                    }
                }
        };
        let mut named: HashSet<EntityUid> = HashSet::new();
        for policy in policies {
            if !self.meter.take(BY_CEDAR / 4) {
                return Err(TooLarge);
            }
            if fits(policy) {
                let literals = policy.entity_literals();
                if !self.meter.take(BY_CEDAR * (8 + literals.len() as u64)) {
                    return Err(TooLarge);
                }
                named.extend(literals);
            }
        }
        self.reach(named)
    }

    /// The slice, if Cedar may close it: it lists the ancestors of every entity.
    pub(crate) fn closable(self) -> Result<Self, TooLarge> {
        let (meter, reached) = (self.meter, self.reached.len() as u64);
        let stored = self.stored;
        let listed = self.reached.keys().all(|uid| {
            let above = stored.find(uid).map(|uid| stored.version.above(uid, meter));
            meter.take(above.map_or(0, |above| 4 * above.len() as u64))
        });
        if listed && meter.take(self.inlined.saturating_mul(reached)) {
            Ok(self)
        } else {
            Err(TooLarge)
        }
    }

    /// The entities.
    pub(crate) fn into_entities(self) -> impl Iterator<Item = Entity> {
        self.reached.into_values()
    }

    /// `uid` and all that is above it.
    fn ancestors(&self, uid: &EntityUid) -> HashSet<EntityUid> {
        let mut found = HashSet::from([uid.clone()]);
        let mut pending = vec![uid.clone()];
        while let Some(uid) = pending.pop() {
            let Some(entity) = self.reached.get(&uid) else {
                continue;
            };
            let (_, _, parents) = entity.clone().into_inner();
            for parent in parents {
                if found.insert(parent.clone()) {
                    pending.push(parent);
                }
            }
        }
        found
    }
}

/// An entity, and itself with all that is above it.
type Above = (EntityUid, HashSet<EntityUid>);

/// The entities named anywhere in a value.
fn collect(value: EvalResult, found: &mut Vec<EntityUid>) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            EvalResult::EntityUid(uid) => found.push(uid),
            EvalResult::Set(set) => pending.extend(set.iter().cloned()),
            EvalResult::Record(record) => {
                pending.extend(record.iter().map(|(_, value)| value.clone()));
            }
            _ => {}
        }
    }
}

/// The entities that JSON may name: every object with a `type` and an `id` in it. Naming too many is
/// harmless.
pub(crate) fn named_in(json: &serde_json::Value, found: &mut Vec<EntityUid>) {
    let mut pending = vec![json];
    while let Some(value) = pending.pop() {
        match value {
            serde_json::Value::Object(object) => {
                let text = |member: &str| object.get(member).and_then(serde_json::Value::as_str);
                if let (Some(ty), Some(id)) = (text("type"), text("id"))
                    && let Ok(ty) = ty.parse()
                {
                    let id = cedar_policy::EntityId::new(id);
                    found.push(EntityUid::from_type_name_and_id(ty, id));
                }
                pending.extend(object.values());
            }
            serde_json::Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entities::{Batch, EntityStore};

    #[test]
    fn everything_reachable_and_nothing_else() {
        let entity = |id: &str, attrs: serde_json::Value, parents: &[&str]| {
            let parents: Vec<_> = parents
                .iter()
                .map(|id| json!({"type": "E", "id": id}))
                .collect();
            json!({"uid": {"type": "E", "id": id}, "attrs": attrs, "parents": parents})
        };
        let to = |id: &str| json!({"__entity": {"type": "E", "id": id}});
        let stored = json!([
            entity("a", json!({"deep": [{"x": to("b")}]}), &["p"]),
            entity("b", json!({}), &[]),
            entity("p", json!({}), &["g"]),
            entity("g", json!({"owner": to("o")}), &[]),
            entity("o", json!({}), &[]),
            entity("far", json!({"back": to("a")}), &["g"]),
        ]);
        let mut batch = Batch::new();
        batch.upsert_json(stored.as_array().unwrap()).unwrap();
        let version = EntityStore::new().apply(&batch).unwrap();
        let stored = Exporter {
            version: &version,
            locals: None,
        };
        let inline =
            Entity::from_json_value(entity("b", json!({"to": to("missing")}), &["far"]), None);
        let meter = Meter::new(u64::MAX);
        let root = |id: &str| format!("E::\"{id}\"").parse::<EntityUid>().unwrap();
        let ids = |inline: Vec<Entity>| {
            let mut slice = Slice::new(stored, inline, 10, &meter).unwrap();
            slice.reach([root("a")]).unwrap();
            let mut ids: Vec<_> = slice
                .into_entities()
                .map(|e| e.uid().id().unescaped().to_owned())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(Vec::new()), ["a", "b", "g", "o", "p"]);
        assert_eq!(ids(vec![inline.unwrap()]), ["a", "b", "far", "g", "o", "p"]);
        let mut named = Vec::new();
        named_in(
            &json!({"x": [{"type": "E", "id": "a"}, to("b")]}),
            &mut named,
        );
        assert_eq!(named.len(), 2);
    }
}
