//! `GET /whoami`: what a caller is taken for.

use axum::Json;
use axum::extract::Extension;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::caller::{Caller, Handles, Scope};

/// The caller's name and rights.
pub(super) async fn whoami(Extension(caller): Extension<Caller>) -> Response {
    let scopes: Vec<_> = caller.scopes().map(Scope::name).collect();
    let handles = match caller.handles() {
        Handles::Any => json!("any"),
        Handles::Only(names) => json!(names),
    };
    Json(json!({
        "name": caller.name(),
        "scopes": scopes,
        "inline": caller.inline().name(),
        "handles": handles,
    }))
    .into_response()
}
