//! Entities that are written while the decision point runs: a fresh one with the same entities decides the
//! same, whatever batches, reloads and restarts came before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deodar::{
    EntityChange, EntityOrigin, EntityRef, EntityWriteError, Pdp, PdpBuilder, ReadLimits,
    ReloadError, Request, StateChange, WatchMode,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::Tree;

const SCHEMA: &str = r#"
entity G in [G] = { n: Long };
entity U in [G] = { n: Long, boss?: U, from?: ipaddr, since?: datetime, all?: Set<G> };
action go appliesTo { principal: U, resource: G };
"#;
const POLICIES: &str = r#"
@id("member") permit(principal, action, resource) when { principal in resource && principal.n > 1 };
@id("boss") permit(principal, action, resource) when { principal has boss && principal.boss in resource };
@id("named") permit(principal, action, resource) when { principal has all && principal.all.contains(resource) };
@id("low") forbid(principal, action, resource) when { resource.n == 0 };
@id("g1") forbid(principal in G::"1", action, resource == G::"0");
"#;

fn entity(ty: &str, id: usize, n: i64, parents: &[usize]) -> Value {
    let parents: Vec<_> = parents
        .iter()
        .map(|p| json!({"type": "G", "id": p.to_string()}))
        .collect();
    json!({"uid": {"type": ty, "id": id.to_string()}, "attrs": {"n": n}, "parents": parents})
}

fn name(json: &Value) -> (String, String) {
    let member = |name: &str| json["uid"][name].as_str().unwrap().to_owned();
    (member("type"), member("id"))
}

fn delete(ty: &str, id: &str) -> EntityChange {
    EntityChange::Delete(EntityRef::new(ty, id).unwrap())
}

fn upsert(ty: &str, id: usize, n: i64, parents: &[usize]) -> EntityChange {
    EntityChange::Upsert(entity(ty, id, n, parents))
}

fn tree(entities: &[Value]) -> Tree {
    Tree::new(&[
        ("p/p.cedar", POLICIES),
        ("s/s.cedarschema", SCHEMA),
        ("e/e.json", &json!(entities).to_string()),
    ])
}

fn builder(tree: &Tree) -> PdpBuilder {
    Pdp::builder()
        .policies(tree.join("p"))
        .schema(tree.join("s"))
        .entities(tree.join("e"))
        .guard(false)
        // Files are renamed into place here, so that there is nothing to wait for.
        .watch(WatchMode::Off, Duration::ZERO, Duration::from_secs(3600))
}

fn stateful(tree: &Tree) -> Pdp {
    builder(tree).state_dir(tree.join("state")).build().unwrap()
}

fn decisions(pdp: &Pdp) -> Vec<(bool, Vec<String>)> {
    let mut all = Vec::new();
    for user in 0..5 {
        for group in 0..5 {
            let request = Request::builder()
                .principal(("U", user.to_string().as_str()))
                .action(("Action", "go"))
                .resource(("G", group.to_string().as_str()))
                .build()
                .unwrap();
            let outcome = pdp.authorize(&request).unwrap();
            let reasons = outcome.determining_policies().map(ToString::to_string);
            all.push((outcome.is_allow(), reasons.collect()));
        }
    }
    all
}

fn listing(pdp: &Pdp, page: usize) -> Vec<(Value, EntityOrigin)> {
    let mut all = Vec::new();
    for ty in ["G", "U"] {
        let mut after = None;
        loop {
            let found = pdp.entities_of(ty, after.as_deref(), page);
            assert!(found.entities.len() <= page);
            all.extend(found.entities);
            after = found.next;
            if after.is_none() {
                break;
            }
        }
    }
    all
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<EntityChange>),
    Files(Vec<Value>),
    Restart,
}

