//! The store against a naive model: random batches, some of which must be refused as a whole.

use super::generate::Gen;
use super::harness::{compile, overlay};
use crate::engine::{Budget, EngineRequest, EvaluateError, Scratch, evaluate};
use crate::entities::{
    Batch, BatchError, EntityStore, EntityVersion, NewEntity, OverlayError, RawValue, Value,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Id = (String, String);

#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    /// Attribute value and parents.
    entities: BTreeMap<Id, (i64, BTreeSet<Id>)>,
}

impl Model {
    fn ancestors(&self, id: &Id) -> BTreeSet<Id> {
        let mut found: BTreeSet<Id> = [id.clone()].into();
        let mut waiting = vec![id.clone()];
        while let Some(next) = waiting.pop() {
            for parent in self
                .entities
                .get(&next)
                .into_iter()
                .flat_map(|(_, parents)| parents)
            {
                if found.insert(parent.clone()) {
                    waiting.push(parent.clone());
                }
            }
        }
        found
    }

    fn has_cycle(&self) -> bool {
        self.entities.iter().any(|(id, (_, parents))| {
            parents
                .iter()
                .any(|parent| self.ancestors(parent).contains(id))
        })
    }
}

fn id(g: &mut Gen, spread: usize) -> Id {
    (
        (*g.pick(&["User", "Group", "A::B"])).to_owned(),
        format!("{}", g.below(spread)),
    )
}

