//! Requests by our own readers: accepted, refused and understood as by Cedar's.
//!
//! Both readers get the same random requests, with a schema and without one: names of principal, action
//! and resource, contexts and inline entities, well formed and nearly so.

use super::super::read::read;
use super::super::reference::resolve::resolve;
use super::super::spelled;
use super::generate::{Gen, Ty};
use crate::base::caller::{Caller, Handles, InlineRule, Scope};
use crate::base::entity_ref::EntityRef as Name;
use crate::base::timestamp::Timestamp;
use crate::engine::EngineRequest;
use crate::entities::{EntityRef, Exporter, InlineEntity, NewEntity, RawValue};
use crate::pdp::Pdp;
use crate::pdp::enrich::enrich;
use crate::request::{Limits, Request};
use cedar_policy::Entity;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use std::cell::Cell;
use std::collections::BTreeSet;

const SCHEMA: &str = r#"
entity Group in [Group];
entity User in [Group] = { n: Long, s?: String, boss?: User, at?: datetime, ips?: Set<ipaddr>, r?: R } tags Set<String>;
entity Color enum ["red", "blue"];
namespace NS { entity Folder in [Folder] = { c?: Color }; type Inner = { d: decimal, c?: Color }; }
type R = { e: User, x?: ipaddr, inner?: NS::Inner };
action read, write appliesTo { principal: User, resource: [User, NS::Folder, Color], context: {
  b?: Bool, n?: Long, s?: String, e?: User, d?: decimal, t?: datetime, u?: duration, i?: ipaddr,
  se?: Set<User>, sd?: Set<decimal>, sb?: Set<Set<Bool>>, r?: R, c?: Color, env?: Deodar::Env
} };
action strict appliesTo { principal: [User, Group], resource: User, context: { n: Long, r: R, s?: String } };
action bare;
"#;

const ENTITIES: &str = r#"[
{"uid": {"type": "User", "id": "0"}, "attrs": {"n": 1, "s": "x", "boss": {"type": "User", "id": "1"}}, "parents": [{"type": "Group", "id": "0"}], "tags": {"t": ["a"]}},
{"uid": {"type": "User", "id": "1"}, "attrs": {"n": 2, "ips": ["10.0.0.1"]}, "parents": []},
{"uid": {"type": "Group", "id": "0"}, "attrs": {}, "parents": [{"type": "Group", "id": "1"}]},
{"uid": {"type": "NS::Folder", "id": "0"}, "attrs": {"c": {"type": "Color", "id": "red"}}, "parents": []}
]"#;

/// JSON that is nearly right.
fn odd(g: &mut Gen, depth: usize) -> Json {
    let inner = |g: &mut Gen| {
        if depth == 0 {
            json!(1)
        } else {
            odd(g, depth - 1)
        }
    };
    let text = |g: &mut Gen| match g.below(4) {
        0 => json!(g.pick(&["10.0.0.1", "1.5", "2024-01-01", "1h", "x", "::1/128"])),
        1 => inner(g),
        2 => json!("1.0"),
        _ => json!("2024-01-01T00:00:00Z"),
    };
    let ty = |g: &mut Gen| {
        json!(g.pick(&[
            "User",
            "Color",
            "A::B",
            "if",
            "A::",
            "a b",
            "__cedar::X",
            "",
            "User ",
            "_x9",
            "9x",
            "in::A",
            "Action",
            "NS::Folder",
        ]))
    };
    let function = |g: &mut Gen| {
        json!(g.pick(&[
            "ip",
            "decimal",
            "datetime",
            "duration",
            "isIpv4",
            "offset",
            "toDate",
            "toTime",
            "durationSince",
            "lessThan",
            "toDays",
            "nothing",
            "ip ",
            "isInRange",
        ]))
    };
    match g.below(23) {
        0 => json!(null),
        1 => json!(1.5),
        2 => json!(u64::MAX),
        3 => json!(-0.0),
        4 => json!({"__entity": {"type": ty(g), "id": "x"}}),
        5 => json!({"__entity": {"type": ty(g), "id": "red", "more": inner(g)}}),
        6 => json!({"__entity": {"type": "User", "id": inner(g)}, "more": 1}),
        7 => json!({"type": ty(g), "id": "blue"}),
        8 => json!(["User", "z"]),
        9 => json!({"__entity": ["User", "z"]}),
        10 | 11 => json!({"__extn": {"fn": function(g), "arg": text(g)}}),
        12 => json!({"fn": function(g), "arg": text(g)}),
        13 => json!({"__extn": {"fn": function(g), "args": [text(g), text(g)]}}),
        14 => json!({"__extn": {"fn": "offset", "args": [
            {"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1h"}}
        ]}}),
        15 => json!({"__extn": {"fn": function(g), "arg": text(g), "args": [text(g)]}, "more": 1}),
        16 => json!({"__expr": "1"}),
        17 => json!({"__expr": "1", "__entity": {"type": "User", "id": "x"}}),
        18 => json!([inner(g), inner(g)]),
        19 => text(g),
        20 => json!({"fn": "offset", "args": [text(g), text(g)]}),
        21 => json!({"__extn": {"fn": "unknown", "arg": "x"}}),
        _ => json!({"e": inner(g), "__extn": inner(g)}),
    }
}

