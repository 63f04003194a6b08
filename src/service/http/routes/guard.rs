//! What stands before every route: who asks, whether they may, and whether not too much.

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::base::caller::{Caller, Scope};
use crate::base::timestamp::Timestamp;
use crate::service::http::app::App;
use crate::service::http::gate::limit::{Class, Ticket};
use crate::service::http::headers::request_id;
use crate::service::http::net::peer::Peer;
use crate::service::http::problem::Problem;

/// What it takes to use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing that a caller has: probes, and what transmitters of events show by themselves.
    Nothing,
    /// Being recognised, or anonymous where that is allowed.
    Caller,
    /// A scope.
    Scope(Scope),
}

impl From<Scope> for Needs {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

/// The guard of one route.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) app: Arc<App>,
    pub(crate) needs: Needs,
    pub(crate) class: Class,
}

/// A request that may go on.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) ticket: Ticket,
    /// When it was admitted.
    pub(crate) now: Timestamp,
}

/// Passes a request on with its [`Caller`] as an extension, or answers why not.
pub(crate) async fn pass(
    State(guard): State<Guard>,
    mut http: HttpRequest,
    next: Next,
) -> Response {
    if guard.needs == Needs::Nothing {
        return next.run(http).await;
    }
    let peer = http.extensions().get::<Arc<Peer>>().cloned();
    let peer = peer.unwrap_or_default();
    let (headers, query) = (http.headers(), http.uri().query());
    match admit(&guard.app, headers, query, &peer, guard.needs, guard.class).await {
        Ok(admitted) => {
            http.extensions_mut().insert(admitted.caller);
            let mut response = next.run(http).await;
            admitted.ticket.tell(response.headers_mut());
            response
        }
        Err(problem) => problem.respond(request_id(http.headers()).as_deref()),
    }
}

/// The caller of a request, if it may use the route.
pub(crate) async fn admit(
    app: &App,
    headers: &HeaderMap,
    query: Option<&str>,
    peer: &Peer,
    needs: Needs,
    class: Class,
) -> Result<Admitted, Problem> {
    let now = (app.clock)();
    let caller = app.gate.recognise(headers, query, peer, now).await;
    let caller = caller.inspect_err(|refusal| {
        app.metrics.authentication_failed(refusal.kind());
    })?;
    if let Needs::Scope(scope) = needs
        && !caller.has(scope)
    {
        return Err(lacking(&caller, scope));
    }
    let ticket = app.limiter.admit(&caller, class).inspect_err(|_| {
        app.metrics.rate_limited();
    })?;
    Ok(Admitted {
        caller,
        ticket,
        now,
    })
}

fn lacking(caller: &Caller, scope: Scope) -> Problem {
    let scope = scope.name();
    if caller.is_anonymous() {
        let detail = format!(
            "this takes the scope `{scope}`: send an API key or a token as `Authorization: Bearer <key>`"
        );
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .challenge("Bearer");
    }
    let detail = format!(
        "caller `{}` does not have the scope `{scope}`",
        caller.name()
    );
    Problem::new(StatusCode::FORBIDDEN, "scope_required", detail)
}
