//! Random sets, entities and requests: the compiled answer is Cedar's.
//!
//! `ENGINE_CASES` sets how many, `ENGINE_SEED` where the long run starts.

use super::generate::Gen;
use super::harness::{Ask, compile, compiled, reference, store_of, uid};
use crate::entities::NewEntity;
use cedar_policy::{Entities, Policy, PolicyId, PolicySet, SlotId, Template};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

struct Case {
    set: PolicySet,
    texts: Vec<(String, String)>,
    entities: Vec<Json>,
    asks: Vec<Ask>,
}

fn policies(g: &mut Gen, count: usize, depth: usize) -> (PolicySet, Vec<(String, String)>) {
    let mut set = PolicySet::new();
    let mut texts = Vec::new();
    for at in 0..count {
        let id = format!("policy{at}");
        if g.one_in(4) {
            let text = g.policy(true, depth);
            let Ok(template) = Template::parse(Some(PolicyId::new(&id)), &text) else {
                continue;
            };
            let slots: Vec<SlotId> = template.slots().cloned().collect();
            set.add_template(template).unwrap();
            for link in 0..g.below(4) {
                let values: HashMap<SlotId, _> = slots
                    .iter()
                    .map(|slot| {
                        let (ty, id) = g.uid();
                        (slot.clone(), uid(ty, &id))
                    })
                    .collect();
                let link_id = format!("{id}-{link}");
                texts.push((link_id.clone(), format!("{text} {values:?}")));
                set.link(PolicyId::new(&id), PolicyId::new(&link_id), values)
                    .unwrap();
            }
        } else {
            let text = g.policy(false, depth);
            let Ok(policy) = Policy::parse(Some(PolicyId::new(&id)), &text) else {
                continue;
            };
            texts.push((id, text));
            set.add(policy).unwrap();
        }
    }
    (set, texts)
}

fn asks(g: &mut Gen, count: usize) -> Vec<Ask> {
    let owned = |(ty, id): (&str, String)| (ty.to_owned(), id);
    (0..count)
        .map(|_| Ask {
            principal: owned(g.uid()),
            action: if g.one_in(10) {
                owned(g.uid())
            } else {
                ("Action".into(), g.pick(&["read", "write", "all"]).into())
            },
            resource: owned(g.uid()),
            context: g.json_record(2),
        })
        .collect()
}

fn case(seed: u64) -> Case {
    let mut g = Gen::new(seed, 8);
    g.wild = g.pick(&[6, 12, 40]);
    g.open = g.one_in(4);
    let count = if g.open {
        g.pick(&[10, 30, 60])
    } else {
        g.pick(&[1, 1, 2, 2, 3, 5, 5, 8, 12, 12, 20, 60, 60, 200])
    };
    let depth = g.pick(&[1, 2, 2, 3, 4]);
    let (set, texts) = policies(&mut g, count, depth);
    let entities = g.entities();
    let requests = g.pick(&[4, 8, 16]);
    Case {
        set,
        texts,
        entities,
        asks: asks(&mut g, requests),
    }
}

