//! The declared types of a schema, read from its JSON form.
//!
//! Cedar's own resolved schema forgets the names of common types; injection needs to know that a
//! context member was declared as `Deodar::Env` and not merely alike.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ext::ExtFn;

/// Looked up for every request.
type HashMap<K, V> = std::collections::HashMap<K, V, crate::base::hash::Keyed>;

/// A declared type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Bool,
    Long,
    String,
    Set(Box<Type>),
    Record(BTreeMap<String, Member>),
    Entity(String),
    Extension(ExtFn),
    /// A common type, by its full name, and what it stands for.
    Common(String, Arc<Type>),
    /// Something that this model does not know; it never leads to a fault.
    Unknown,
}

/// The members of a record type that declares none.
static NO_MEMBERS: BTreeMap<String, Member> = BTreeMap::new();

impl Type {
    /// The type behind the names of common types.
    pub(crate) fn resolved(&self) -> &Self {
        let mut here = self;
        while let Self::Common(_, inner) = here {
            here = inner;
        }
        here
    }
}

/// A member of a record type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

/// What an action declares.
#[derive(Debug)]
pub(crate) struct ActionModel {
    pub(crate) principals: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) context: Type,
    /// Whether every type of the context is known, so that the context can be read by them.
    pub(crate) known: bool,
}

/// What an entity type declares.
#[derive(Debug)]
pub(crate) struct EntityModel {
    attrs: Type,
    pub(crate) tags: Option<Type>,
    /// The ids there are, in order, for an enumerated type.
    pub(crate) ids: Option<Vec<String>>,
    /// The types an entity of this type may have above it, at any distance.
    pub(crate) above: HashSet<String>,
    /// Whether everything declared is known, so that entities can be read by it.
    pub(crate) known: bool,
}

impl EntityModel {
    /// The declared attributes.
    pub(crate) fn attrs(&self) -> &BTreeMap<String, Member> {
        match self.attrs.resolved() {
            Type::Record(members) => members,
            _ => &NO_MEMBERS,
        }
    }
}

/// The declarations of all fragments.
#[derive(Debug, Default)]
pub(crate) struct Model {
    entities: HashMap<String, EntityModel>,
    /// By type, then by id.
    actions: HashMap<String, HashMap<String, ActionModel>>,
    oversized: Option<String>,
}

/// What a type may expand to when every common type in it is written out, as Cedar does: each of
/// twenty types that hold the next one twice doubles it.
const MAX_SIZE: usize = 100_000;
/// How deep declared types may nest before the model stops looking.
const MAX_DEPTH: usize = 64;

