//! The declared types of a schema, read from its JSON form.
//!
//! Cedar's own resolved schema forgets the names of common types; injection needs to know that a
//! context member was declared as `Deodar::Env` and not merely alike.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

/// A declared type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Bool,
    Long,
    String,
    Set(Box<Type>),
    Record(BTreeMap<String, Member>),
    Entity(String),
    Extension(String),
    /// A common type, by its full name, and what it stands for.
    Common(String, Arc<Type>),
    /// Something that this model does not know; it never leads to a fault.
    Unknown,
}

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
}

/// The declarations of all fragments.
#[derive(Debug, Default)]
pub(crate) struct Model {
    entity_types: HashSet<String>,
    actions: HashMap<String, ActionModel>,
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
        let mut actions = HashMap::new();
        for (namespace, body) in namespaces(fragments) {
            for (name, declared) in members(body, "actions") {
                let uid = format!(
                    "{}::\"{}\"",
                    qualify(namespace, "Action"),
                    name.escape_debug()
                );
                actions.insert(uid, names.action(namespace, declared));
            }
        }
        let mut commons: Vec<_> = names.commons.keys().collect();
        commons.sort();
        for name in commons {
            names.common(name, MAX_DEPTH);
        }
        let oversized = names.sizes.borrow();
        let oversized = oversized.iter().filter(|(_, (_, size))| *size > MAX_SIZE);
        let oversized = oversized.map(|(name, _)| name.clone()).min();
        Self {
            entity_types: names.entities,
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
        self.entity_types.contains(name)
    }

    /// The declared entity types.
    pub(crate) fn entity_types(&self) -> impl Iterator<Item = &str> {
        self.entity_types.iter().map(String::as_str)
    }

    /// The declared action of this id, such as `Ns::Action::"read"`.
    pub(crate) fn action(&self, uid: &str) -> Option<&ActionModel> {
        self.actions.get(uid)
    }

    /// The ids of the declared actions.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(String::as_str)
    }

    /// Whether the action declares the context member with exactly this common type.
    pub(crate) fn injects(&self, action: &str, member: &str, common: &str) -> bool {
        let Some(Type::Record(context)) = self.action(action).map(|a| a.context.resolved()) else {
            return false;
        };
        matches!(context.get(member), Some(Member { ty: Type::Common(name, _), .. }) if name == common)
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
    /// Common types that were resolved, with their sizes.
    sizes: RefCell<HashMap<String, (Arc<Type>, usize)>>,
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
        ActionModel {
            principals: types("principalTypes"),
            resources: types("resourceTypes"),
            context: match applies.and_then(|applies| applies.get("context")) {
                Some(context) => self.ty(namespace, context, MAX_DEPTH),
                None => Type::Record(BTreeMap::new()),
            },
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
            ("Record", _) => Type::Record(
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
            ("Entity", Some(name)) => Type::Entity(self.entity_name(namespace, name)),
            ("Extension", Some(name)) => Type::Extension(name.to_owned()),
            ("EntityOrCommon", Some(name)) | (name, None) => self.named(namespace, name, depth - 1),
            _ => Type::Unknown,
        }
    }

    /// The common type of this name, resolved once, and its size.
    fn common(&self, full: &str, depth: usize) -> Option<(Arc<Type>, usize)> {
        let (home, definition) = self.commons.get(full)?;
        if let Some(known) = self.sizes.borrow().get(full) {
            return Some(known.clone());
        }
        let ty = Arc::new(self.ty(home, definition, depth));
        let size = self.size(&ty);
        let known = (ty, size);
        self.sizes
            .borrow_mut()
            .insert(full.to_owned(), known.clone());
        Some(known)
    }

    fn size(&self, ty: &Type) -> usize {
        match ty {
            Type::Common(name, _) => self.sizes.borrow().get(name).map_or(1, |(_, size)| *size),
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
            if let Some((inner, _)) = self.common(&full, depth) {
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
            known @ ("ipaddr" | "decimal" | "datetime" | "duration") => {
                Type::Extension(known.to_owned())
            }
            _ => Type::Unknown,
        }
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
        let action = model.action(r#"W::Action::"go""#).unwrap();
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
            Type::Set(Box::new(Type::Extension("ipaddr".to_owned())))
        );
        assert!(model.injects(r#"W::Action::"go""#, "env", "D::Env"));
    }
}
