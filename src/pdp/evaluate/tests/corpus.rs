//! Cedar's corpus, merged: each of its tests holds one policy, so sets are made of many of them.
//!
//! `CEDAR_CORPUS` names the directory of the unpacked corpus; without it there is nothing to do.
//! Entities and requests are those of one test, the policies those of it and of tests that share nothing
//! with it, in any order, beside policies that cannot match.

use super::generate::Gen;
use super::harness::{Ask, compile, compiled, reference, store_of};
use cedar_policy::{Context, Entities, Entity, Policy, PolicyId, PolicySet, Schema};
use serde_json::Value as Json;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Policies of other tests in one set.
const OTHERS: usize = 40;

struct Test {
    policies: PolicySet,
    /// In explicit JSON, as Cedar read them with the test's schema.
    entities: Vec<Json>,
    asks: Vec<Ask>,
}

fn read(root: &Path, path: &Path) -> Option<Test> {
    let test: Json = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    let file = |member: &str| std::fs::read_to_string(root.join(test.get(member)?.as_str()?)).ok();
    let policies = PolicySet::from_str(&file("policies")?).ok()?;
    let (schema, _) = Schema::from_cedarschema_str(&file("schema")?).ok()?;
    let entities = Entities::from_json_str(&file("entities")?, Some(&schema)).ok()?;
    let entities: Result<Vec<Json>, _> = entities.iter().map(Entity::to_json_value).collect();
    let name = |entity: &Json| {
        let text = |member: &str| Some(entity.get(member)?.as_str()?.to_owned());
        Some((text("type")?, text("id")?))
    };
    let mut asks = Vec::new();
    for request in test.get("requests")?.as_array()? {
        // The context with explicit escapes, for both engines.
        let context = Context::from_json_value(request.get("context")?.clone(), None).ok()?;
        asks.push(Ask {
            principal: name(request.get("principal")?)?,
            action: name(request.get("action")?)?,
            resource: name(request.get("resource")?)?,
            context: context.to_json_value().ok()?,
        });
    }
    Some(Test {
        policies,
        entities: entities.ok()?,
        asks,
    })
}

#[test]
fn corpus_policies_merged() {
    let Some(root) = std::env::var_os("CEDAR_CORPUS").map(PathBuf::from) else {
        return;
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("corpus-tests"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".entities.json")
        })
        .collect();
    paths.sort();
    let every = std::env::var("CEDAR_CORPUS_EVERY").ok();
    let every: usize = every.and_then(|every| every.parse().ok()).unwrap_or(20);
    let work: Vec<(u64, &PathBuf)> = (1..).zip(paths.iter().step_by(every)).collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let results: Vec<Option<usize>> = std::thread::scope(|scope| {
        let parts = work.chunks(work.len().div_ceil(threads).max(1));
        let running: Vec<_> = parts
            .map(|part| {
                let merged = |(seed, path): &(u64, &PathBuf)| merged(&root, &paths, path, *seed);
                scope.spawn(move || part.iter().map(merged).collect::<Vec<_>>())
            })
            .collect();
        let done = running.into_iter();
        done.flat_map(|part| part.join().unwrap()).collect()
    });
    let sets = results.iter().flatten().count();
    let compared: usize = results.into_iter().flatten().sum();
    println!("{sets} merged sets, {compared} answers compared");
    assert!(compared > 0, "no test of the corpus could be read");
}

/// Compares the answers to a test's requests over its policies and those of some others, in an order of their own;
/// how many there were, unless the test cannot be read.
fn merged(root: &Path, paths: &[PathBuf], path: &Path, seed: u64) -> Option<usize> {
    let mut g = Gen::new(seed, 8);
    let test = read(root, path)?;
    let mut merged: Vec<Policy> = test.policies.policies().cloned().collect();
    for _ in 0..OTHERS {
        let other = &paths[g.below(paths.len())];
        if let Some(other) = read(root, other) {
            merged.extend(other.policies.policies().cloned());
        }
    }
    for n in 0..5 {
        let text = format!(
            "permit(principal == Nobody::\"{n}\", action, resource in Nowhere::\"{n}\") when {{ 1 + true == 2 }};"
        );
        merged.push(Policy::parse(None, text).unwrap());
    }
    let mut set = PolicySet::new();
    for n in 0.. {
        if merged.is_empty() {
            break;
        }
        let policy = merged.swap_remove(g.below(merged.len()));
        set.add(policy.new_id(PolicyId::new(format!("p{n}"))))
            .unwrap();
    }
    let entities = Entities::from_json_value(Json::Array(test.entities.clone()), None).ok()?;
    let store = store_of(&test.entities);
    let policies = compile(&store, &set).unwrap();
    for ask in &test.asks {
        let expected = reference(&set, &entities, ask);
        let found = compiled(&policies, &store, &[], ask);
        assert_eq!(expected, found, "{} {ask:?}", path.display());
    }
    Some(test.asks.len())
}
