//! Cost of a decision, beside Cedar's own authorizer on the same policies, entities and requests in the
//! same run.
//!
//! `deodar` is `Pdp::authorize`, `cedar` is `Authorizer::is_authorized`; both take requests that were
//! built before, in turn out of 100,000 different ones. Nothing is cached between decisions. README.md
//! beside this file says how to run it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark on a workload of its own making may stop where it is wrong"
)]

mod support;
mod workload;

use std::cell::{Cell, LazyCell};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityUid, PolicyId, PolicySet, Schema, SlotId,
};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use deodar::{Caller, authorize_json};
use serde_json::Value;

use support::{bodies, decision_point, requests};
use workload::{Shape, Workload, build, roles};

const REQUESTS: usize = 100_000;
/// The sizes that take minutes and gigabytes are measured only where this variable is set.
const LARGE: &str = "DEODAR_BENCH_LARGE";

fn large() -> bool {
    std::env::var_os(LARGE).is_some()
}

/// What the stock authorizer is given.
struct Stock {
    policies: PolicySet,
    entities: Entities,
    requests: Vec<cedar_policy::Request>,
}

impl Stock {
    fn new(workload: &Workload) -> Self {
        let schema: Option<Schema> = workload.schema.as_ref().map(|text| {
            let (schema, _) = Schema::from_cedarschema_str(text).expect("the workload is valid");
            schema
        });
        let entities = Value::from(workload.entities.clone());
        let request = |body: &Value| {
            let uid = |member: &str| entity_uid(&body[member]);
            let (principal, action, resource) = (uid("principal"), uid("action"), uid("resource"));
            let known = schema.as_ref().map(|schema| (schema, &action));
            let context = Context::from_json_value(body["context"].clone(), known);
            let context = context.expect("the workload is valid");
            cedar_policy::Request::new(principal, action, resource, context, schema.as_ref())
                .expect("the workload is valid")
        };
        Self {
            policies: policies(workload),
            entities: Entities::from_json_value(entities, schema.as_ref())
                .expect("the workload is valid"),
            requests: workload.requests.iter().map(request).collect(),
        }
    }
}

fn entity_uid(value: &Value) -> EntityUid {
    let text = |member: &str| value[member].as_str().expect("a type and an id");
    EntityUid::from_type_name_and_id(
        text("type").parse().expect("a type"),
        EntityId::new(text("id")),
    )
}

fn policies(workload: &Workload) -> PolicySet {
    let mut set: PolicySet = workload.policies.parse().expect("the workload is valid");
    let templates: HashMap<String, PolicyId> = set
        .templates()
        .filter_map(|template| Some((template.annotation("id")?.to_owned(), template.id().clone())))
        .collect();
    let links: Vec<Value> = serde_json::from_str(&workload.links).expect("JSON");
    for link in links {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let slot = |name: &str| -> EntityUid { text(&link["args"][name]).parse().expect("a uid") };
        let values = HashMap::from([
            (SlotId::principal(), slot("?principal")),
            (SlotId::resource(), slot("?resource")),
        ]);
        let template = templates[&text(&link["template_id"])].clone();
        set.link(template, PolicyId::new(text(&link["link_id"])), values)
            .expect("the workload is valid");
    }
    set
}

/// Both sides on one workload. Nothing is made before a benchmark is chosen.
fn compare(
    group: &mut BenchmarkGroup<'_, WallTime>,
    size: usize,
    stock: bool,
    workload: impl FnOnce() -> Workload,
) {
    let workload = LazyCell::new(workload);
    let turn = Cell::new(0);
    let next = || {
        turn.set((turn.get() + 1) % REQUESTS);
        turn.get()
    };

    let deodar = LazyCell::new(|| (decision_point(&workload), requests(&workload)));
    group.bench_function(BenchmarkId::new("deodar", size), |bencher| {
        let (pdp, requests) = &*deodar;
        bencher.iter(|| black_box(pdp.authorize(&requests[next()]).expect("a decision")));
    });
    drop(deodar);

    if stock {
        let cedar = LazyCell::new(|| Stock::new(&workload));
        let authorizer = Authorizer::new();
        group.bench_function(BenchmarkId::new("cedar", size), |bencher| {
            let stock = &*cedar;
            bencher.iter(|| {
                let request = &stock.requests[next()];
                black_box(authorizer.is_authorized(request, &stock.policies, &stock.entities))
            });
        });
    }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::Elements(1))
        .sampling_mode(SamplingMode::Flat);
    group
}

fn by_shape(criterion: &mut Criterion, shape: Shape, sizes: &[usize]) {
    let mut group = group(criterion, shape.name());
    for &size in sizes {
        compare(&mut group, size, true, || build(shape, size, REQUESTS));
    }
    group.finish();
}

/// By the number of policies; of entities of each kind in the three applications.
fn shapes(criterion: &mut Criterion) {
    by_shape(criterion, Shape::Roles, &[10, 1_000, 10_000, 100_000]);
    by_shape(criterion, Shape::RolesLinks, &[1_000, 100_000]);
    if large() {
        let mut group = group(criterion, Shape::RolesLinks.name());
        compare(&mut group, 1_000_000, false, || {
            build(Shape::RolesLinks, 1_000_000, REQUESTS)
        });
        group.finish();
    }
    by_shape(criterion, Shape::Shares, &[10, 1_000, 10_000]);
    by_shape(criterion, Shape::Open, &[1_000]);
    for shape in [
        Shape::Gdrive,
        Shape::GdriveTemplates,
        Shape::Github,
        Shape::GithubTemplates,
        Shape::Tinytodo,
        Shape::TinytodoTemplates,
    ] {
        by_shape(criterion, shape, &[50]);
    }
}

/// By the number of entities, at 1,000 policies.
fn entities(criterion: &mut Criterion) {
    let mut group = group(criterion, "entities");
    for size in [1_000, 10_000, 100_000] {
        compare(&mut group, size, true, || {
            roles::sized(1_000, Some(size), REQUESTS, false)
        });
    }
    if large() {
        compare(&mut group, 1_000_000, false, || {
            roles::sized(1_000, Some(1_000_000), REQUESTS, false)
        });
    }
    group.finish();
}

/// From the bytes of a body to the bytes of its answer.
fn body(criterion: &mut Criterion) {
    let mut group = group(criterion, "body");
    for (shape, size) in [
        (Shape::Roles, 1_000),
        (Shape::Shares, 1_000),
        (Shape::Github, 50),
    ] {
        let state = LazyCell::new(|| {
            let workload = build(shape, size, REQUESTS);
            (decision_point(&workload), bodies(&workload))
        });
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("deodar", shape.name()), |bencher| {
            let (pdp, bodies) = &*state;
            bencher.iter(|| {
                turn = (turn + 1) % REQUESTS;
                black_box(
                    authorize_json(pdp, &bodies[turn], Caller::anonymous()).expect("an answer"),
                )
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // The stock authorizer takes up to a second for one decision: ten samples, of one decision if need be.
    config = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = shapes, entities, body
}
criterion_main!(benches);