fn entities() -> impl Strategy<Value = Value> {
    let parents = proptest::collection::vec(0..4_usize, 0..3);
    let extra = proptest::option::of(0..4_usize);
    (any::<bool>(), 0..4_usize, 0..4_i64, parents, extra).prop_map(
        |(user, id, n, parents, extra)| {
            let mut json = entity(if user { "U" } else { "G" }, id, n, &parents);
            if let (true, Some(extra)) = (user, extra) {
                let attrs = json["attrs"].as_object_mut().unwrap();
                attrs.insert("boss".into(), json!({"type": "U", "id": extra.to_string()}));
                attrs.insert("from".into(), json!(format!("10.0.0.{extra}")));
                attrs.insert("since".into(), json!("2024-01-01T10:00:00Z"));
                let groups =
                    [extra, (extra + 1) % 5].map(|g| json!({"type": "G", "id": g.to_string()}));
                attrs.insert("all".into(), json!(groups));
            }
            json
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        3 => entities().prop_map(EntityChange::Upsert),
        2 => (any::<bool>(), 0..4_usize)
            .prop_map(|(user, id)| delete(if user { "U" } else { "G" }, &id.to_string())),
    ];
    prop_oneof![
        6 => proptest::collection::vec(change, 1..4).prop_map(Step::Write),
        2 => proptest::collection::vec(entities(), 0..3).prop_map(Step::Files),
        1 => Just(Step::Restart),
    ]
}

/// What ought to be stored.
#[derive(Debug, Clone, Default)]
struct Model {
    files: BTreeMap<(String, String), Value>,
    written: BTreeMap<(String, String), Value>,
}

impl Model {
    fn write(&mut self, changes: &[EntityChange]) -> Result<(), &'static str> {
        let mut next = self.clone();
        for change in changes {
            let name = match change {
                EntityChange::Upsert(json) => name(json),
                EntityChange::Delete(of) => (of.type_name().to_owned(), of.id().to_owned()),
                other => panic!("not generated: {other:?}"),
            };
            if self.files.contains_key(&name) {
                // What a file's entity hides may be deleted, and nothing else.
                let hidden = self.written.contains_key(&name);
                if !hidden || !matches!(change, EntityChange::Delete(_)) {
                    return Err("managed_by_file");
                }
                next.written.remove(&name);
                continue;
            }
            match change {
                EntityChange::Upsert(json) => {
                    next.written.insert(name, json.clone());
                }
                EntityChange::Delete(_) => {
                    if next.written.remove(&name).is_some() {
                        let files = &self.files;
                        let seen = next.written.iter_mut();
                        let seen = seen.filter(|(name, _)| !files.contains_key(*name));
                        for (_, json) in seen {
                            let parents = json["parents"].as_array_mut().unwrap();
                            parents.retain(|p| p["type"] != name.0 || p["id"] != name.1);
                        }
                    }
                }
                other => panic!("not generated: {other:?}"),
            }
        }
        if next.has_cycle() {
            return Err("entity_graph");
        }
        *self = next;
        Ok(())
    }

    /// What was written and no file hides.
    fn seen(&self) -> impl Iterator<Item = (&(String, String), &Value)> {
        let written = self.written.iter();
        written.filter(|(name, _)| !self.files.contains_key(*name))
    }

    fn all(&self) -> impl Iterator<Item = (&(String, String), &Value)> {
        self.files.iter().chain(self.seen())
    }

    fn has_cycle(&self) -> bool {
        let above = |name: &(String, String)| -> Vec<(String, String)> {
            let json = self
                .all()
                .find(|(known, _)| *known == name)
                .map(|(_, json)| json);
            let parents = json.map(|json| json["parents"].as_array().unwrap().as_slice());
            let parents = parents.unwrap_or_default().iter();
            parents.map(|p| self::name(&json!({"uid": p}))).collect()
        };
        self.all().any(|(start, _)| {
            let (mut seen, mut waiting) = (BTreeSet::new(), above(start));
            while let Some(next) = waiting.pop() {
                if next == *start {
                    return true;
                }
                if seen.insert(next.clone()) {
                    waiting.extend(above(&next));
                }
            }
            false
        })
    }
}

