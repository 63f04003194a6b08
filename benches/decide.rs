//! Cost of a decision by the number of policies, beside Cedar's own authorizer on the same policies.
//!
//! The workload: `permit(principal in Role, action in [two actions], resource in Folder) when
//! {context.mfa && resource.level <= principal.clearance}` and one forbid; requests are drawn evenly
//! from 100,000 distinct ones, 1 to 5 policies are satisfied each.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

use std::hint::black_box;

use cedar_policy::{Authorizer, Context, Entities, PolicySet};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deodar::{Pdp, Request};
use serde_json::{Value, json};

const REQUESTS: usize = 100_000;
const USERS: usize = 1_000;
const DOCUMENTS: usize = 1_000;

fn policies(count: usize) -> String {
    let mut text = String::from(
        "@id(\"locked\") forbid(principal, action, resource) when { resource.locked };\n",
    );
    for n in 0..count {
        let (a, b) = (n % 10, (n + 1) % 10);
        text.push_str(&format!(
            "@id(\"p{n}\") permit(principal in Role::\"{n}\", action in [Action::\"a{a}\", Action::\"a{b}\"], \
             resource in Folder::\"{n}\") when {{ context.mfa && resource.level <= principal.clearance }};\n"
        ));
    }
    text
}

fn uid(kind: &str, id: usize) -> Value {
    json!({"type": kind, "id": id.to_string()})
}

/// Each user has three roles and each document the three folders of the same numbers, so that one to
/// three policies match a pair of the same residue.
fn entities(count: usize) -> Value {
    let near = |n: usize, kind: &str| -> Vec<Value> {
        (0..3).map(|k| uid(kind, (n + k) % count)).collect()
    };
    let users = (0..USERS).map(|n| {
        json!({"uid": uid("User", n), "attrs": {"clearance": 5}, "parents": near(n % count, "Role")})
    });
    let documents = (0..DOCUMENTS).map(|n| {
        json!({"uid": uid("Doc", n), "attrs": {"level": n % 5, "locked": false}, "parents": near(n % count, "Folder")})
    });
    users.chain(documents).collect()
}

fn triple(n: usize) -> (usize, usize, usize) {
    // A fixed linear congruence: the same requests in every run.
    let mixed = n
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        >> 16;
    let user = mixed % USERS;
    (user, (mixed / USERS) % 10, user)
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for count in [10, 100, 1_000] {
        let text = policies(count);
        let data = entities(count);
        let pdp = Pdp::builder()
            .policies_text("p.cedar", &text)
            .entities_text("e.json", &data.to_string())
            .build()
            .expect("the workload is valid");
        let requests: Vec<Request> = (0..REQUESTS)
            .map(|n| {
                let (user, action, document) = triple(n);
                Request::builder()
                    .principal(("User", user.to_string()))
                    .action(("Action", format!("a{action}")))
                    .resource(("Doc", document.to_string()))
                    .context(json!({"mfa": true}))
                    .build()
                    .expect("the workload is valid")
            })
            .collect();
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("deodar", count), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % REQUESTS;
                black_box(pdp.authorize(&requests[turn]).expect("a decision"))
            });
        });

        let set: PolicySet = text.parse().expect("the workload is valid");
        let stored = Entities::from_json_value(data, None).expect("the workload is valid");
        let authorizer = Authorizer::new();
        let requests: Vec<cedar_policy::Request> = (0..REQUESTS)
            .map(|n| {
                let (user, action, document) = triple(n);
                let context = Context::from_json_value(json!({"mfa": true}), None).expect("valid");
                let uid = |text: String| text.parse().expect("valid");
                cedar_policy::Request::new(
                    uid(format!("User::\"{user}\"")),
                    uid(format!("Action::\"a{action}\"")),
                    uid(format!("Doc::\"{document}\"")),
                    context,
                    None,
                )
                .expect("valid")
            })
            .collect();
        group.bench_function(BenchmarkId::new("cedar", count), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % REQUESTS;
                black_box(authorizer.is_authorized(&requests[turn], &set, &stored))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