impl Model {
    /// From the JSON form of every fragment.
    pub(crate) fn new<'a>(fragments: impl Iterator<Item = &'a Value> + Clone) -> Self {
        let mut names = Names::default();
        for (namespace, body) in namespaces(fragments.clone()) {
            for name in members(body, "entityTypes").map(|(name, _)| name) {
                names.entities.insert(qualify(namespace, name));
            }
            for (name, definition) in members(body, "commonTypes") {
                names
                    .commons
                    .insert(qualify(namespace, name), (namespace, definition));
            }
        }
        let mut commons: Vec<_> = names.commons.keys().collect();
        commons.sort();
        for name in commons {
            names.common(name, MAX_DEPTH);
        }
        let mut actions: HashMap<String, HashMap<String, ActionModel>> = HashMap::default();
        let mut entities = HashMap::default();
        let mut parents: HashMap<String, Vec<String>> = HashMap::default();
        for (namespace, body) in namespaces(fragments) {
            for (name, declared) in members(body, "actions") {
                let of_type = actions.entry(qualify(namespace, "Action")).or_default();
                of_type.insert(name.to_owned(), names.action(namespace, declared));
            }
            for (name, declared) in members(body, "entityTypes") {
                let full = qualify(namespace, name);
                parents.insert(full.clone(), names.parents(namespace, declared));
                entities.insert(full, names.entity(namespace, declared));
            }
        }
        for (name, model) in &mut entities {
            let mut pending: Vec<&String> = parents.get(name).into_iter().flatten().collect();
            while let Some(parent) = pending.pop() {
                if model.above.insert(parent.clone()) {
                    pending.extend(parents.get(parent).into_iter().flatten());
                }
            }
        }
        let oversized = names.resolved.borrow();
        let oversized = oversized
            .iter()
            .filter(|(_, common)| common.size > MAX_SIZE);
        let oversized = oversized.map(|(name, _)| name.clone()).min();
        Self {
            entities,
            actions,
            oversized,
        }
    }

    /// A common type that expands beyond all measure.
    pub(crate) fn oversized(&self) -> Option<&str> {
        self.oversized.as_deref()
    }

    /// Whether the entity type is declared.
    pub(crate) fn has_entity_type(&self, name: &str) -> bool {
        self.entities.contains_key(name)
    }

    /// The declared entity type.
    pub(crate) fn entity(&self, name: &str) -> Option<&EntityModel> {
        self.entities.get(name)
    }

    /// The declared entity types.
    pub(crate) fn entity_types(&self) -> impl Iterator<Item = &str> {
        self.entities.keys().map(String::as_str)
    }

    /// The declared action of this type and id.
    pub(crate) fn action(&self, ty: &str, id: &str) -> Option<&ActionModel> {
        self.actions.get(ty)?.get(id)
    }

    /// The declared actions: type, id and declaration of each.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (&str, &str, &ActionModel)> {
        self.actions.iter().flat_map(|(ty, ids)| {
            ids.iter()
                .map(|(id, action)| (ty.as_str(), id.as_str(), action))
        })
    }
}

impl ActionModel {
    /// The declared context members; none where the context is no record.
    pub(crate) fn members(&self) -> &BTreeMap<String, Member> {
        match self.context.resolved() {
            Type::Record(members) => members,
            _ => &NO_MEMBERS,
        }
    }

    /// Whether the action declares the context member with exactly this common type.
    pub(crate) fn injects(&self, member: &str, common: &str) -> bool {
        matches!(self.members().get(member), Some(Member { ty: Type::Common(name, _), .. }) if name == common)
    }
}