#[track_caller]
fn check_against_a_fresh_one(pdp: &Pdp, tree: &Tree, model: &Model) {
    let written: Vec<_> = model.seen().map(|(_, json)| json).collect();
    let fresh = Pdp::builder()
        .policies(tree.join("p"))
        .schema(tree.join("s"))
        .entities_text(
            "files.json",
            &json!(model.files.values().collect::<Vec<_>>()).to_string(),
        )
        .entities_text("written.json", &json!(written).to_string())
        .build()
        .unwrap();
    assert_eq!(decisions(pdp), decisions(&fresh));
    let (ours, theirs) = (listing(pdp, 2), listing(&fresh, 100));
    let jsons = |all: &[(Value, EntityOrigin)]| -> Vec<Value> {
        all.iter().map(|(json, _)| json.clone()).collect()
    };
    assert_eq!(jsons(&ours), jsons(&theirs));
    for (json, origin) in &ours {
        let name = name(json);
        let written = model.written.contains_key(&name) && !model.files.contains_key(&name);
        assert_eq!(*origin == EntityOrigin::Api, written, "{json}");
        let one = pdp
            .entity(&EntityRef::new(name.0, name.1).unwrap())
            .unwrap();
        assert_eq!(one, (json.clone(), *origin));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn batches_and_reloads_are_as_a_fresh_start(all in proptest::collection::vec(steps(), 1..16)) {
        let tree = tree(&[]);
        let mut model = Model::default();
        let mut pdp = stateful(&tree);
        for step in all {
            let sequence = pdp.state().sequence();
            match step {
                Step::Write(changes) => {
                    let expected = model.write(&changes);
                    let done = pdp.write_entities(changes);
                    prop_assert_eq!(
                        done.as_ref().map(|_| ()).map_err(EntityWriteError::code), expected
                    );
                    if let Ok(written) = done {
                        prop_assert_eq!(written.sequence, pdp.state().sequence());
                    } else {
                        prop_assert_eq!(pdp.state().sequence(), sequence);
                    }
                }
                Step::Files(entities) => {
                    let mut next = Model { files: BTreeMap::new(), ..model.clone() };
                    next.files.extend(entities.into_iter().map(|json| (name(&json), json)));
                    let files = Model { files: next.files.clone(), ..Model::default() };
                    let good = !files.has_cycle();
                    if good && next.has_cycle() {
                        // What then becomes of written parents has a test of its own.
                        continue;
                    }
                    let text = json!(next.files.values().collect::<Vec<_>>()).to_string();
                    tree.write("e/e.json", &text);
                    prop_assert_eq!(pdp.reload().is_ok(), good);
                    if good {
                        model = next;
                    } else {
                        let text = json!(model.files.values().collect::<Vec<_>>()).to_string();
                        tree.write("e/e.json", &text);
                    }
                }
                Step::Restart => {
                    drop(pdp);
                    pdp = stateful(&tree);
                    prop_assert_eq!(pdp.state().sequence(), sequence);
                }
            }
            check_against_a_fresh_one(&pdp, &tree, &model);
        }
        drop(pdp);
        check_against_a_fresh_one(&stateful(&tree), &tree, &model);
    }
}

#[test]
fn a_write_decides_at_once_and_survives_a_restart() {
    let tree = tree(&[entity("G", 1, 5, &[])]);
    let pdp = stateful(&tree);
    let changes = pdp.subscribe();
    let (before, revision) = (pdp.state(), pdp.state().revision().clone());
    let written = pdp.write_entities(vec![upsert("U", 0, 3, &[1])]).unwrap();
    assert_eq!(
        (written.sequence, written.stored, written.deleted),
        (2, 1, 0)
    );
    assert_eq!(pdp.state().revision(), &revision);
    assert_eq!(before.sequence(), 1);
    let StateChange::Published { sequence: 2, .. } = changes.try_next().unwrap() else {
        panic!("not told");
    };
    assert!(decisions(&pdp)[1].0, "U::0 is in G::1");
    let deleted = pdp
        .write_entities(vec![delete("U", "0"), delete("U", "9")])
        .unwrap();
    assert_eq!((deleted.sequence, deleted.deleted), (3, 1));
    assert!(!decisions(&pdp)[1].0);
    // What changes nothing is not a new state.
    assert_eq!(
        pdp.write_entities(vec![delete("U", "0")]).unwrap().sequence,
        3
    );
    assert_eq!(pdp.write_entities(Vec::new()).unwrap().sequence, 3);
    pdp.write_entities(vec![upsert("U", 0, 3, &[1])]).unwrap();
    assert_eq!(
        pdp.entity_types(),
        [
            ("Action".to_owned(), 1),
            ("G".to_owned(), 1),
            ("U".to_owned(), 1)
        ]
    );
    drop(pdp);
    let pdp = stateful(&tree);
    assert_eq!(pdp.state().sequence(), 4);
    assert!(decisions(&pdp)[1].0);
    // Also into a broken tree.
    drop(pdp);
    tree.write("p/p.cedar", "broken");
    let pdp = stateful(&tree);
    assert!(pdp.health().is_degraded() && decisions(&pdp)[1].0);
    assert_eq!(
        pdp.write_entities(vec![delete("U", "0")]).unwrap().sequence,
        5
    );
}

#[track_caller]
fn check_refused(pdp: &Pdp, changes: Vec<EntityChange>, code: &str, message: &str) {
    let before = pdp.state();
    let error = pdp.write_entities(changes).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(pdp.state().sequence(), before.sequence());
    assert_eq!(pdp.state().entity_count(), before.entity_count());
}

#[test]
fn a_batch_with_a_fault_is_refused_whole() {
    let tree = tree(&[entity("G", 1, 5, &[])]);
    let limits = ReadLimits {
        entity_parent_depth: 3,
        ..ReadLimits::default()
    };
    let pdp = builder(&tree)
        .read_limits(limits)
        .state_dir(tree.join("state"))
        .build()
        .unwrap();
    let good = || upsert("G", 2, 1, &[]);
    check_refused(
        &pdp,
        vec![good(), upsert("G", 1, 1, &[])],
        "managed_by_file",
        "`G::\"1\"` is in a file",
    );
    check_refused(
        &pdp,
        vec![good(), delete("G", "1")],
        "managed_by_file",
        "change it there",
    );
    let action = json!({"uid": {"type": "Action", "id": "go"}, "attrs": {}, "parents": []});
    check_refused(
        &pdp,
        vec![good(), EntityChange::Upsert(action)],
        "action_entity",
        "`Action::\"go\"`",
    );
    check_refused(
        &pdp,
        vec![good(), upsert("X", 1, 1, &[])],
        "invalid_entity",
        "X",
    );
    let mut typo = entity("G", 3, 1, &[]);
    typo["tag"] = json!({});
    check_refused(
        &pdp,
        vec![good(), EntityChange::Upsert(typo)],
        "invalid_entity",
        "unknown member `tag`",
    );
    let cycle = vec![upsert("G", 2, 1, &[3]), upsert("G", 3, 1, &[2])];
    check_refused(&pdp, cycle, "entity_graph", "its own ancestor");
    let error = pdp
        .write_entities(vec![upsert("X", 1, 1, &[]), good(), delete("G", "1")])
        .unwrap_err();
    let EntityWriteError::Refused(faults) = error else {
        panic!("{error}");
    };
    assert_eq!(
        faults.iter().map(|fault| fault.at).collect::<Vec<_>>(),
        [0, 2]
    );

    // Three edges are allowed, however the chain came about.
    pdp.write_entities(vec![upsert("G", 2, 1, &[3]), upsert("G", 4, 1, &[])])
        .unwrap();
    pdp.write_entities(vec![upsert("G", 3, 1, &[4])]).unwrap();
    pdp.write_entities(vec![upsert("U", 0, 1, &[2])]).unwrap();
    check_refused(
        &pdp,
        vec![upsert("G", 4, 1, &[1])],
        "entity_graph",
        "more than 3 parents",
    );
    check_refused(
        &pdp,
        vec![upsert("G", 2, 1, &[3, 0]), upsert("G", 0, 1, &[3])],
        "entity_graph",
        "more than 3",
    );
}

#[test]
fn a_batch_for_another_sequence_is_refused() {
    let tree = tree(&[]);
    let pdp = stateful(&tree);
    pdp.write_entities_if(1, vec![upsert("G", 1, 1, &[])])
        .unwrap();
    let error = pdp
        .write_entities_if(1, vec![upsert("G", 1, 2, &[])])
        .unwrap_err();
    assert_eq!(error.code(), "sequence_mismatch");
    assert!(error.to_string().contains("sequence 1, but 2"), "{error}");
    let stateless = builder(&tree).build().unwrap();
    check_refused(
        &stateless,
        vec![upsert("G", 1, 1, &[])],
        "no_state",
        "`state.dir`",
    );
}

fn faults(pdp: &Pdp) -> String {
    let Err(ReloadError::Faulty(faults)) = pdp.reload() else {
        panic!("taken");
    };
    let lines = faults.iter().map(|fault| fault.to_json().to_string());
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_degraded(pdp: &Pdp, wanted: &[&str]) {
    let reasons = pdp.health().reasons.join("\n");
    for wanted in wanted {
        assert!(reasons.contains(wanted), "no `{wanted}` in: {reasons}");
    }
    assert_eq!(wanted.is_empty(), reasons.is_empty(), "{reasons}");
}

/// Whoever may write entities must not be able to keep a policy from being published.
#[test]
fn a_file_wins_over_a_written_entity_of_its_id_and_policies_are_published() {
    let tree = tree(&[]);
    let pdp = stateful(&tree);
    pdp.write_entities(vec![upsert("G", 1, 1, &[]), upsert("U", 0, 3, &[1])])
        .unwrap();
    assert!(decisions(&pdp)[1].0);
    tree.write("e/e.json", &json!([entity("G", 1, 9, &[])]).to_string());
    tree.write(
        "p/urgent.cedar",
        "@id(\"urgent\") forbid(principal == U::\"0\", action, resource);",
    );
    pdp.reload().unwrap();
    assert_eq!(decisions(&pdp)[1], (false, vec!["urgent".to_owned()]));
    let g1 = EntityRef::new("G", "1").unwrap();
    let (json, origin) = pdp.entity(&g1).unwrap();
    assert_eq!(
        (json["attrs"]["n"].as_i64(), origin),
        (Some(9), EntityOrigin::File)
    );
    let place = format!("{}:1:2", tree.join("e/e.json").display());
    check_degraded(&pdp, &["`G::\"1\"` was written through the API", &place]);
    check_refused(
        &pdp,
        vec![upsert("G", 1, 2, &[])],
        "managed_by_file",
        "in a file",
    );

    // A restart finds the same.
    drop(pdp);
    let pdp = stateful(&tree);
    assert_eq!(pdp.entity(&g1).unwrap(), (json, EntityOrigin::File));
    check_degraded(&pdp, &["`G::\"1\"` was written through the API"]);

    // What was written under the id can be deleted; the file's entity stays.
    assert_eq!(
        pdp.write_entities(vec![delete("G", "1"), delete("G", "1")])
            .unwrap()
            .deleted,
        1
    );
    assert_eq!(pdp.entity(&g1).unwrap().1, EntityOrigin::File);
    check_degraded(&pdp, &[]);
    tree.write("e/e.json", "[]");
    pdp.reload().unwrap();
    assert!(pdp.entity(&g1).is_none());
}

/// Without its memberships an entity could slip past a forbid, so it is kept as it was written.
#[test]
fn a_written_entity_that_does_not_fit_a_new_schema_is_kept_and_named() {
    let tree = tree(&[]);
    let pdp = stateful(&tree);
    pdp.write_entities(vec![
        upsert("G", 0, 5, &[]),
        upsert("G", 1, 5, &[]),
        upsert("U", 0, 3, &[0, 1]),
    ])
    .unwrap();
    assert_eq!(decisions(&pdp)[0], (false, vec!["g1".to_owned()]));
    let narrower = SCHEMA.replace(
        "entity U in [G] = { n: Long,",
        "entity U in [G] = { n: String,",
    );
    tree.write("s/s.cedarschema", &narrower);
    tree.write(
        "p/p.cedar",
        "@id(\"all\") permit(principal, action, resource);
         @id(\"g1\") forbid(principal in G::\"1\", action, resource == G::\"0\");",
    );
    pdp.reload().unwrap();
    assert_eq!(decisions(&pdp)[0], (false, vec!["g1".to_owned()]));
    assert_eq!(decisions(&pdp)[1], (true, vec!["all".to_owned()]));
    check_degraded(
        &pdp,
        &["`U::\"0\"`, which was written through the API, does not fit the schema"],
    );
    drop(pdp);
    let pdp = stateful(&tree);
    assert_eq!(decisions(&pdp)[0], (false, vec!["g1".to_owned()]));
    let fitting = json!({"uid": {"type": "U", "id": "0"}, "attrs": {"n": "x"}, "parents": []});
    pdp.write_entities(vec![EntityChange::Upsert(fitting)])
        .unwrap();
    pdp.reload().unwrap();
    drop(pdp);
    check_degraded(&stateful(&tree), &[]);
}

#[test]
fn a_cycle_across_files_and_written_entities_costs_the_written_ones_their_parents() {
    let tree = tree(&[entity("G", 0, 1, &[])]);
    let pdp = stateful(&tree);
    pdp.write_entities(vec![upsert("G", 1, 1, &[0]), upsert("G", 2, 1, &[1])])
        .unwrap();
    let files = json!([entity("G", 0, 1, &[2]), entity("G", 3, 1, &[])]);
    tree.write("e/e.json", &files.to_string());
    tree.write(
        "p/all.cedar",
        "@id(\"all\") permit(principal, action, resource);",
    );
    pdp.reload().unwrap();
    let published = decisions(&pdp).into_iter().flat_map(|(_, by)| by);
    assert!(published.into_iter().any(|id| id == "all"));
    let (json, origin) = pdp.entity(&EntityRef::new("G", "0").unwrap()).unwrap();
    assert_eq!(
        (&json["parents"][0]["id"], origin),
        (&json!("2"), EntityOrigin::File)
    );
    check_degraded(&pdp, &["would be its own ancestor"]);
    // A cycle of the files' own is a fault of theirs.
    let files = json!([entity("G", 0, 1, &[3]), entity("G", 3, 1, &[0])]);
    tree.write("e/e.json", &files.to_string());
    assert!(faults(&pdp).contains("own ancestors"));
}

#[test]
fn members_of_a_deleted_group_are_members_no_more() {
    let tree = tree(&[entity("U", 1, 3, &[2])]);
    let pdp = stateful(&tree);
    let is_member = |pdp: &Pdp, user: usize| decisions(pdp)[user * 5 + 2].0;
    pdp.write_entities(vec![upsert("G", 2, 1, &[]), upsert("U", 0, 3, &[2])])
        .unwrap();
    assert!(is_member(&pdp, 0) && is_member(&pdp, 1));
    pdp.write_entities(vec![delete("G", "2")]).unwrap();
    pdp.write_entities(vec![upsert("G", 2, 1, &[])]).unwrap();
    // The file says what it says; what was written has lost its membership for good.
    assert!(!is_member(&pdp, 0) && is_member(&pdp, 1));
    drop(pdp);
    let pdp = stateful(&tree);
    assert!(!is_member(&pdp, 0) && is_member(&pdp, 1));
}

#[test]
fn what_was_written_is_told_in_cedars_form() {
    let tree = tree(&[]);
    let pdp = stateful(&tree);
    let mut json = entity("U", 1, 3, &[2, 1]);
    json["attrs"]["since"] = json!("2024-02-29");
    json["attrs"]["from"] = json!("10.0.0.0/8");
    json["attrs"]["all"] = json!([{"type": "G", "id": "b"}, {"type": "G", "id": "a"}]);
    pdp.write_entities(vec![EntityChange::Upsert(json)])
        .unwrap();
    let told = pdp.entity(&EntityRef::new("U", "1").unwrap()).unwrap();
    let expected = json!({
        "uid": {"type": "U", "id": "1"},
        "attrs": {
            "n": 3,
            "since": {"__extn": {"fn": "datetime", "arg": "2024-02-29T00:00:00.000Z"}},
            "from": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
            "all": [{"__entity": {"type": "G", "id": "a"}}, {"__entity": {"type": "G", "id": "b"}}],
        },
        "parents": [{"type": "G", "id": "1"}, {"type": "G", "id": "2"}],
    });
    assert_eq!(told, (expected.clone(), EntityOrigin::Api));
    // Which can be written again.
    pdp.write_entities(vec![EntityChange::Upsert(expected.clone())])
        .unwrap();
    assert_eq!(
        pdp.entity(&EntityRef::new("U", "1").unwrap()).unwrap().0,
        expected
    );
    let page = pdp.entities_of("Nobody", None, 5);
    assert!(page.entities.is_empty() && page.next.is_none() && page.sequence == 3);
}

#[test]
fn entities_and_their_names_have_a_limit() {
    let tree = Tree::new(&[("p/p.cedar", "permit(principal, action, resource);")]);
    let limits = ReadLimits {
        entities: 3,
        entity_names: 6,
        entity_bytes: 200,
        ..ReadLimits::default()
    };
    let build = |limits| {
        let builder = Pdp::builder().policies(tree.join("p")).guard(false);
        builder
            .read_limits(limits)
            .state_dir(tree.join("state"))
            .build()
            .unwrap()
    };
    let pdp = build(limits);
    let write = |id: usize, attrs: Value| {
        let json =
            json!({"uid": {"type": "U", "id": id.to_string()}, "attrs": attrs, "parents": []});
        pdp.write_entities(vec![EntityChange::Upsert(json)])
    };
    for id in 0..3 {
        write(id, json!({"a": 1})).unwrap();
    }
    let error = write(3, json!({})).unwrap_err();
    assert_eq!(error.code(), "entities_full");
    assert!(error.to_string().contains("limits.entities"), "{error}");
    // Names that change again and again are given back.
    for round in 0..50 {
        write(0, json!({ format!("n{round}"): 1 })).unwrap();
        assert!(pdp.state().entity_name_count() <= 4);
    }
    let many: serde_json::Map<String, Value> =
        (0..9).map(|n| (format!("m{n}"), json!(1))).collect();
    let error = write(0, Value::Object(many)).unwrap_err();
    assert_eq!(error.code(), "entities_full");
    assert!(error.to_string().contains("limits.entity_names"), "{error}");
    let error = write(0, json!({"a": "x".repeat(200)})).unwrap_err();
    assert_eq!(error.code(), "entity_too_large");
    assert_eq!(pdp.state().entity_count(), 3);
    // Files have the same limit.
    drop(pdp);
    tree.write(
        "e.json",
        &json!([entity("U", 8, 1, &[]), entity("U", 9, 1, &[])]).to_string(),
    );
    let builder = Pdp::builder()
        .policies(tree.join("p"))
        .entities(tree.join("e.json"));
    let limits = ReadLimits {
        entities: 1,
        ..limits
    };
    let error = builder.read_limits(limits).build().unwrap_err();
    assert!(error.to_string().contains("limits.entities"), "{error}");
}
