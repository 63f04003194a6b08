//! The principal of a request whose body has a token in its place.

use std::sync::Arc;

use axum::http::StatusCode;

use crate::base::timestamp::Timestamp;
use crate::request::{Authentication, Pending, Request};
use crate::service::config::TokenUsage;
use crate::service::http::app::App;
use crate::service::http::observe::metrics::{Metrics, figures};
use crate::service::http::problem::Problem;
use crate::service::tokens::{Issuers, TokenCounts, TokenError, Verified};

/// The token, if it was verified before.
pub(crate) fn known(
    app: &App,
    pending: &Pending,
    now: Timestamp,
) -> Result<Option<Arc<Verified>>, Problem> {
    let known = issuers(app)?.cached(pending.token(), TokenUsage::Principal, now);
    known.transpose().map_err(problem)
}

/// The token, verified; its issuer may be asked.
pub(crate) async fn verify(
    app: &App,
    pending: &Pending,
    now: Timestamp,
) -> Result<Arc<Verified>, Problem> {
    let verified = issuers(app)?.verify(pending.token(), TokenUsage::Principal, now);
    verified.await.map_err(problem)
}

/// The request of the token's principal.
pub(crate) fn resolve(pending: Pending, verified: &Verified) -> Result<Request, Problem> {
    let Some(principal) = verified.principal.clone() else {
        return Err(problem(TokenError::Unsuitable(
            "it names no principal".into(),
        )));
    };
    let authentication = Authentication {
        acr: verified.acr.clone(),
        amr: verified.amr.clone(),
        auth_time: verified.auth_time,
        issued_at: verified.issued_at,
        session: verified.sid.clone(),
        token: verified.jti.clone(),
    };
    Ok(pending.resolve(principal, Arc::clone(&verified.entities), authentication))
}

fn issuers(app: &App) -> Result<&Issuers, Problem> {
    let issuers = app.issuers.as_ref();
    let issuers = issuers.filter(|issuers| issuers.any(TokenUsage::Principal));
    issuers.ok_or_else(|| {
        let detail = "no token issuer is configured; give `principal` instead";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail).at("/token")
    })
}

/// What the calling service is told of its user's token; the log learns the rest.
fn problem(error: TokenError) -> Problem {
    let message = error.to_string();
    if error.is_unavailable() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), message).retry_after(1);
    }
    Problem::new(StatusCode::BAD_REQUEST, error.code(), message).at("/token")
}

/// Shows how tokens fare among the metrics.
pub(crate) fn watch(issuers: &Issuers, metrics: &Metrics) {
    let figure = |read: fn(&TokenCounts) -> u64| {
        let issuers = issuers.clone();
        move || read(&issuers.counts())
    };
    let refused = |counts: &TokenCounts| counts.refused.iter().map(|(_, count)| count).sum::<u64>();
    let all = issuers.clone();
    let verified = move || {
        let counts = all.counts();
        counts.verified + refused(&counts)
    };
    figures! { metrics;
        watch_counter "token_cache_hits" "Tokens that were verified before" = figure(|counts| counts.cached);
        watch_counter "issuer_key_fetches" "Fetches of the keys of issuers" = figure(|counts| counts.key_fetches);
        watch_counter "issuer_key_failures" "Fetches of the keys of issuers that failed"
            = figure(|counts| counts.key_failures);
        watch_counter "token_verifications" "Tokens that were verified, including refused ones" = verified;
    }
}
