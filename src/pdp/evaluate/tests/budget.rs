//! One budget over a whole request: what it costs, in steps, grows no faster than what is sent.
//!
//! Each shape makes a request of a size. Twice the size may cost twice the steps, and what would cost more than
//! the budget has no answer.

use super::super::{Counts, Evaluated, reference, run};
use crate::base::caller::{Caller, Handles, InlineRule, Scope};
use crate::base::timestamp::Timestamp;
use crate::pdp::Pdp;
use crate::pdp::enrich::enrich;
use crate::pdp::score::stage::Scored;
use crate::request::{Limits, Request, RequestError};
use serde_json::{Value as Json, json};

/// The steps that a request takes, whatever becomes of it.
fn steps(pdp: &Pdp, body: &Json, budget: u64) -> (u64, Result<Evaluated, RequestError>) {
    let compiled =
        |scored: &Scored<'_>, limits: &Limits| run::evaluate(scored, limits, &Counts::default());
    steps_of(compiled, pdp, body, budget)
}

/// The same of an engine.
fn steps_of(
    engine: impl Fn(&Scored<'_>, &Limits) -> Result<Evaluated, RequestError>,
    pdp: &Pdp,
    body: &Json,
    budget: u64,
) -> (u64, Result<Evaluated, RequestError>) {
    let caller = Caller::new(
        "test",
        [Scope::Decide, Scope::Explain],
        InlineRule::Add,
        Handles::Any,
    );
    let limits = Limits {
        inline_entities: 100_000,
        ..Limits::default()
    };
    let request = Request::from_json(body.to_string().as_bytes(), &limits, caller).unwrap();
    let state = pdp.state();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let enriched = enrich(&request, &state, now, budget);
    let scored = Scored::new(&enriched, None);
    let found = engine(&scored, &limits);
    (scored.meter.taken(), found)
}

fn body(more: Json) -> Json {
    let mut body = json!({
        "principal": {"type": "User", "id": "0"},
        "action": {"type": "Action", "id": "read"},
        "resource": {"type": "Doc", "id": "d"},
    });
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    body
}

/// 3,000 groups above `G::"big"`, a chain of 500, users below both, one of them with many attributes.
fn entities() -> String {
    let name = |ty: &str, id: &str| json!({"type": ty, "id": id});
    let entity = |ty: &str, id: &str, attrs: Json, parents: Vec<Json>| json!({"uid": name(ty, id), "attrs": attrs, "parents": parents});
    let wide: Vec<Json> = (0..3_000).map(|n| name("G", &format!("w{n}"))).collect();
    let mut all = vec![entity("G", "big", json!({}), wide)];
    all.extend((0..500).map(|n| {
        let id = |n: i32| format!("c{n}");
        entity("G", &id(n), json!({}), vec![name("G", &id(n + 1))])
    }));
    let large: serde_json::Map<String, Json> =
        (0..2_000).map(|n| (format!("a{n:04}"), json!(n))).collect();
    all.push(entity("User", "large", Json::Object(large), vec![]));
    all.extend((0..400).map(|n| {
        let parents = vec![name("G", "big"), name("G", "c0")];
        entity("User", &n.to_string(), json!({"list": [1, 2, 3]}), parents)
    }));
    Json::Array(all).to_string()
}

const POLICIES: &str = r#"
@id("a") permit(principal, action, resource);
@id("b") forbid(principal, action, resource) when { context has set && context.set.contains(7) };
@id("c") forbid(principal, action, resource) when { context has text && context.text like "*a*b*c*d*" };
@id("d") forbid(principal in G::"nowhere", action, resource);
"#;

fn pdp() -> Pdp {
    let builder = Pdp::builder().policies_text("p.cedar", POLICIES);
    builder
        .entities_text("e.json", &entities())
        .build()
        .unwrap()
}

fn users(n: usize, with: &Json) -> Vec<Json> {
    let user = |n| {
        let mut user = json!({"uid": {"type": "User", "id": format!("{n}")}});
        user.as_object_mut()
            .unwrap()
            .extend(with.as_object().unwrap().clone());
        user
    };
    (0..n).map(user).collect()
}

/// A request of a size.
type Shape = fn(usize) -> Json;

fn nested(depth: usize) -> Json {
    (0..depth).fold(json!(1), |inner, n| json!({ format!("n{n}"): [inner] }))
}

/// Each with the sizes it is tried at.
const SHAPES: &[(&str, usize, Shape)] = &[
    ("unknown members", 5_000, |n| {
        let members = (0..n).map(|n| (format!("unknown {n}"), json!(n)));
        body(json!({"context": members.collect::<serde_json::Map<_, _>>()}))
    }),
    ("known members, last first", 900, |n| {
        let members = (0..n).rev().map(|n| (format!("a{n:04}"), json!(n)));
        body(json!({"context": members.collect::<serde_json::Map<_, _>>()}))
    }),
    ("a set of numbers", 20_000, |n| {
        body(json!({"context": {"set": (0..n).map(|n| n * 65_536 + 100).collect::<Vec<_>>()}}))
    }),
    ("a set of equal beginnings", 500, |n| {
        let items = (0..n).map(|n| json!([[0, 1, 2, 3, n + 10], "x".repeat(50)]));
        body(json!({"context": {"set": items.collect::<Vec<_>>()}}))
    }),
    ("references", 3_000, |n| {
        let to = |n: usize| json!({"__entity": {"type": "User", "id": (n % 400).to_string()}});
        body(json!({"context": {"set": (0..n).map(to).collect::<Vec<_>>()}}))
    }),
    ("a long text", 50_000, |n| {
        body(json!({"context": {"text": "abc".repeat(n / 3)}}))
    }),
    ("nested", 10, |n| {
        body(json!({"context": {"deep": nested(n)}}))
    }),
    ("new entities", 500, |n| {
        let new = |n| json!({"uid": {"type": "Guest", "id": n}, "attrs": {"x": [1, 2]}});
        body(json!({"entities": (0..n).map(|n| new(format!("g{n}"))).collect::<Vec<_>>()}))
    }),
    ("stored entities, nothing new", 200, |n| {
        body(json!({"entities": users(n, &json!({}))}))
    }),
    ("stored entities with their parents", 200, |n| {
        let with = json!({"parents": [{"type": "G", "id": "big"}], "attrs": {"list": [3, 2, 1]}});
        body(json!({"entities": users(n, &with)}))
    }),
    ("the same entity again and again", 100, |n| {
        let same = json!({"uid": {"type": "User", "id": "large"}});
        body(json!({"entities": vec![same; n]}))
    }),
    ("refused at the end", 200, |n| {
        let mut users = users(n, &json!({}));
        users[n - 1]["attrs"] = json!({"x": {"__extn": {"fn": "ip", "arg": "bad"}}});
        body(json!({"entities": users}))
    }),
    ("refused everywhere", 200, |n| {
        body(json!({"entities": users(n, &json!({"attrs": {"list": [null, 1.5]}}))}))
    }),
    ("faults of a context", 5_000, |n| {
        body(json!({"context": {"list": vec![Json::Null; n]}}))
    }),
];

#[test]
fn twice_the_request_costs_twice_the_steps() {
    let pdp = pdp();
    for (name, size, shape) in SHAPES {
        let (one, _) = steps(&pdp, &shape(*size), u64::MAX);
        let (two, _) = steps(&pdp, &shape(2 * size), u64::MAX);
        // What is stored is walked once; beyond it, a logarithm is allowed.
        let most = 2 * one + one / 4 + 1_000;
        assert!(two <= most, "{name}: {one} steps, of twice the size {two}");
        assert!(two < 10_000_000, "{name}: {two} steps");
    }
}

#[test]
fn nothing_takes_more_steps_than_the_budget() {
    let pdp = pdp();
    for (name, size, shape) in SHAPES {
        let request = shape(*size);
        let (whole, _) = steps(&pdp, &request, u64::MAX);
        for part in [0, 1, 100, whole / 4, whole / 2, whole - 1] {
            let (taken, found) = steps(&pdp, &request, part);
            assert!(taken <= part, "{name}: {taken} of {part}");
            assert!(
                matches!(found, Err(RequestError::BudgetExhausted { steps }) if steps == part),
                "{name} with {part} of {whole} steps: {found:?}"
            );
        }
        assert!(steps(&pdp, &request, whole).0 <= whole, "{name}");
    }
}

/// Cedar lists the ancestors of every entity that it is given: that is charged before it does so.
#[test]
fn the_reference_is_charged_for_what_cedar_closes() {
    let name = |ty: &str, id: String| json!({"type": ty, "id": id});
    let parents: Vec<Json> = (0..3_000).map(|n| name("G", n.to_string())).collect();
    let user = json!([{"uid": name("User", "0".to_owned()), "attrs": {}, "parents": parents}]);
    let builder = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);");
    let pdp = builder
        .entities_text("e.json", &user.to_string())
        .build()
        .unwrap();
    let (whole, found) = steps_of(reference::decide, &pdp, &body(json!({})), u64::MAX);
    assert!(found.unwrap().allow && whole > 3_000 * 64, "{whole}");
    for part in (0..whole).step_by(1_000).chain([whole - 1]) {
        let (taken, found) = steps_of(reference::decide, &pdp, &body(json!({})), part);
        assert!(
            taken <= part && matches!(found, Err(RequestError::BudgetExhausted { .. })),
            "{part} of {whole}: {found:?}"
        );
    }
}

