//! An axum service with a decision point in its own process: `cargo run --example axum_service`, then
//! `curl -i http://127.0.0.1:8080/documents/plan -H 'X-User: ada'`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use deodar::{Denied, Pdp, Request, RequestError};

const POLICIES: &str = r#"
@id("readers")
permit (principal in Group::"readers", action == Action::"read", resource);

@id("own")
@obligation("log_access")
permit (principal, action, resource) when { resource has owner && resource.owner == principal };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ada"}, "attrs": {}, "parents": [{"type": "Group", "id": "readers"}]},
    {"uid": {"type": "User", "id": "bo"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Document", "id": "plan"},
     "attrs": {"owner": {"__entity": {"type": "User", "id": "bo"}}}, "parents": []}
]"#;

/// Who sends the request. A real service takes this from a session or a verified token.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let user = parts
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        user.map(|user| Self(user.to_owned()))
            .ok_or(Refused::Unauthenticated)
    }
}

/// Why a request is not served.
enum Refused {
    Unauthenticated,
    Denied(Denied),
    Undecided(RequestError),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        Self::Undecided(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "say who you are\n".to_owned()),
            Self::Denied(denied) => (StatusCode::FORBIDDEN, format!("{denied}\n")),
            Self::Undecided(error) => {
                eprintln!("no decision: {error}");
                let text = "no decision was possible\n".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
        .into_response()
    }
}

/// Asks before it acts. A decision takes microseconds and never waits, so it needs no thread of its own.
async fn read(
    State(pdp): State<Arc<Pdp>>,
    User(user): User,
    Path(document): Path<String>,
) -> Result<String, Refused> {
    let request = Request::builder()
        .principal(("User", user.as_str()))
        .action(("Action", "read"))
        .resource(("Document", document.as_str()))
        .build()?;
    let outcome = pdp.authorize(&request)?;
    outcome.require(&["log_access"])?;
    if outcome
        .obligations()
        .any(|duty| duty.name() == "log_access")
    {
        println!("{user} reads {document}");
    }
    Ok(format!("the content of {document}\n"))
}

fn service() -> Result<Router, deodar::BuildError> {
    let pdp = Pdp::builder()
        .policies_text("documents.cedar", POLICIES)
        .entities_text("documents.json", ENTITIES)
        .obligations(["log_access"])
        .build()?;
    let routes = Router::new().route("/documents/{id}", get(read));
    Ok(routes.with_state(Arc::new(pdp)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("serves http://{}/documents/plan", listener.local_addr()?);
    axum::serve(listener, service()?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request as HttpRequest;
    use tower::ServiceExt;

    async fn status(user: Option<&str>, document: &str) -> StatusCode {
        let mut request = HttpRequest::builder().uri(format!("/documents/{document}"));
        if let Some(user) = user {
            request = request.header("X-User", user);
        }
        let request = request.body(Body::empty()).expect("a request");
        let service = service().expect("good policies");
        service.oneshot(request).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn only_those_who_may_read() {
        assert_eq!(status(Some("ada"), "plan").await, StatusCode::OK);
        assert_eq!(status(Some("bo"), "plan").await, StatusCode::OK);
        assert_eq!(status(Some("cy"), "plan").await, StatusCode::FORBIDDEN);
        assert_eq!(status(Some("bo"), "other").await, StatusCode::FORBIDDEN);
        assert_eq!(status(None, "plan").await, StatusCode::UNAUTHORIZED);
    }
}
