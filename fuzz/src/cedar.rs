//! Cedar's authorizer by itself: what it is given was read by none of Deodar's code, and once for a whole set.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use deodar::cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression as Expression, SlotId,
    Template,
};
use deodar::{Cause, PolicyErrorCode};
use serde_json::{Map, Value};

use crate::differential::Answer;
use crate::random::Ask;

/// A set of policies and entities as Cedar holds them.
#[derive(Default)]
pub(crate) struct Cedar {
    policies: PolicySet,
    entities: Entities,
}

impl Cedar {
    /// Takes a policy or template under this id, and the template's links; whether Cedar can parse it.
    pub(crate) fn take(&mut self, id: &str, text: &str, links: &[Value]) -> bool {
        let id = PolicyId::new(id);
        if let Ok(policy) = Policy::parse(Some(id.clone()), text) {
            return self.policies.add(policy).is_ok();
        }
        let Ok(template) = Template::parse(Some(id.clone()), text) else {
            return false;
        };
        self.policies.add_template(template).expect("a new id");
        for link in links {
            let slot = |(name, slot): (&str, SlotId)| {
                let uid = EntityUid::from_str(link["args"][name].as_str()?).expect("an entity");
                Some((slot, uid))
            };
            let slots = [
                ("?principal", SlotId::principal()),
                ("?resource", SlotId::resource()),
            ];
            let slots = slots.into_iter().filter_map(slot).collect();
            let link = PolicyId::new(link["link_id"].as_str().expect("a text"));
            let linked = self.policies.link(id.clone(), link, slots);
            linked.expect("all slots have their values");
        }
        true
    }

    /// Stores entities.
    pub(crate) fn store<'a>(&mut self, entities: impl Iterator<Item = &'a Value>) {
        self.entities =
            Entities::from_entities(entities.map(entity), None).expect("entities without cycles");
    }

    /// What is around a request: its entities stand over those that `stored` finds by `uid`.
    pub(crate) fn around<'a>(
        &self,
        context: &Value,
        entities: &[Value],
        stored: impl Fn(&Value) -> Option<&'a Value>,
    ) -> Around {
        let over = entities.iter().map(|json| match stored(&json["uid"]) {
            Some(stored) => entity(&merged(stored, json)),
            None => entity(json),
        });
        let over = (!entities.is_empty()).then(|| {
            let all = self.entities.clone().upsert_entities(over, None);
            all.expect("entities without cycles")
        });
        let context = Context::from_pairs(members(context));
        Around {
            context: context.expect("values that can be evaluated"),
            entities: over,
        }
    }

    /// Decides a request.
    pub(crate) fn decide(&self, ask: &Ask, around: &Around) -> Answer {
        let [principal, action, resource] = [&ask.principal, &ask.action, &ask.resource]
            .map(|text| VALUES.with_borrow_mut(|values| values.parsed(text)));
        let request = Request::new(principal, action, resource, around.context.clone(), None);
        let request = request.expect("no schema to fit");
        let entities = around.entities.as_ref().unwrap_or(&self.entities);
        let response = Authorizer::new().is_authorized(&request, &self.policies, entities);
        let diagnostics = response.diagnostics();
        let reasons = diagnostics.reason();
        let mut determining: Vec<String> = reasons.map(ToString::to_string).collect();
        determining.sort();
        let errors = diagnostics.errors();
        let errors = errors.map(|AuthorizationError::PolicyEvaluationError(error)| {
            let code = PolicyErrorCode::from(error.inner());
            (error.policy_id().to_string(), code.to_string())
        });
        let mut errors: Vec<_> = errors.collect();
        errors.sort();
        Answer {
            cause: match response.decision() {
                Decision::Allow => Cause::Permitted,
                Decision::Deny if determining.is_empty() => Cause::NotPermitted,
                Decision::Deny => Cause::Forbidden,
            },
            determining,
            errors,
        }
    }
}

/// Context of a request, and all entities where it brings some.
pub(crate) struct Around {
    context: Context,
    entities: Option<Entities>,
}

