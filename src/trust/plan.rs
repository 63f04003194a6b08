//! The trust configuration in the numbers of one entity store, made when a state is published: a decision compares
//! numbers where a rule names actions, roles and attributes.

use std::ops::Deref;
use std::sync::Arc;

use super::compiled::{Classification, Trust, compliance_bit};
use super::config::Enforcement;
use crate::base::caller::Caller;
use crate::base::entity_ref::EntityRef;
use crate::base::meter::Meter;
use crate::entities::{
    EntityStore, EntityVersion, Fields, Interning, Known, Pins, Sym, Uid, Value, field,
};
use crate::trust::model::Target;

/// A trust configuration over one store.
#[derive(Debug)]
pub(crate) struct TrustPlan {
    trust: Arc<Trust>,
    numbers: Numbers,
    _pins: Pins,
}

/// What the configuration names.
#[derive(Debug)]
struct Numbers {
    /// The actions of each rule of enforcement.
    enforce: Vec<Box<[Uid]>>,
    /// The actions of each rule of sensitivity.
    sensitivity: Vec<Box<[Uid]>>,
    /// The attributes of class and of compliance, of each rule of classification.
    classification: Vec<[Option<Sym>; 2]>,
    admin: Box<[Uid]>,
    privileged: Box<[Uid]>,
    mfa_enrolled: Option<Sym>,
    account_created: Option<Sym>,
}

/// A request as rules see it: its names, and what the store knows of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) names: [&'a EntityRef; 3],
    pub(crate) known: [Option<Known<'a>>; 3],
    pub(crate) version: &'a EntityVersion,
    /// What walks up the hierarchy are charged to.
    pub(crate) meter: &'a Meter,
}

impl Deref for TrustPlan {
    type Target = Trust;

    fn deref(&self) -> &Trust {
        &self.trust
    }
}

impl Numbers {
    fn new(trust: &Trust, symbols: &mut dyn Interning) -> Self {
        let parts = &trust.parts;
        let mut all = |entities: &[EntityRef]| {
            let entities = entities.iter();
            let numbers = entities.map(|entity| symbols.entity(entity.type_name(), entity.id()));
            numbers.collect::<Box<[Uid]>>()
        };
        let enforce = parts.enforce.iter().map(|rule| all(&rule.actions));
        let enforce = enforce.collect();
        let sensitivity = parts.sensitivity.iter().map(|rule| all(&rule.actions));
        let sensitivity = sensitivity.collect();
        let (admin, privileged) = (all(&parts.admin), all(&parts.privileged));
        let mut name = |name: &Option<String>| name.as_deref().map(|name| symbols.name(name));
        let classification = parts.classification.iter().map(|classification| {
            let rule = &classification.rule;
            [name(&rule.attribute), name(&rule.compliance_attribute)]
        });
        let classification = classification.collect();
        let attributes = &trust.config().attributes;
        Self {
            enforce,
            sensitivity,
            classification,
            admin,
            privileged,
            mfa_enrolled: name(&attributes.mfa_enrolled),
            account_created: name(&attributes.account_created),
        }
    }
}

impl TrustPlan {
    /// Gives what `trust` names its numbers in `store`.
    pub(crate) fn new(trust: Arc<Trust>, store: &EntityStore) -> Self {
        let (numbers, pins, _) = store.intern(|symbols| Numbers::new(&trust, symbols));
        Self {
            trust,
            numbers,
            _pins: pins,
        }
    }

    /// Whether the principal is an administrator, and whether it is privileged, by its stored roles.
    pub(crate) fn roles(&self, asked: &Asked<'_>) -> (bool, bool) {
        let [principal, _, _] = asked.known;
        let has = |roles| principal.is_some_and(|principal| asked.is_within(principal, roles));
        (has(&self.numbers.admin), has(&self.numbers.privileged))
    }

