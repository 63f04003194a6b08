//! What is known about each action before anybody asks for it: the types it takes, its context, and what the
//! decision point adds to the context.
//!
//! Enters: schema, settings and compiled policies. Leaves: the same in the numbers of the entity store, found by
//! the number of the action. A plan is made when a state is published and holds for all of its decisions.

use super::snapshot::Inject;
use super::{AUTH_FIELDS, AUTH_TYPE, ENV_FIELDS, ENV_TYPE, TRUST_FIELDS, TRUST_TYPE};
use crate::base::entity_ref::EntityRef;
use crate::engine::ContextReads;
use crate::entities::{EntityStore, Interning, Pins, Sym, Uid};
use crate::schema::{ActionModel, Member, Model, Type};

/// The plans of all actions.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order of the actions' numbers.
    actions: Vec<(Uid, ActionPlan)>,
    /// Of every other action.
    undeclared: ActionPlan,
    _pins: Pins,
}

/// What is known of one action.
#[derive(Debug, Default)]
pub(crate) struct ActionPlan {
    /// What the schema declares, where our own reader knows all of it.
    pub(crate) declared: Option<Declared>,
    pub(crate) injected: Injected,
}

/// Declared types, and the members of the context.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) principals: Box<[DeclaredType]>,
    pub(crate) resources: Box<[DeclaredType]>,
    /// In the order of names.
    members: Box<[DeclaredMember]>,
    /// Members that the caller must give.
    pub(crate) required: usize,
}

/// A type that an action takes.
#[derive(Debug)]
pub(crate) struct DeclaredType {
    pub(crate) ty: Sym,
    /// The ids there are, in order, for an enumerated type.
    ids: Option<Box<[String]>>,
}

/// A member of the context.
#[derive(Debug)]
pub(crate) struct DeclaredMember {
    name: Box<str>,
    pub(crate) sym: Sym,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// Whether a condition of a policy reads it.
    pub(crate) is_read: bool,
}

/// The type of a member: the commonest ones are read without a look at the schema.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    Long,
    String,
    Other(Type),
}

/// The context members that the decision point sets.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    /// `{now}`.
    pub(crate) env: Option<InjectedMember>,
    /// What the trust model says of the request.
    pub(crate) trust: Option<InjectedMember>,
    /// How the principal was authenticated.
    pub(crate) auth: Option<InjectedMember>,
}

/// A member that the decision point sets.
#[derive(Debug)]
pub(crate) struct InjectedMember {
    pub(crate) name: Box<str>,
    pub(crate) sym: Sym,
    /// Whether a condition of a policy reads it.
    pub(crate) is_read: bool,
    /// The fields that conditions read, in the order of their numbers, each with its position among the fields
    /// of the member's type.
    pub(crate) fields: Box<[(Sym, usize)]>,
}

impl Plan {
    /// Prepares all actions of `model`, for policies that read `reads`.
    pub(crate) fn new(
        model: Option<&Model>,
        inject: &Inject,
        reads: &ContextReads,
        store: &EntityStore,
    ) -> Self {
        let ((actions, undeclared), pins, _) = store.intern(|symbols| {
            let mut planner = Planner {
                inject,
                reads,
                symbols,
            };
            let mut actions: Vec<(Uid, ActionPlan)> = Vec::new();
            if let Some(model) = model {
                actions.extend(model.actions().map(|(ty, id, action)| {
                    let uid = planner.symbols.entity(ty, id);
                    (uid, planner.action(model, action))
                }));
            }
            actions.sort_unstable_by_key(|(uid, _)| *uid);
            let mut undeclared = ActionPlan::default();
            if model.is_none() && inject.without_schema {
                undeclared.injected = planner.injected(|_, _| true);
            }
            (actions, undeclared)
        });
        Self {
            actions,
            undeclared,
            _pins: pins,
        }
    }

    /// Whether a policy may see what the trust model says: an action has a member for it.
    pub(crate) fn asks_for_scores(&self) -> bool {
        let plans = self.actions.iter().map(|(_, plan)| plan);
        let mut injected = plans.chain([&self.undeclared]).map(|plan| &plan.injected);
        injected.any(|injected| injected.trust.is_some() || injected.auth.is_some())
    }

    /// The plan of an action, by its number if the store knows it.
    #[inline]
    pub(crate) fn of(&self, action: Option<Uid>) -> &ActionPlan {
        let known = action.and_then(|action| {
            let at = self.actions.binary_search_by_key(&action, |(uid, _)| *uid);
            self.actions.get(at.ok()?)
        });
        known.map_or(&self.undeclared, |(_, plan)| plan)
    }
}

