//! A decision that needs no memory takes none.

use deodar::{Pdp, Request};
use serde_json::json;

/// Policies with 16 reasons for one request, entities with parents, a context of scalars.
fn pdp() -> Pdp {
    let mut policies = String::from(
        "@id(\"locked\") forbid(principal, action, resource) when { resource.locked };\n",
    );
    for n in 0..200 {
        let (role, folder) = (n % 20, n % 30);
        policies.push_str(&format!(
            "@id(\"p{n}\") permit(principal in Role::\"{role}\", action in [Action::\"read\", Action::\"edit\"], \
             resource in Folder::\"{folder}\") when {{ context.mfa && resource.level <= principal.clearance }};\n"
        ));
    }
    for n in 0..16 {
        policies.push_str(&format!(
            "@id(\"w{n}\") permit(principal == User::\"wide\", action, resource) when {{ context.mfa && {n} <= 16 }};\n"
        ));
    }
    let uid = |ty: &str, id: usize| json!({"type": ty, "id": id.to_string()});
    let entities = json!([
        {"uid": {"type": "User", "id": "ada"}, "attrs": {"clearance": 5}, "parents": [uid("Role", 1), uid("Role", 2)]},
        {"uid": {"type": "User", "id": "wide"}, "attrs": {"clearance": 5}, "parents": []},
        {"uid": {"type": "Doc", "id": "plan"}, "attrs": {"level": 1, "locked": false}, "parents": [uid("Folder", 1), uid("Folder", 12)]},
        {"uid": {"type": "Action", "id": "read"}, "attrs": {}, "parents": []},
    ]);
    Pdp::builder()
        .policies_text("p.cedar", &policies)
        .entities_text("e.json", &entities.to_string())
        .build()
        .unwrap()
}

fn request(principal: &str, action: &str) -> Request {
    Request::builder()
        .principal(("User", principal))
        .action(("Action", action))
        .resource(("Doc", "plan"))
        .context(json!({"mfa": true, "channel": "web", "hour": 9}))
        .build()
        .unwrap()
}

#[test]
fn a_warm_decision_allocates_nothing() {
    let pdp = pdp();
    let requests = [
        request("ada", "read"),
        request("ada", "delete"),
        request("wide", "read"),
        request("stranger", "read"),
    ];
    let decide = || {
        for request in &requests {
            std::hint::black_box(pdp.authorize(request).unwrap().is_allow());
        }
    };
    decide();
    assert_eq!(
        pdp.authorize(&requests[2])
            .unwrap()
            .determining_policies()
            .count(),
        16
    );
    let counted = allocation_counter::measure(decide);
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert_eq!(pdp.engine_fallbacks(), 0);
}