/// Compares one case; how many answers were compared, and how many of them had errors or reasons.
fn check(seed: u64) -> (u64, u64, u64) {
    let case = case(seed);
    let entities = Entities::from_json_value(Json::Array(case.entities.clone()), None).unwrap();
    // A part of the entities comes with the request instead of the store.
    let mut g = Gen::new(seed ^ 77, 8);
    let (inline, stored): (Vec<Json>, Vec<Json>) = if g.one_in(3) {
        case.entities.iter().cloned().partition(|_| g.one_in(4))
    } else {
        (Vec::new(), case.entities.clone())
    };
    let inline: Vec<NewEntity> = inline
        .iter()
        .map(|json| NewEntity::from_json(0, json).unwrap())
        .collect();
    let first = g.one_in(2);
    let store = if first {
        store_of(&stored)
    } else {
        store_of(&[])
    };
    let compiled_set = compile(&store, &case.set).unwrap();
    if !first {
        let mut batch = crate::entities::Batch::new();
        batch.upsert_json(&stored).unwrap();
        store.apply(&batch).unwrap();
    }
    let (mut compared, mut with_errors, mut with_reasons) = (0, 0, 0);
    for ask in &case.asks {
        let expected = reference(&case.set, &entities, ask);
        let found = compiled(&compiled_set, &store, &inline, ask);
        if expected != found {
            for (id, text) in &case.texts {
                let differs = expected.reasons.contains(id) != found.reasons.contains(id)
                    || expected.errors.get(id) != found.errors.get(id);
                if differs {
                    eprintln!("{id}: {text}");
                }
            }
            panic!(
                "seed {seed}: {ask:?}\nexpected {expected:?}\nfound    {found:?}\n{}",
                json!(case.entities)
            );
        }
        compared += 1;
        with_errors += u64::from(!expected.errors.is_empty());
        with_reasons += u64::from(!expected.reasons.is_empty());
    }
    (compared, with_errors, with_reasons)
}

/// The same set in another order, beside policies that cannot match, and under a forbid of everything.
fn check_changed(seed: u64) {
    let case = case(seed);
    let entities = Entities::from_json_value(Json::Array(case.entities.clone()), None).unwrap();
    let store = store_of(&case.entities);
    let mut padded = PolicySet::new();
    let mut policies: Vec<_> = case.set.policies().filter(|p| p.is_static()).collect();
    let mut g = Gen::new(seed ^ 99, 8);
    let mut alone = PolicySet::new();
    while !policies.is_empty() {
        let policy = policies.swap_remove(g.below(policies.len()));
        alone.add(policy.clone()).unwrap();
        padded.add(policy.clone()).unwrap();
    }
    for n in 0..g.below(60) {
        let scope = g.pick(&[
            "principal == Nobody::\"x\", action, resource",
            "principal, action == Action::\"none\", resource",
            "principal is Nobody, action, resource",
            "principal, action, resource in Nowhere::\"x\"",
        ]);
        let text = format!(
            "{}({scope}){};",
            g.pick(&["permit", "forbid"]),
            g.conditions(1)
        );
        if let Ok(policy) = Policy::parse(Some(PolicyId::new(format!("pad{n}"))), text) {
            padded.add(policy).unwrap();
        }
    }
    let mut forbidden = alone.clone();
    let all = "forbid(principal, action, resource);";
    forbidden
        .add(Policy::parse(Some(PolicyId::new("all")), all).unwrap())
        .unwrap();
    let [alone_code, padded_code, forbidden_code] =
        [&alone, &padded, &forbidden].map(|set| compile(&store, set).unwrap());
    for ask in &case.asks {
        let expected = reference(&alone, &entities, ask);
        assert_eq!(
            expected,
            compiled(&alone_code, &store, &[], ask),
            "seed {seed}: {ask:?}"
        );
        assert_eq!(
            expected,
            compiled(&padded_code, &store, &[], ask),
            "seed {seed}: {ask:?}"
        );
        let denied = compiled(&forbidden_code, &store, &[], ask);
        assert!(!denied.allow && denied.reasons.contains(&"all".to_owned()));
        assert_eq!(denied.errors, expected.errors, "seed {seed}: {ask:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_cannot_match_changes_nothing(seed in any::<u64>()) {
        check_changed(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn compiled_answers_are_cedars(seed in any::<u64>()) {
        check(seed);
    }
}

#[test]
fn long_run() {
    let Some(cases) = std::env::var("ENGINE_CASES")
        .ok()
        .and_then(|cases| cases.parse::<u64>().ok())
    else {
        return;
    };
    let start = std::env::var("ENGINE_SEED")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok())
        .unwrap_or(1);
    let mut total = (0, 0, 0);
    for seed in start..start + cases {
        let (compared, errors, reasons) = check(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        total = (total.0 + compared, total.1 + errors, total.2 + reasons);
    }
    println!(
        "{cases} sets: {} answers compared, {} with errors, {} with reasons",
        total.0, total.1, total.2
    );
}