#[test]
fn parents_far_above_end_with_the_budget_and_near_ones_cost_little() {
    let pdp = pdp();
    let far = json!({"parents": [{"type": "G", "id": "w2999"}]});
    let request = body(json!({"entities": users(400, &far)}));
    let (_, found) = steps(&pdp, &request, 1_000_000);
    assert!(matches!(found, Err(RequestError::BudgetExhausted { .. })));
    let near = json!({"parents": [{"type": "G", "id": "c0"}, {"type": "G", "id": "big"}]});
    let request = body(json!({"entities": users(400, &near)}));
    let (taken, found) = steps(&pdp, &request, 1_000_000);
    assert!(found.is_ok() && taken < 100_000, "{taken}: {found:?}");
}

#[test]
fn empty_records_of_a_large_declared_type_are_charged_for_what_is_declared() {
    let members: Vec<String> = (0..1_000).map(|n| format!("m{n}?: Long")).collect();
    let schema = format!(
        "entity User; entity Doc; type R = {{ {} }};
         action read appliesTo {{ principal: User, resource: Doc, context: {{ list?: Set<R> }} }};",
        members.join(", ")
    );
    let builder = Pdp::builder().policies_text("p.cedar", "permit(principal, action, resource);");
    let pdp = builder
        .schema_text("s.cedarschema", &schema)
        .build()
        .unwrap();
    let request = body(json!({"context": {"list": vec![json!({}); 2_000]}}));
    let (taken, found) = steps(&pdp, &request, u64::MAX);
    assert!(found.is_ok() && taken > 500_000, "{taken}");
    let (_, found) = steps(&pdp, &request, 100_000);
    assert!(matches!(found, Err(RequestError::BudgetExhausted { .. })));
}

#[test]
fn messages_are_made_while_there_are_steps_and_never_cost_the_answer() {
    let policies: Vec<String> = (0..200)
        .map(|n| {
            format!("@id(\"p{n}\") permit(principal, action, resource) when {{ principal.no{n} }};")
        })
        .collect();
    let builder = Pdp::builder().policies_text("p.cedar", &policies.join("\n"));
    let user = json!([{"uid": {"type": "User", "id": "0"}, "attrs": {}, "parents": []}]);
    let pdp = builder
        .entities_text("e.json", &user.to_string())
        .build()
        .unwrap();
    let request = body(json!({"explain": true}));
    let (plain, _) = steps(&pdp, &body(json!({})), u64::MAX);
    let messages = |more: u64| {
        let budget = plain.saturating_add(more);
        let (taken, found) = steps(&pdp, &request, budget);
        let errors = found.unwrap().errors;
        assert!(errors.len() == 200 && taken <= budget);
        errors
            .iter()
            .filter(|error| error.message.is_some())
            .count()
    };
    assert_eq!(messages(u64::MAX), 50);
    let some = messages(20_000);
    assert!((1..50).contains(&some), "{some}");
    assert_eq!(messages(500), 0);
}
