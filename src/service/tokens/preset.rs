//! Claim shapes of well-known issuers: where each keeps what, unless the configuration says otherwise.

use serde_json::{Map, Value};

use super::error::TokenError;
use super::find::Claims;
use crate::service::config::{IssuerConfig, Preset};

/// Google's keys for Firebase tokens.
const FIREBASE_KEYS: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// Where a list of groups or roles is, and what is put before each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) place: ClaimPath,
    pub(super) prefix: String,
    /// What divides several in one text.
    pub(super) split: Option<String>,
}

/// Where a claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimPath {
    /// At a JSON pointer.
    Pointer(String),
    /// At the top, in any namespace: `https://../<name>`, `http://../<name>`.
    Namespaced(&'static str),
}

impl List {
    fn at(pointer: impl Into<String>) -> Self {
        Self {
            place: ClaimPath::Pointer(pointer.into()),
            prefix: String::new(),
            split: None,
        }
    }

    /// The listed ids, each with the prefix.
    ///
    /// # Errors
    /// When what is there cannot be read, or is kept elsewhere.
    pub(super) fn ids(&self, claims: &Claims<'_>) -> Result<Vec<String>, TokenError> {
        let split = self.split.as_deref();
        let listed = match &self.place {
            ClaimPath::Pointer(pointer) => claims.list(pointer, split)?,
            ClaimPath::Namespaced(name) => {
                let is = |claim: &str| {
                    let namespace = ["https://", "http://"];
                    namespace.iter().any(|scheme| claim.starts_with(scheme))
                        && claim
                            .rsplit_once('/')
                            .is_some_and(|(_, last)| last == *name)
                };
                let mut ids = Vec::new();
                for claim in claims.names().filter(|claim| is(claim)) {
                    let pointer = claim.replace('~', "~0").replace('/', "~1");
                    ids.extend(claims.list(&format!("/{pointer}"), split)?);
                }
                ids
            }
        };
        let prefixed = listed.into_iter();
        Ok(prefixed.map(|id| format!("{}{id}", self.prefix)).collect())
    }
}

/// The shape of an issuer's tokens.
#[derive(Debug)]
pub(super) struct Shape {
    preset: Preset,
    /// Where the keys are, if not found by discovery.
    pub(super) jwks_uri: Option<&'static str>,
    /// Attributes, each with the pointers that are tried in this order.
    pub(super) attributes: Vec<(&'static str, &'static [&'static str])>,
    /// Where groups are listed.
    pub(super) groups: Vec<List>,
    /// Where roles are listed.
    pub(super) roles: Vec<List>,
    /// What names a caller.
    pub(super) caller_name: &'static str,
    /// What names the session; the first that is there.
    pub(super) session: &'static [&'static str],
}

impl Shape {
    /// The shape that the configuration starts from.
    pub(super) fn of(config: &IssuerConfig) -> Self {
        let plain = Self {
            preset: config.preset,
            jwks_uri: None,
            attributes: Vec::new(),
            groups: vec![List::at("/groups")],
            roles: vec![List::at("/roles")],
            caller_name: "/sub",
            session: &["/sid"],
        };
        match config.preset {
            Preset::Oidc => plain,
            Preset::Keycloak => Self {
                attributes: vec![
                    ("username", &["/preferred_username"]),
                    ("email", &["/email"]),
                ],
                roles: keycloak_roles(&config.audience),
                caller_name: "/azp",
                session: &["/sid", "/session_state"],
                ..plain
            },
            Preset::Auth0 => Self {
                attributes: vec![("permissions", &["/permissions"]), ("email", &["/email"])],
                groups: vec![namespaced("groups")],
                roles: vec![namespaced("roles")],
                caller_name: "/azp",
                ..plain
            },
            Preset::Cognito => Self {
                // The first is in identity tokens, the second in access tokens.
                attributes: vec![
                    ("username", &["/cognito:username", "/username"]),
                    ("email", &["/email"]),
                ],
                groups: vec![List::at("/cognito:groups")],
                roles: Vec::new(),
                caller_name: "/client_id",
                // What all tokens of one sign-in share, and what revocation is about.
                session: &["/origin_jti"],
                ..plain
            },
            Preset::Firebase => Self {
                jwks_uri: Some(FIREBASE_KEYS),
                attributes: vec![
                    ("signInProvider", &["/firebase/sign_in_provider"]),
                    ("tenant", &["/firebase/tenant"]),
                    ("email", &["/email"]),
                ],
                ..plain
            },
        }
    }

    /// What a token of this shape must say besides.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        match self.preset {
            Preset::Cognito if !matches!(text("token_use"), Some("id" | "access")) => Err(
                TokenError::Unsuitable("`token_use` is neither `id` nor `access`".into()),
            ),
            Preset::Firebase if text("sub").is_none_or(str::is_empty) => {
                Err(TokenError::malformed("it has no `sub`"))
            }
            _ => Ok(()),
        }
    }

    /// Whom the token is for.
    pub(super) fn audience(&self, claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
        let claim = match claims.get("aud") {
            None if self.preset == Preset::Cognito
                && claims.get("token_use").and_then(Value::as_str) == Some("access") =>
            {
                claims.get("client_id")
            }
            claim => claim,
        };
        // RFC 7519 section 4.1.3: a text, or a list of texts.
        match claim {
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    TokenError::malformed("`aud` is a list of something else than texts")
                }),
            Some(_) => Err(TokenError::malformed("`aud` is neither a text nor a list")),
            None => Err(TokenError::malformed("it has no `aud`")),
        }
    }
}

fn namespaced(name: &'static str) -> List {
    List {
        place: ClaimPath::Namespaced(name),
        prefix: String::new(),
        split: None,
    }
}

/// Roles of the realm as they are, roles of a client with its name: an admin of the one client is not
/// one of the realm.
fn keycloak_roles(audience: &[String]) -> Vec<List> {
    let mut lists = vec![List::at("/realm_access/roles")];
    for client in audience {
        let name = client.replace('~', "~0").replace('/', "~1");
        lists.push(List {
            place: ClaimPath::Pointer(format!("/resource_access/{name}/roles")),
            prefix: format!("{client}:"),
            split: None,
        });
    }
    lists
}