/// An entity of a request over the stored one of its id: it replaces attributes and tags by their names, and
/// adds parents.
fn merged(stored: &Value, json: &Value) -> Value {
    let mut merged = stored.clone();
    for member in ["attrs", "tags"] {
        let (to, from) = (merged[member].as_object_mut(), json[member].as_object());
        to.expect("an object")
            .extend(from.expect("an object").clone());
    }
    let (to, from) = (merged["parents"].as_array_mut(), json["parents"].as_array());
    to.expect("an array")
        .extend_from_slice(from.expect("an array"));
    merged
}

/// What was parsed before: parsing the name of an entity or of a function costs more than deciding does.
#[derive(Default)]
struct Values {
    parsed: HashMap<String, EntityUid>,
    types: HashMap<String, EntityTypeName>,
    calls: HashMap<(String, String), Expression>,
}

thread_local! {
    static VALUES: RefCell<Values> = RefCell::default();
}

impl Values {
    /// An entity in Cedar's syntax.
    fn parsed(&mut self, text: &str) -> EntityUid {
        if let Some(known) = self.parsed.get(text) {
            return known.clone();
        }
        let uid = EntityUid::from_str(text).expect("an entity");
        self.parsed.insert(text.to_owned(), uid.clone());
        uid
    }

    fn type_name(&mut self, text: &str) -> EntityTypeName {
        if let Some(known) = self.types.get(text) {
            return known.clone();
        }
        let ty = EntityTypeName::from_str(text).expect("a type name");
        self.types.insert(text.to_owned(), ty.clone());
        ty
    }

    fn call(&mut self, function: &str, arg: &str) -> Expression {
        let key = (function.to_owned(), arg.to_owned());
        let known = self.calls.entry(key).or_insert_with(|| match function {
            "decimal" => Expression::new_decimal(arg),
            "datetime" => Expression::new_datetime(arg),
            "duration" => Expression::new_duration(arg),
            "ip" => Expression::new_ip(arg),
            other => panic!("the generator calls no `{other}`"),
        });
        known.clone()
    }
}

fn uid(json: &Value) -> EntityUid {
    let text = |name: &str| json[name].as_str().expect("a text");
    let ty = VALUES.with_borrow_mut(|values| values.type_name(text("type")));
    EntityUid::from_type_name_and_id(ty, EntityId::new(text("id")))
}

fn entity(json: &Value) -> Entity {
    let parents = json["parents"].as_array().expect("an array");
    let parents: HashSet<EntityUid> = parents.iter().map(uid).collect();
    let fields = |name: &str| members(&json[name]).collect::<HashMap<_, _>>();
    Entity::new_with_tags(uid(&json["uid"]), fields("attrs"), parents, fields("tags"))
        .expect("values that can be evaluated")
}

fn members(json: &Value) -> impl Iterator<Item = (String, Expression)> {
    let members = json.as_object().expect("an object").iter();
    members.map(|(name, value)| (name.clone(), expression(value)))
}

fn expression(json: &Value) -> Expression {
    match json {
        Value::Bool(value) => Expression::new_bool(*value),
        Value::Number(number) => Expression::new_long(number.as_i64().expect("a whole number")),
        Value::String(text) => Expression::new_string(text.clone()),
        Value::Array(items) => Expression::new_set(items.iter().map(expression)),
        Value::Object(object) => escaped(object).unwrap_or_else(|| {
            Expression::new_record(members(json)).expect("members with names of their own")
        }),
        Value::Null => panic!("the generator makes no null"),
    }
}

/// What an escape says, where the object is one.
fn escaped(object: &Map<String, Value>) -> Option<Expression> {
    if let Some(of) = object.get("__entity") {
        return Some(Expression::new_entity_uid(uid(of)));
    }
    let call = object.get("__extn")?;
    let text = |name: &str| call[name].as_str().expect("a text");
    Some(VALUES.with_borrow_mut(|values| values.call(text("fn"), text("arg"))))
}