fn entity(g: &mut Gen, ty: &str, ids: &[&str]) -> Json {
    let uid = json!({"type": ty, "id": g.pick(ids)});
    if g.one_in(2) {
        json!({ "__entity": uid })
    } else {
        uid
    }
}

/// A value that a member of this name may have.
fn right(g: &mut Gen, name: &str) -> Json {
    match name {
        "b" => json!(g.one_in(2)),
        "n" => json!(g.below(9)),
        "s" => json!(g.pick(&["", "x", "a longer text that does not fit in place"])),
        "e" | "boss" => entity(g, "User", &["0", "1", "9"]),
        "c" => entity(g, "Color", &["red", "blue"]),
        "d" => match g.below(2) {
            0 => json!("1.5"),
            _ => g.json(Ty::Decimal, 1),
        },
        "t" | "at" => match g.below(2) {
            0 => json!("2024-01-01"),
            _ => g.json(Ty::Datetime, 1),
        },
        "u" => json!({"fn": "duration", "arg": "1h"}),
        "i" | "x" => match g.below(2) {
            0 => json!("10.0.0.0/8"),
            _ => g.json(Ty::Ip, 1),
        },
        "ips" => json!([right(g, "i"), right(g, "i")]),
        "se" => json!([right(g, "e"), right(g, "e")]),
        "sd" => json!([right(g, "d")]),
        "sb" => json!([[true], []]),
        "inner" => json!({"d": right(g, "d"), "c": right(g, "c")}),
        "r" => {
            let mut record = json!({"e": right(g, "e")});
            for name in ["x", "inner"] {
                if g.one_in(3) {
                    record[name] = right(g, name);
                }
            }
            record
        }
        _ => json!(1),
    }
}

/// Members of these names: mostly right, now and then not.
fn members(g: &mut Gen, names: &[&str], always: &[&str]) -> Map<String, Json> {
    let mut object = Map::new();
    for name in names {
        let there = (always.contains(name) && !g.one_in(20)) || g.one_in(4);
        if !there {
            continue;
        }
        let value = match g.below(14) {
            0 => odd(g, 2),
            1 => {
                let other = g.pick(&["b", "n", "s", "e", "d", "t", "u", "i", "se", "r", "c"]);
                right(g, other)
            }
            _ => right(g, name),
        };
        object.insert((*name).to_owned(), value);
    }
    if g.one_in(30) {
        object.insert("zz".to_owned(), odd(g, 1));
    }
    object
}