/// The `commonTypes` of a namespace's JSON, without annotations.
pub(super) fn common_types(namespace: &Value) -> BTreeMap<String, Value> {
    fn strip(value: &Value) -> Value {
        match value {
            Value::Object(object) => Value::Object(
                object
                    .iter()
                    .filter(|(name, _)| *name != "annotations")
                    .map(|(name, value)| (name.clone(), strip(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }
    members(namespace, "commonTypes")
        .map(|(name, definition)| (name.to_owned(), strip(definition)))
        .collect()
}

#[derive(Default)]
struct Names<'a> {
    entities: HashSet<String>,
    commons: HashMap<String, (&'a str, &'a Value)>,
    resolved: RefCell<HashMap<String, Common>>,
}

/// A common type that was resolved.
#[derive(Clone)]
struct Common {
    ty: Arc<Type>,
    /// What it expands to.
    size: usize,
    known: bool,
}

impl Names<'_> {
    fn action(&self, namespace: &str, declared: &Value) -> ActionModel {
        let applies = declared.get("appliesTo");
        let types = |list: &str| {
            applies
                .and_then(|applies| applies.get(list)?.as_array())
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|name| self.entity_name(namespace, name))
                .collect()
        };
        let context = match applies.and_then(|applies| applies.get("context")) {
            Some(context) => self.ty(namespace, context, MAX_DEPTH),
            None => Type::Record(BTreeMap::new()),
        };
        ActionModel {
            principals: types("principalTypes"),
            resources: types("resourceTypes"),
            known: self.is_known_record(&context) && only(declared, ACTION_PARTS),
            context,
        }
    }

    fn parents(&self, namespace: &str, declared: &Value) -> Vec<String> {
        let listed = declared.get("memberOfTypes").and_then(Value::as_array);
        let names = listed.into_iter().flatten().filter_map(Value::as_str);
        names
            .map(|name| self.entity_name(namespace, name))
            .collect()
    }

    fn entity(&self, namespace: &str, declared: &Value) -> EntityModel {
        let attrs = match declared.get("shape") {
            Some(shape) => self.ty(namespace, shape, MAX_DEPTH),
            None => Type::Record(BTreeMap::new()),
        };
        let tags = declared.get("tags");
        let tags = tags.map(|tags| self.ty(namespace, tags, MAX_DEPTH));
        let ids = declared.get("enum").and_then(Value::as_array);
        let ids = ids.map(|ids| {
            let texts = ids.iter().filter_map(Value::as_str);
            let mut ids: Vec<String> = texts.map(str::to_owned).collect();
            ids.sort_unstable();
            ids
        });
        let known = self.is_known_record(&attrs)
            && tags.as_ref().is_none_or(|tags| self.is_known(tags))
            && only(declared, ENTITY_PARTS);
        EntityModel {
            attrs,
            tags,
            ids,
            above: HashSet::new(),
            known,
        }
    }

    fn is_known_record(&self, ty: &Type) -> bool {
        matches!(ty.resolved(), Type::Record(_)) && self.is_known(ty)
    }

    /// Whether everything in it is known.
    fn is_known(&self, ty: &Type) -> bool {
        match ty {
            Type::Unknown => false,
            Type::Set(element) => self.is_known(element),
            Type::Record(members) => members.values().all(|member| self.is_known(&member.ty)),
            Type::Common(name, _) => {
                let commons = self.resolved.borrow();
                commons.get(name).is_some_and(|common| common.known)
            }
            _ => true,
        }
    }

    fn entity_name(&self, namespace: &str, name: &str) -> String {
        let local = qualify(namespace, name);
        if self.entities.contains(&local) {
            local
        } else {
            name.to_owned()
        }
    }

    fn ty(&self, namespace: &str, declared: &Value, depth: usize) -> Type {
        let Some(kind) = declared.get("type").and_then(Value::as_str) else {
            return Type::Unknown;
        };
        if depth == 0 {
            return Type::Unknown;
        }
        let name = declared.get("name").and_then(Value::as_str);
        match (kind, name) {
            ("Boolean" | "Bool", _) => Type::Bool,
            ("Long", _) => Type::Long,
            ("String", _) => Type::String,
            ("Set", _) => Type::Set(Box::new(match declared.get("element") {
                Some(element) => self.ty(namespace, element, depth - 1),
                None => Type::Unknown,
            })),
            ("Record", _) if !is_open(declared) => Type::Record(
                members(declared, "attributes")
                    .map(|(name, member)| {
                        let required = member
                            .get("required")
                            .and_then(Value::as_bool)
                            .unwrap_or(true);
                        let ty = self.ty(namespace, member, depth - 1);
                        (name.to_owned(), Member { ty, required })
                    })
                    .collect(),
            ),
            ("Entity", Some(name)) => {
                let full = self.entity_name(namespace, name);
                if self.entities.contains(&full) {
                    Type::Entity(full)
                } else {
                    Type::Unknown
                }
            }
            ("Extension", Some(name)) => extension(name),
            ("EntityOrCommon", Some(name)) | (name, None) => self.named(namespace, name, depth - 1),
            _ => Type::Unknown,
        }
    }

    /// The common type of this name, resolved once.
    fn common(&self, full: &str, depth: usize) -> Option<Arc<Type>> {
        let (home, definition) = self.commons.get(full)?;
        if let Some(common) = self.resolved.borrow().get(full) {
            return Some(Arc::clone(&common.ty));
        }
        let ty = Arc::new(self.ty(home, definition, depth));
        let common = Common {
            size: self.size(&ty),
            known: self.is_known(&ty),
            ty: Arc::clone(&ty),
        };
        self.resolved.borrow_mut().insert(full.to_owned(), common);
        Some(ty)
    }

    fn size(&self, ty: &Type) -> usize {
        match ty {
            Type::Common(name, _) => {
                let commons = self.resolved.borrow();
                commons.get(name).map_or(1, |common| common.size)
            }
            Type::Set(element) => 1 + self.size(element),
            Type::Record(members) => members
                .values()
                .map(|member| self.size(&member.ty))
                .fold(1, usize::saturating_add),
            _ => 1,
        }
    }

    /// A name resolves within its namespace first, common types before entity types, then in the
    /// empty namespace (Cedar schema documentation, "type name resolution").
    fn named(&self, namespace: &str, name: &str, depth: usize) -> Type {
        for full in [qualify(namespace, name), name.to_owned()] {
            if let Some(inner) = self.common(&full, depth) {
                return Type::Common(full, inner);
            }
            if self.entities.contains(&full) {
                return Type::Entity(full);
            }
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Type::Bool,
            "Long" => Type::Long,
            "String" => Type::String,
            known => extension(known),
        }
    }
}

/// The parts of declarations that this model understands; with any other the whole is left to Cedar.
const ACTION_PARTS: &[&str] = &["appliesTo", "memberOf", "annotations"];
const ENTITY_PARTS: &[&str] = &["memberOfTypes", "shape", "tags", "enum", "annotations"];

fn only(declared: &Value, parts: &[&str]) -> bool {
    let found = declared.as_object().into_iter().flatten();
    found
        .filter(|(_, value)| !value.is_null())
        .all(|(name, _)| parts.contains(&name.as_str()))
}

fn is_open(record: &Value) -> bool {
    record
        .get("additionalAttributes")
        .is_some_and(|open| open != &Value::Bool(false))
}

/// The extension type of this name in schemas.
fn extension(name: &str) -> Type {
    match name {
        "ipaddr" => Type::Extension(ExtFn::Ip),
        "decimal" => Type::Extension(ExtFn::Decimal),
        "datetime" => Type::Extension(ExtFn::Datetime),
        "duration" => Type::Extension(ExtFn::Duration),
        _ => Type::Unknown,
    }
}

fn namespaces<'a>(
    fragments: impl Iterator<Item = &'a Value>,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    fragments
        .filter_map(Value::as_object)
        .flat_map(Map::iter)
        .map(|(namespace, body)| (namespace.as_str(), body))
}

fn members<'a>(body: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    body.get(list)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
        .map(|(name, value)| (name.as_str(), value))
}