fn same(model: &Model, version: &EntityVersion, spread: usize) {
    assert_eq!(version.len(), model.entities.len());
    let name = |uid| {
        let (ty, id) = version.id_text(uid).unwrap();
        (ty.to_owned(), id.to_owned())
    };
    for ty in ["User", "Group", "A::B"] {
        for at in 0..spread {
            let id = (ty.to_owned(), at.to_string());
            let known = version.find((ty, &*id.1));
            let stored = known.and_then(|uid| version.entity(uid));
            assert_eq!(stored.is_some(), model.entities.contains_key(&id), "{id:?}");
            let named = stored.is_some()
                || model
                    .entities
                    .values()
                    .any(|(_, parents)| parents.contains(&id));
            assert_eq!(
                known.is_some(),
                named,
                "{id:?} is known exactly while something names it"
            );
            let Some(uid) = known else { continue };
            let children: BTreeSet<Id> = version.children(uid).map(name).collect();
            let expected = model
                .entities
                .iter()
                .filter(|(_, (_, parents))| parents.contains(&id))
                .map(|(id, _)| id.clone())
                .collect();
            assert_eq!(children, expected);
            if let (Some(entity), Some((value, parents))) = (stored, model.entities.get(&id)) {
                assert_eq!(
                    entity
                        .parents()
                        .iter()
                        .copied()
                        .map(name)
                        .collect::<BTreeSet<Id>>(),
                    *parents
                );
                assert_eq!(
                    entity
                        .attrs()
                        .iter()
                        .map(|(_, value)| value)
                        .collect::<Vec<_>>(),
                    [&Value::Long(*value)]
                );
                assert_eq!(
                    version
                        .above(uid, &crate::base::meter::Meter::new(u64::MAX))
                        .into_iter()
                        .chain([uid])
                        .map(name)
                        .collect::<BTreeSet<Id>>(),
                    model.ancestors(&id)
                );
            }
        }
        let of_type: BTreeSet<Id> = version
            .find_name(ty)
            .into_iter()
            .flat_map(|ty| version.of_type(ty))
            .map(name)
            .collect();
        assert_eq!(
            of_type,
            model
                .entities
                .keys()
                .filter(|(known, _)| known == ty)
                .cloned()
                .collect()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn batches_do_what_a_naive_model_does(seed in any::<u64>()) {
        let mut g = Gen::new(seed, 8);
        let spread = g.pick(&[3, 6, 40]);
        let store = EntityStore::new();
        let mut model = Model::default();
        let mut history = Vec::new();
        for _ in 0..30 {
            let mut next = model.clone();
            let mut batch = Batch::new();
            for _ in 0..1 + g.below(6) {
                let at = id(&mut g, spread);
                match g.below(4) {
                    0..3 => {
                        let parents: BTreeSet<Id> = (0..g.below(5)).map(|_| id(&mut g, spread)).collect();
                        let value = g.below(100) as i64;
                        let mut entity = NewEntity::new(&at.0, &at.1);
                        entity.parents = parents.iter().map(|(ty, id)| (ty.as_str().into(), id.as_str().into())).collect();
                        entity.attrs = vec![("n".into(), RawValue::Plain(Value::Long(value)))];
                        batch.upsert(entity);
                        next.entities.insert(at, (value, parents));
                    }
                    _ => {
                        batch.delete(&at.0, &at.1);
                        if next.entities.remove(&at).is_some() {
                            next.entities.values_mut().for_each(|(_, parents)| { parents.remove(&at); });
                        }
                    }
                }
            }
            match store.apply(&batch) {
                Ok(version) => {
                    prop_assert!(!next.has_cycle());
                    model = next;
                    same(&model, &version, spread);
                    history.push((version, model.clone()));
                }
                Err(BatchError::Cycle(..)) => prop_assert!(next.has_cycle()),
                Err(other) => prop_assert!(false, "{other}"),
            }
            same(&model, &store.version(), spread);
        }
        // What was published earlier has not changed since.
        for (version, model) in history.iter().step_by(5) {
            same(model, version, spread);
        }
    }
}

fn chain(store: &EntityStore, length: usize) {
    let mut batch = Batch::new();
    for at in 0..length {
        let mut entity = NewEntity::new("User", &at.to_string());
        entity.parents = vec![("User".into(), (at + 1).to_string().into())];
        batch.upsert(entity);
    }
    store.apply(&batch).unwrap();
}

#[test]
fn chains_of_any_length_neither_overflow_nor_escape_the_budget() {
    let store = EntityStore::new();
    chain(&store, 200_000);
    let set = "permit(principal in User::\"199999\", action, resource);"
        .parse()
        .unwrap();
    let policies = compile(&store, &set).unwrap();
    let version = store.version();
    let (mut request, mut scratch) = (EngineRequest::new(), Scratch::new());
    request.bind(&version, ("User", "0"), ("Action", "a"), ("Doc", "d"));
    let mut ask = |budget| {
        let known = request.known(&version);
        evaluate(
            &policies,
            &version,
            None,
            &request,
            known,
            &mut scratch,
            budget,
        )
        .map(|done| done.permits().len())
    };
    assert_eq!(ask(Budget(1_000_000)), Ok(1));
    assert_eq!(
        ask(Budget(100_000)),
        Err(EvaluateError::BudgetExhausted(100_000))
    );
    let mut batch = Batch::new();
    let mut entity = NewEntity::new("User", "199999");
    entity.parents = vec![("User".into(), "0".into())];
    batch.upsert(entity);
    assert!(matches!(store.apply(&batch), Err(BatchError::Cycle(..))));
}

#[test]
fn what_belongs_to_different_states_is_refused() {
    let (store, other) = (EntityStore::new(), EntityStore::new());
    let set = "permit(principal, action, resource);".parse().unwrap();
    let old = store.version();
    let policies = compile(&store, &set).unwrap();
    for version in [&old, &other.version()] {
        let (mut request, mut scratch) = (EngineRequest::new(), Scratch::new());
        request.bind(version, ("User", "0"), ("Action", "a"), ("Doc", "d"));
        let done = evaluate(
            &policies,
            version,
            None,
            &request,
            request.known(version),
            &mut scratch,
            Budget::UNBOUNDED,
        );
        assert_eq!(done.unwrap_err(), EvaluateError::Mismatched);
    }
}

#[test]
fn ids_that_policies_name_live_as_long_as_the_policies() {
    let store = EntityStore::new();
    let set = "permit(principal == User::\"named\", action, resource);"
        .parse()
        .unwrap();
    let policies = compile(&store, &set).unwrap();
    let mut batch = Batch::new();
    batch
        .upsert(NewEntity::new("User", "named"))
        .delete("User", "named");
    assert!(
        store
            .apply(&batch)
            .unwrap()
            .find(("User", "named"))
            .is_some()
    );
    drop(policies);
    assert!(
        store
            .apply(&Batch::new())
            .unwrap()
            .find(("User", "named"))
            .is_none()
    );
}

#[test]
fn requests_leave_no_text_behind_and_unknown_ids_are_themselves() {
    let store = EntityStore::new();
    let set = "permit(principal, action, resource) when { principal == resource && context.who == principal };".parse().unwrap();
    let policies = compile(&store, &set).unwrap();
    let version = store.version();
    let (mut request, mut scratch) = (EngineRequest::new(), Scratch::new());
    for (resource, expected) in [("ghost", 1), ("other", 0)] {
        request.bind(
            &version,
            ("User", "ghost"),
            ("Action", "a"),
            ("User", resource),
        );
        request.set_context(
            &version,
            "who",
            RawValue::Entity("User".into(), "ghost".into()),
        );
        let done = evaluate(
            &policies,
            &version,
            None,
            &request,
            request.known(&version),
            &mut scratch,
            Budget::UNBOUNDED,
        )
        .unwrap();
        assert_eq!(done.permits().len(), expected);
    }
    assert!(
        store.version().find(("User", "ghost")).is_none()
            && store.version().find_name("User").is_none()
    );
}

#[test]
fn inline_entities_cannot_close_a_cycle_with_the_store() {
    let store = EntityStore::new();
    chain(&store, 3);
    let version = store.version();
    let mut request = EngineRequest::new();
    request.bind(&version, ("User", "0"), ("Action", "a"), ("Doc", "d"));
    let mut inline = NewEntity::new("User", "3");
    inline.parents = vec![("User".into(), "0".into())];
    assert_eq!(
        overlay(&version, request.locals(), &[inline]).unwrap_err(),
        OverlayError::Cycle
    );
}

/// `if context.b then (..) else false`, nested.
fn nested(depth: usize) -> String {
    let expr = (0..depth).fold("context.b".to_owned(), |inner, _| {
        format!("(if context.b then {inner} else false)")
    });
    format!("permit(principal, action, resource) when {{ {expr} }};")
}

#[test]
fn nesting_is_bounded_and_evaluates_on_a_small_stack() {
    let big = std::thread::Builder::new().stack_size(256 << 20);
    let (store, policies, refused) = big
        .spawn(|| {
            let store = EntityStore::new();
            let policies = compile(&store, &nested(190).parse().unwrap()).unwrap();
            let refused = compile(&store, &nested(201).parse().unwrap()).is_err();
            // A chain is not nesting.
            let chain = vec!["context.b"; 5_000].join(" && ");
            let chain = format!("permit(principal, action, resource) when {{ {chain} }};")
                .parse()
                .unwrap();
            assert!(compile(&store, &chain).is_ok());
            (store, policies, refused)
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(refused);
    // Half of what a thread has unless it says otherwise; unoptimized frames are large.
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let permits = small.spawn(move || {
        let version = store.version();
        let (mut request, mut scratch) = (EngineRequest::new(), Scratch::new());
        request.bind(&version, ("User", "0"), ("Action", "a"), ("Doc", "d"));
        request.set_context(&version, "b", RawValue::Plain(Value::Bool(true)));
        evaluate(
            &policies,
            &version,
            None,
            &request,
            request.known(&version),
            &mut scratch,
            Budget::UNBOUNDED,
        )
        .unwrap()
        .permits()
        .len()
    });
    assert_eq!(permits.unwrap().join().unwrap(), 1);
}