fn inline(g: &mut Gen) -> Json {
    let ty = g.pick(&["User", "User", "User", "Group", "NS::Folder", "Color"]);
    let id = g.pick(&["0", "1", "7", "8", "red"]);
    let mut entity = json!({"uid": {"type": ty, "id": id}});
    let (names, always): (&[&str], &[&str]) = match ty {
        "User" => (&["n", "s", "boss", "at", "ips", "r"], &["n"]),
        "NS::Folder" => (&["c"], &[]),
        _ => (&[], &[]),
    };
    if !g.one_in(6) {
        entity["attrs"] = Json::Object(members(g, names, always));
    }
    if g.one_in(2) {
        let parents: Vec<Json> = (0..g.below(3))
            .map(|_| {
                let ty = g.pick(&["Group", "Group", "Group", "NS::Folder", "User"]);
                json!({"type": ty, "id": g.pick(&["0", "1", "7", "8"])})
            })
            .collect();
        entity["parents"] = json!(parents);
    }
    if g.one_in(4) {
        let value = if g.one_in(6) { odd(g, 1) } else { json!(["a"]) };
        entity["tags"] = json!({ g.pick(&["t", "u"]): value });
    }
    if g.one_in(25) {
        let member = g.pick(&["uid", "attrs", "parents", "tags", "more"]);
        entity[member] = odd(g, 1);
    }
    entity
}

fn request(g: &mut Gen) -> Request {
    let name = |g: &mut Gen, types: &[&str]| {
        let ty = if g.one_in(12) {
            g.pick(&["Group", "Nobody", "Color", "NS::Folder"])
        } else {
            g.pick(types)
        };
        let id = g.pick(&["0", "1", "9", "red", "blue"]);
        Name::new(ty, id).unwrap()
    };
    let strict = g.one_in(4);
    let action = match g.below(20) {
        0 => Name::new("Action", "bare").unwrap(),
        1 => Name::new("User", "0").unwrap(),
        _ => Name::new("Action", if strict { "strict" } else { "read" }).unwrap(),
    };
    let context = if strict {
        members(g, &["n", "r", "s"], &["n", "r"])
    } else {
        let names = [
            "b", "n", "s", "e", "d", "t", "u", "i", "se", "sd", "sb", "r", "c",
        ];
        members(g, &names, &[])
    };
    let context = match g.below(40) {
        0 => odd(g, 2).as_object().cloned().unwrap_or_default(),
        _ => context,
    };
    let mut entities: Vec<Json> = if g.one_in(2) {
        (0..=g.below(3)).map(|_| inline(g)).collect()
    } else {
        Vec::new()
    };
    // The same entity twice is one.
    if g.one_in(8) {
        entities.extend(entities.first().cloned());
    }
    let facts = g
        .one_in(5)
        .then(|| (0..=g.below(2)).map(|_| inline(g)).collect());
    let resources: &[&str] = if strict {
        &["User"]
    } else {
        &["User", "User", "NS::Folder", "Color"]
    };
    let rule = g.pick(&[InlineRule::Override, InlineRule::Override, InlineRule::Add]);
    Request {
        principal: name(g, &["User"]),
        action,
        resource: name(g, resources),
        context: context.into(),
        entities,
        facts,
        authentication: None,
        obligations: Vec::new(),
        client: None,
        signals: None,
        purpose: crate::request::Purpose::Enforce,
        explain: false,
        at_least: None,
        request_id: None,
        trace: None,
        now: None,
        caller: Caller::new("test", [Scope::Decide], rule, Handles::Any),
    }
}

fn pdp(with_schema: bool, condition: &str) -> Pdp {
    let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
    let builder = Pdp::builder().policies_text("p.cedar", &policy);
    if with_schema {
        let builder = builder.schema_text("s.cedarschema", SCHEMA);
        return builder.entities_text("e.json", ENTITIES).build().unwrap();
    }
    let explicit = ENTITIES.replace(
        r#""boss": {"type": "User", "id": "1"}"#,
        r#""boss": {"__entity": {"type": "User", "id": "1"}}"#,
    );
    builder.entities_text("e.json", &explicit).build().unwrap()
}

