//! A decision that needs no memory takes none.

use deodar::score::{Country, DeviceFacts, Evidence, Method, NetworkClass};
use deodar::signals::{AssuranceRecord, Change, DeviceRecord};
use deodar::{
    ClassificationRule, Client, Enforcement, EntityRef, NetworkRule, Pdp, PdpBuilder, Request,
    Signals, Timestamp, TrustConfig,
};
use serde_json::json;

/// Policies with 16 reasons for one request, entities with parents, a context of scalars.
fn pdp() -> Pdp {
    builder().build().unwrap()
}

fn builder() -> PdpBuilder {
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

/// Everything that is looked at for a score, of a principal that the store knows.
fn scored(session: &str) -> Request {
    Request::builder()
        .principal(("User", "ada"))
        .action(("Action", "read"))
        .resource(("Doc", "plan"))
        .context(json!({"mfa": true, "channel": "web", "hour": 9}))
        .client(Client {
            session: Some(session.to_owned()),
            device: Some("laptop".to_owned()),
            ip: Some("10.1.2.3".parse().unwrap()),
            user_agent: None,
        })
        .signals(Signals {
            mfa_enrolled: Some(true),
            country: Country::new("NO"),
            ..Signals::default()
        })
        .build()
        .unwrap()
}

#[test]
fn a_warm_scored_decision_allocates_nothing() {
    for enforcement in [Enforcement::Report, Enforcement::Enforce] {
        let pdp = builder()
            .trust(TrustConfig {
                enforcement,
                classification: vec![ClassificationRule {
                    resource_type: "Doc".to_owned(),
                    attribute: Some("level".to_owned()),
                    values: [("1".to_owned(), "confidential".to_owned())].into(),
                    ..ClassificationRule::default()
                }],
                networks: vec![NetworkRule {
                    cidr: "10.0.0.0/8".to_owned(),
                    class: NetworkClass::Corporate,
                }],
                ..TrustConfig::default()
            })
            .build()
            .unwrap();
        let user = EntityRef::new("User", "ada").unwrap();
        let signals = pdp.signals().unwrap();
        let now = Timestamp::now();
        let device = DeviceRecord {
            id: "laptop".to_owned(),
            user: Some(user.clone()),
            facts: DeviceFacts {
                jailbroken: Some(false),
                ..DeviceFacts::default()
            },
            ..DeviceRecord::default()
        };
        signals.change(Change::Device(device), now).unwrap();
        let proof = Evidence {
            method: Some(Method::Webauthn),
            level: None,
            user_verified: true,
            at: now,
            until: None,
        };
        let record = AssuranceRecord {
            session: "known".to_owned(),
            user,
            evidence: proof,
        };
        signals.change(Change::Assurance(record), now).unwrap();
        let requests = [scored("known"), scored("unknown")];
        let decide = || {
            for request in &requests {
                let outcome = pdp.authorize(request).unwrap();
                std::hint::black_box(outcome.trust().unwrap().assessment().composite);
            }
        };
        decide();
        let reached = |request| {
            let outcome = pdp.authorize(request).unwrap();
            outcome.trust().unwrap().assessment().level.reached
        };
        assert_eq!((reached(&requests[0]), reached(&requests[1])), (4, 0));
        let counted = allocation_counter::measure(decide);
        assert_eq!(counted.count_total, 0, "{enforcement:?} {counted:?}");
    }
}