/// How many members are looked at, one by one, before the search by halves.
const NEAR: usize = 4;

impl Declared {
    /// The declared member of this name; `next` is where it is expected, and then where the next one is.
    #[inline]
    pub(crate) fn member(&self, name: &str, next: &mut usize) -> Option<&DeclaredMember> {
        // Names of other lengths are told apart without a look at them.
        let near = *next..(*next + NEAR).min(self.members.len());
        for (at, member) in near.clone().zip(self.members.get(near)?) {
            if *member.name == *name {
                *next = at + 1;
                return Some(member);
            }
        }
        let at = self
            .members
            .binary_search_by(|member| (*member.name).cmp(name));
        *next = at.ok()? + 1;
        self.members.get(*next - 1)
    }

    /// How many members are declared.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }
}

impl DeclaredType {
    /// Whether an entity of this type is one.
    #[inline]
    pub(crate) fn takes(&self, ty: Sym, entity: &EntityRef) -> bool {
        let is_listed = |ids: &[String]| {
            let found = ids.binary_search_by(|known| known.as_str().cmp(entity.id()));
            found.is_ok()
        };
        self.ty == ty && self.ids.as_deref().is_none_or(is_listed)
    }
}

impl Injected {
    /// All of them.
    pub(crate) fn members(&self) -> impl Iterator<Item = &InjectedMember> {
        [&self.env, &self.trust, &self.auth].into_iter().flatten()
    }
}

struct Planner<'a, 's> {
    inject: &'a Inject,
    reads: &'a ContextReads,
    symbols: &'s mut dyn Interning,
}

impl Planner<'_, '_> {
    fn action(&mut self, model: &Model, action: &ActionModel) -> ActionPlan {
        let injected = self.injected(|member, ty| action.injects(member, ty));
        let declared = action
            .known
            .then(|| self.declared(model, action, &injected));
        ActionPlan { declared, injected }
    }

    fn declared(&mut self, model: &Model, action: &ActionModel, injected: &Injected) -> Declared {
        let members = action.members();
        let is_injected = |name: &str| injected.members().any(|member| *member.name == *name);
        let required = members
            .iter()
            .filter(|(name, member)| member.required && !is_injected(name));
        let required = required.count();
        Declared {
            principals: self.types(model, &action.principals),
            resources: self.types(model, &action.resources),
            members: members
                .iter()
                .map(|(name, member)| self.member(name, member))
                .collect(),
            required,
        }
    }

    fn types(&mut self, model: &Model, names: &[String]) -> Box<[DeclaredType]> {
        let declared = names.iter().filter_map(|name| {
            let ids = model.entity(name)?.ids.as_ref();
            Some(DeclaredType {
                ty: self.symbols.name(name),
                ids: ids.map(|ids| ids.clone().into()),
            })
        });
        declared.collect()
    }

    fn member(&mut self, name: &str, member: &Member) -> DeclaredMember {
        let sym = self.symbols.name(name);
        DeclaredMember {
            name: name.into(),
            sym,
            kind: match member.ty.resolved() {
                Type::Bool => Kind::Bool,
                Type::Long => Kind::Long,
                Type::String => Kind::String,
                other => Kind::Other(other.clone()),
            },
            required: member.required,
            is_read: self.reads.member(sym),
        }
    }

    fn injected(&mut self, is_wanted: impl Fn(&str, &str) -> bool) -> Injected {
        let inject = self.inject;
        let mut member = |name: &str, ty: &str, fields: &[&str]| {
            is_wanted(name, ty).then(|| {
                let sym = self.symbols.name(name);
                let fields = fields.iter().enumerate();
                let fields = fields.map(|(at, field)| (self.symbols.name(field), at));
                let mut fields: Vec<_> = fields
                    .filter(|(field, _)| self.reads.field(sym, *field))
                    .collect();
                fields.sort_unstable();
                InjectedMember {
                    name: name.into(),
                    sym,
                    is_read: self.reads.member(sym),
                    fields: fields.into(),
                }
            })
        };
        Injected {
            env: member(&inject.env, ENV_TYPE, &ENV_FIELDS),
            trust: member(&inject.trust, TRUST_TYPE, &TRUST_FIELDS),
            auth: member(&inject.auth, AUTH_TYPE, &AUTH_FIELDS),
        }
    }
}
