//! `GET /whoami`: what a caller is taken for.

use std::sync::Arc;

use axum::Json;
use axum::extract::Extension;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::base::caller::{Handles, Scope};
use crate::service::http::api::body::By;
use crate::service::http::net::peer::Peer;

/// The caller's name, its id, its rights, and whether nobody on the way can read along.
pub(crate) async fn whoami(Extension(caller): By, peer: Option<Extension<Arc<Peer>>>) -> Response {
    let secure = peer.is_some_and(|peer| peer.secure);
    let scopes: Vec<_> = caller.scopes().map(Scope::name).collect();
    let handles = match caller.handles() {
        Handles::Any => json!("any"),
        Handles::Only(names) => json!(names),
    };
    Json(json!({
        "name": caller.name(),
        "id": caller.id(),
        "scopes": scopes,
        "inline": caller.inline().name(),
        "handles": handles,
        "secure": secure,
    }))
    .into_response()
}