/// An entity in a form in which equal ones have equal texts; `None` for one that has no JSON form (reserved
/// names in records).
fn canonical(entity: &Entity) -> Option<String> {
    fn sort(value: &mut RawValue) {
        match value {
            RawValue::Set(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(|item| format!("{item:?}"));
                items.dedup();
            }
            RawValue::Record(fields) => {
                fields.iter_mut().for_each(|(_, value)| sort(value));
                fields.sort_by(|a, b| a.0.cmp(&b.0));
            }
            _ => {}
        }
    }
    let mut entity = NewEntity::from_json(0, &entity.to_json_value().ok()?).unwrap();
    entity.parents.sort();
    for fields in [&mut entity.attrs, &mut entity.tags] {
        fields.iter_mut().for_each(|(_, value)| sort(value));
        fields.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Some(format!("{entity:?}"))
}

/// Compares both readers on one request; whether they took it. The context is compared where policies read the whole
/// of it.
fn same(pdp: &Pdp, request: &Request, whole: bool) -> Result<bool, TestCaseError> {
    let state = pdp.state();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let enriched = enrich(request, &state, now, u64::MAX);
    let enriched = crate::pdp::score::stage::Scored::new(&enriched, None);
    let limits = Limits::default();
    let mut bound = EngineRequest::default();
    let ours = read(&enriched, &limits, &mut bound);
    let cedars = resolve(&enriched, &limits);
    prop_assert_eq!(
        ours.is_ok(),
        cedars.is_ok(),
        "{:?}\n{:?}",
        request,
        cedars.err()
    );
    let (Ok(overlay), Ok(resolved)) = (ours, cedars) else {
        return Ok(false);
    };
    let version = state.store().version();
    // Values that have no JSON form (reserved names in records) are not compared.
    let context = resolved.request.context();
    if let Some(canonical) = context.and_then(|context| context.to_json_value().ok())
        && whole
    {
        let mut again = bound.clone();
        again.context.clear();
        for (name, value) in canonical.as_object().unwrap() {
            again.set_context(version, name, RawValue::from_json(value).unwrap());
        }
        prop_assert_eq!(&bound.context, &again.context, "{:?}", request);
    }
    let exporter = Exporter {
        version,
        locals: Some(&bound.locals),
    };
    let mut ours = BTreeSet::new();
    for (uid, entity) in overlay.iter().flat_map(|overlay| overlay.entities()) {
        let entity = exporter.entity(uid, entity).unwrap();
        ours.extend(canonical(&entity));
    }
    let cedars: BTreeSet<String> = resolved.inline().iter().filter_map(canonical).collect();
    prop_assert_eq!(&ours, &cedars, "{:?}", request);
    // Spelled out, what Cedar read is what we read.
    let mut again = EngineRequest::default();
    if let Ok(overlay) = spelled::bind(&enriched, &resolved, &mut again) {
        let exporter = Exporter {
            version,
            locals: Some(&again.locals),
        };
        let entities = overlay.iter().flat_map(|overlay| overlay.entities());
        let spelled = entities.filter_map(|(uid, e)| canonical(&exporter.entity(uid, e)?));
        prop_assert_eq!(spelled.collect::<BTreeSet<_>>(), cedars, "{:?}", request);
        let context = |bound: &EngineRequest| {
            let exporter = Exporter {
                version,
                locals: Some(&bound.locals),
            };
            let fields = InlineEntity {
                attrs: bound.context.fields().to_vec(),
                tags: Vec::new(),
                parents: Vec::new(),
            };
            exporter
                .entity(bound.principal, EntityRef::Inline(&fields))
                .and_then(|e| canonical(&e))
        };
        if whole {
            prop_assert_eq!(context(&again), context(&bound), "{:?}", request);
        }
    }
    Ok(true)
}

fn compare(with_schema: bool, whole: bool) {
    let pdp = pdp(
        with_schema,
        if whole { "context == context" } else { "true" },
    );
    let taken = Cell::new(0u32);
    let seen = Cell::new(0u32);
    proptest!(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() }, |(seed in any::<u64>())| {
        let mut g = Gen::new(seed, 30);
        let request = request(&mut g);
        seen.set(seen.get() + 1);
        if same(&pdp, &request, whole)? {
            taken.set(taken.get() + 1);
        }
    });
    let share = f64::from(taken.get()) / f64::from(seen.get());
    assert!(
        (0.2..0.9).contains(&share),
        "{share} of the requests were taken"
    );
}

#[test]
fn requests_with_a_schema() {
    compare(true, true);
}

#[test]
fn requests_with_a_schema_whose_context_no_policy_reads() {
    compare(true, false);
}

#[test]
fn requests_without_a_schema() {
    compare(false, true);
}
