//! Workloads as Deodar takes them.

#![expect(
    clippy::expect_used,
    reason = "a workload of its own making may stop where it is wrong"
)]
#![allow(dead_code, reason = "each benchmark takes a part of it")]

#[cfg(feature = "server")]
pub(crate) mod server;

use deodar::{Caller, Limits, Pdp, PdpBuilder, Request};

use crate::workload::Workload;

/// A decision point yet to be built.
pub(crate) fn builder(workload: &Workload) -> PdpBuilder {
    let entities = serde_json::to_string(&workload.entities).expect("JSON");
    let builder = Pdp::builder()
        .policies_text("workload.cedar", &workload.policies)
        .links_text("workload.links.json", &workload.links)
        .entities_text("workload.json", &entities);
    match &workload.schema {
        Some(schema) => builder.schema_text("workload.cedarschema", schema),
        None => builder,
    }
}

/// A decision point on the workload.
pub(crate) fn decision_point(workload: &Workload) -> Pdp {
    builder(workload).build().expect("the workload is valid")
}

/// The bodies of the requests.
pub(crate) fn bodies(workload: &Workload) -> Vec<Vec<u8>> {
    let bytes = |body| serde_json::to_vec(body).expect("JSON");
    workload.requests.iter().map(bytes).collect()
}

/// The requests, read and not yet decided.
pub(crate) fn requests(workload: &Workload) -> Vec<Request> {
    let limits = Limits::default();
    let read = |body: Vec<u8>| {
        Request::from_json(&body, &limits, Caller::library()).expect("the workload is valid")
    };
    bodies(workload).into_iter().map(read).collect()
}
