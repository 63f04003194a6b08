//! Policies whose scope says nothing but the action: only the condition on an attribute tells them apart.
//!
//! Of 10,000 requests, 71 in a hundred are allowed, by one to three policies.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Random, Workload, distinct, entity, reference, request, second, uid};

const ACTIONS: [&str; 2] = ["view", "edit"];

pub(crate) fn build(size: usize, requests: usize) -> Workload {
    let mut random = Random::new();
    let mut policies = String::new();
    for n in 0..size {
        let more = match n % 3 {
            0 => "resource.level <= principal.clearance",
            1 => "context.mfa",
            _ => "resource.owner != principal",
        };
        let _ = writeln!(
            policies,
            "@id(\"p{n}\") permit(principal, action == Action::\"view\", resource) when {{ resource.department == \"d{}\" && {more} }};",
            n / 3
        );
    }

    // One department in five has no policy.
    let departments = size.div_ceil(3) * 5 / 4 + 1;
    let users = 1_000;
    let documents = departments.max(1_000);
    let mut entities: Vec<Value> = ACTIONS
        .iter()
        .map(|action| entity("Action", action, json!({}), vec![]))
        .collect();
    for user in 0..users {
        let attrs = json!({"clearance": 2 + user % 5});
        entities.push(entity("User", &format!("u{user}"), attrs, vec![]));
    }
    for document in 0..documents {
        let attrs = json!({
            "department": format!("d{}", document % departments),
            "level": (document / departments + document) % 6,
            "owner": reference("User", &format!("u{}", document % users)),
        });
        entities.push(entity("Doc", &format!("d{document}"), attrs, vec![]));
    }

    let requests = distinct(requests, || {
        let action = if random.percent(85) { "view" } else { "edit" };
        request(
            uid("User", &format!("u{}", random.below(users))),
            action,
            uid("Doc", &format!("d{}", random.below(documents))),
            json!({"mfa": !random.percent(20), "at": second(&mut random)}),
        )
    });
    Workload {
        policies,
        links: "[]".to_owned(),
        schema: None,
        entities,
        requests,
    }
}
