//! Claim shapes of well-known issuers: where each keeps what, unless the configuration says otherwise.

use serde_json::{Map, Value};

use super::claims::{at, texts};
use super::error::TokenError;
use crate::config::{IssuerConfig, Preset};

/// Google's keys for Firebase tokens.
const FIREBASE_KEYS: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// Where a list of groups or roles is, and what is put before each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) place: Place,
    pub(super) prefix: String,
}

/// Where a claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At a JSON pointer.
    Pointer(String),
    /// At the top, in any namespace: `https://../<name>`.
    Namespaced(&'static str),
}

impl List {
    fn at(pointer: impl Into<String>) -> Self {
        Self {
            place: Place::Pointer(pointer.into()),
            prefix: String::new(),
        }
    }

    /// The listed ids, each with the prefix.
    pub(super) fn ids(&self, claims: &Map<String, Value>) -> Vec<String> {
        let listed = match &self.place {
            Place::Pointer(pointer) => at(claims, pointer).map(texts).unwrap_or_default(),
            Place::Namespaced(name) => claims
                .iter()
                .filter(|(claim, _)| {
                    claim.starts_with("https://")
                        && claim
                            .rsplit_once('/')
                            .is_some_and(|(_, last)| last == *name)
                })
                .flat_map(|(_, value)| texts(value))
                .collect(),
        };
        let prefixed = listed.into_iter();
        prefixed.map(|id| format!("{}{id}", self.prefix)).collect()
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
                .ok_or_else(|| TokenError::malformed("`aud` is no list of texts")),
            Some(_) => Err(TokenError::malformed("`aud` is no text")),
            None => Err(TokenError::malformed("it has no `aud`")),
        }
    }
}

fn namespaced(name: &'static str) -> List {
    List {
        place: Place::Namespaced(name),
        prefix: String::new(),
    }
}

/// Roles of the realm as they are, roles of a client with its name: an admin of the one client is not
/// one of the realm.
fn keycloak_roles(audience: &[String]) -> Vec<List> {
    let mut lists = vec![List::at("/realm_access/roles")];
    for client in audience {
        let name = client.replace('~', "~0").replace('/', "~1");
        lists.push(List {
            place: Place::Pointer(format!("/resource_access/{name}/roles")),
            prefix: format!("{client}:"),
        });
    }
    lists
}