    /// Whether the principal has more than one authentication factor, as its stored entity says.
    pub(crate) fn mfa_enrolled<'a>(&self, principal: &'a Fields) -> Option<&'a Value> {
        field(principal, self.numbers.mfa_enrolled?)
    }

    /// When the principal's account was made, as its stored entity says.
    pub(crate) fn account_created<'a>(&self, principal: &'a Fields) -> Option<&'a Value> {
        field(principal, self.numbers.account_created?)
    }

    /// How an unmet floor of this request is handled: the first rule that fits says. A rule names a caller
    /// by its id. Where it names a maker of the caller, or the name of its API key, it can only make this
    /// stricter: neither copying a key nor choosing a name is a way out of a rule or into an exemption.
    pub(crate) fn mode(&self, caller: &Caller, asked: &Asked<'_>) -> Enforcement {
        let [principal, _, resource] = asked.names;
        let rule = |id: &str| {
            let rules = self.parts.enforce.iter().zip(&self.numbers.enforce);
            let mut rules = rules.map(|(enforce, actions)| (&enforce.rule, actions));
            let found = rules.find(|(rule, actions)| {
                one_of(&rule.callers, id)
                    && one_of(&rule.resource_types, resource.type_name())
                    && one_of(&rule.principal_types, principal.type_name())
                    && (actions.is_empty() || asked.is_action(actions))
            });
            found.map(|(rule, _)| rule)
        };
        let mode = rule(caller.id()).and_then(|rule| rule.mode);
        let mode = mode.unwrap_or(self.config().enforcement);
        let bound = caller.bound_as().filter_map(rule);
        let named = bound.filter(|rule| !rule.callers.is_empty());
        named
            .filter_map(|rule| rule.mode)
            .fold(mode, Enforcement::max)
    }

    /// What the request's resource and action demand, by the stored resource.
    pub(crate) fn target(&self, asked: &Asked<'_>) -> Target {
        let [_, _, resource] = asked.names;
        let levels = self.parts.sensitivity.iter().zip(&self.numbers.sensitivity);
        let levels = levels.filter(|(sensitivity, actions)| {
            one_of(&sensitivity.rule.resource_types, resource.type_name())
                && asked.is_action(actions)
        });
        let mut target = Target {
            base_level: levels.map(|(sensitivity, _)| sensitivity.rule.level).max(),
            ..Target::default()
        };
        let [_, _, stored] = asked.known.map(|known| known?.entity());
        let attribute = |name: Option<Sym>| field(stored?.attrs(), name?);
        let rules = self.parts.classification.iter();
        let rules = rules.zip(&self.numbers.classification);
        let mut compliance = 0;
        for (classification, [class, kind]) in rules {
            if classification.rule.resource_type != resource.type_name() {
                continue;
            }
            if target.classification.is_none() {
                let value = attribute(*class);
                target.classification = classification
                    .class
                    .or_else(|| value.and_then(|value| class_of(classification, value, asked)))
                    .or(classification.otherwise);
            }
            compliance |= classification.compliance;
            compliance |= attribute(*kind).map_or(0, kinds);
        }
        target.compliance = compliance.count_ones() as u8;
        target
    }
}

impl Asked<'_> {
    /// Whether the action is one of these, or in one of them.
    fn is_action(&self, actions: &[Uid]) -> bool {
        let [_, action, _] = self.known;
        action.is_some_and(|action| self.is_within(action, actions))
    }

    /// Whether the entity is one of these, or has one of them above it.
    fn is_within(&self, entity: Known<'_>, groups: &[Uid]) -> bool {
        let is_group = |above| groups.contains(&above);
        !groups.is_empty() && self.version.any_above(entity.uid, self.meter, is_group)
    }
}

/// The class that an attribute's value stands for.
fn class_of(
    classification: &Classification,
    value: &Value,
    Asked { version, .. }: &Asked<'_>,
) -> Option<u16> {
    let named = |text: &str| {
        let found = classification
            .values
            .iter()
            .find(|(value, _)| value == text);
        found.map(|(_, class)| *class)
    };
    match value {
        Value::Str(text) => named(text),
        Value::Entity(uid) => named(version.id_text(*uid)?.1),
        Value::Bool(flag) => named(if *flag { "true" } else { "false" }),
        Value::Long(number) => {
            let mut values = classification.values.iter();
            let is = |text: &str| text.parse::<i64>() == Ok(*number);
            values.find(|(value, _)| is(value)).map(|(_, class)| *class)
        }
        _ => None,
    }
}

/// The kinds of compliance that an attribute names.
fn kinds(value: &Value) -> u8 {
    match value {
        Value::Str(text) => compliance_bit(text).unwrap_or(0),
        Value::Set(set) => set
            .items()
            .iter()
            .map(kinds)
            .fold(0, |bits, bit| bits | bit),
        _ => 0,
    }
}

fn one_of(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == name)
}