fn qualify(namespace: &str, name: &str) -> String {
    if namespace.is_empty() || name.contains("::") {
        name.to_owned()
    } else {
        format!("{namespace}::{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_double_are_measured_without_being_written_out() {
        let types: Vec<_> = (0..40)
            .map(|n| format!("type A{n} = {{x: A{}, y: A{}}};", n + 1, n + 1))
            .collect();
        let text = format!("{} type A40 = Long;", types.join(" "));
        let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(&text).unwrap();
        let json = fragment.to_json_value().unwrap();
        assert!(Model::new([&json].into_iter()).oversized().is_some());
    }

    #[test]
    fn names_resolve_through_common_types_and_namespaces() {
        let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(
            "namespace D { type Env = {now: datetime}; }
             namespace W {
               entity User;
               type C = {env: D::Env, who: User, ok: __cedar::Bool, at?: Set<ipaddr>};
               action go appliesTo {principal: [User], resource: [User], context: C};
             }",
        )
        .unwrap();
        let json = fragment.to_json_value().unwrap();
        let model = Model::new([&json].into_iter());
        let action = model.action("W::Action", "go").unwrap();
        assert_eq!(action.principals, ["W::User"]);
        let Type::Record(context) = action.context.resolved() else {
            unreachable!("{:?}", action.context)
        };
        assert!(matches!(&context["env"].ty, Type::Common(name, _) if name == "D::Env"));
        assert_eq!(context["who"].ty, Type::Entity("W::User".to_owned()));
        assert_eq!(context["ok"].ty, Type::Bool);
        assert!(!context["at"].required);
        assert_eq!(
            context["at"].ty,
            Type::Set(Box::new(Type::Extension(ExtFn::Ip)))
        );
        assert!(action.injects("env", "D::Env"));
    }
}
