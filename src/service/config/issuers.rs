//! `[[issuers]]`: whose tokens are believed, for what, and how their claims become a principal or a
//! caller.
//!
//! What enters: tables of the configuration file. What leaves: [`IssuerConfig`]s, checked by
//! [`check`], which names every contradiction.

mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::secret::SecretRef;
use crate::base::files::PathText;
use crate::base::span::Span;
use crate::base::words::words;
use crate::service::net::fetch;

pub use check::check;

/// One issuer of tokens, for one use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences that mean this server; a token must name one of them.
    pub audience: Vec<String>,
    /// Whether its tokens are callers' or principals'.
    pub usage: TokenUsage,
    /// The claim shapes to start from; every other key beats it.
    #[serde(default)]
    pub preset: Preset,

    /// Whether the keys are found by `<issuer>/.well-known/openid-configuration`. The default where
    /// neither `jwks_uri` nor `jwks_file` is given, nor by the preset.
    #[serde(default)]
    pub discovery: Option<bool>,
    /// Where the keys are, instead.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// A file with the keys, instead; read again when it changes.
    #[serde(default)]
    #[schemars(with = "Option<PathText>")]
    pub jwks_file: Option<PathBuf>,
    /// Signature algorithms that are accepted.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<TokenAlgorithm>,

    /// What the clocks of issuer and server may differ by; at most 5 minutes.
    #[serde(default = "default_leeway")]
    pub leeway: Span,
    /// Oldest token that is accepted, by its `iat`, which it must then have.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// What the header `typ` must be, such as `at+jwt`.
    #[serde(default)]
    pub required_type: Option<String>,
    /// Claims that a token must have, by JSON pointer: equal to this value, or a list that holds it.
    #[serde(default)]
    pub require: BTreeMap<String, Value>,

    /// Age at which keys are fetched again.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
    /// Least time between two fetches that unknown keys cause.
    #[serde(default = "default_min_refresh")]
    pub min_refresh: Span,
    /// Age up to which keys are used while the issuer cannot be reached.
    #[serde(default = "default_stale")]
    pub stale: Span,
    /// Time for one call to the issuer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Longest time for which a verified token is not verified again; never beyond its `exp`.
    #[serde(default = "default_cache")]
    pub cache: Span,

    /// The principal's entity type. Required for principals.
    #[serde(default)]
    pub principal_type: Option<String>,
    /// JSON pointer to the claim that is the principal's id; `/sub` if not given.
    #[serde(default)]
    pub principal_id: Option<String>,
    /// Put before the principal's id: keeps two issuers' subjects apart.
    #[serde(default)]
    pub id_prefix: String,
    /// The principal's attributes, each with the JSON pointer to its claim.
    #[serde(default)]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Attributes with fixed values, in Cedar's JSON form.
    #[serde(default)]
    pub constants: BTreeMap<String, Value>,
    /// Claims that list groups.
    #[serde(default)]
    pub groups: Option<Vec<GroupClaim>>,
    /// The entity type of groups; without it no groups are read.
    #[serde(default)]
    pub group_type: Option<String>,
    /// Claims that list roles.
    #[serde(default)]
    pub roles: Option<Vec<GroupClaim>>,
    /// The entity type of roles; without it no roles are read.
    #[serde(default)]
    pub role_type: Option<String>,

    /// JSON pointer to the claim that names the caller.
    #[serde(default)]
    pub caller_name: Option<String>,
    /// JSON pointer to the caller's scopes, a list or a text divided by spaces.
    #[serde(default)]
    pub caller_scopes: Option<String>,
    /// What a scope of this server begins with, such as `deodar:`; it is removed, and other scopes are ignored.
    #[serde(default)]
    pub scope_prefix: Option<String>,

    /// Asks the issuer about each token (RFC 7662).
    #[serde(default)]
    pub introspection: Option<IntrospectionConfig>,
    /// Looks up tokens in the issuer's status lists.
    #[serde(default)]
    pub status_list: Option<StatusListConfig>,
}

words! {
    /// What the tokens of an issuer stand for.
    #[derive(PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum TokenUsage by name {
        /// A principal of requests (`token` in place of `principal`).
        Principal = "principal",
        /// A caller of this server (`Authorization: Bearer`).
        Caller = "caller",
    }
}

/// Claim shapes of well-known issuers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Preset {
    /// OpenID Connect, and `groups`.
    #[default]
    Oidc,
    /// `groups`, `realm_access.roles`, `resource_access.<audience>.roles`, `preferred_username`.
    Keycloak,
    /// `permissions`, and claims with a namespace such as `https://example.com/roles`.
    Auth0,
    /// `cognito:groups`, and access tokens with `client_id` instead of `aud`.
    Cognito,
    /// Keys of Google's token service, and `firebase.sign_in_provider`.
    Firebase,
}

/// Signature algorithms of tokens. Those with shared secrets, and `none`, do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names of RFC 7518, section 3.1")]
#[non_exhaustive]
pub enum TokenAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// A claim that lists groups or roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[non_exhaustive]
pub enum GroupClaim {
    /// A JSON pointer, in which `*` stands for each element or member; the listed texts are ids.
    Pointer(String),
    /// The same with a text put before each, or several in one text.
    Prefixed {
        /// The JSON pointer.
        claim: String,
        /// What is put before each id.
        #[serde(default)]
        prefix: String,
        /// What divides several in one text, such as a blank; empty for a text that is always one.
        #[serde(default)]
        split: Option<String>,
    },
}

/// What to do when a check cannot be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnFailure {
    /// Refuse the token.
    #[default]
    Closed,
    /// Take it, as if the check were not configured.
    Open,
}

/// Introspection of tokens (RFC 7662).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// The endpoint.
    pub url: String,
    /// Who this server is there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretRef,
    /// What to do when there is no answer.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long an answer holds.
    #[serde(default = "default_introspection_cache")]
    pub cache: Span,
}

/// OAuth status lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusListConfig {
    /// What to do when there is no list.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Longest time for which a list is used; its own `ttl` and `exp` may shorten it.
    #[serde(default = "default_status_cache")]
    pub cache: Span,
    /// Whether to refuse tokens that refer to no list.
    #[serde(default)]
    pub required: bool,
}

pub(super) fn default_algorithms() -> Vec<TokenAlgorithm> {
    use TokenAlgorithm::{ES256, EdDSA, PS256, RS256};
    vec![RS256, PS256, ES256, EdDSA]
}

pub(super) fn default_leeway() -> Span {
    Span::seconds(30)
}

fn default_refresh() -> Span {
    Span::hours(1)
}

fn default_min_refresh() -> Span {
    Span::minutes(1)
}

fn default_stale() -> Span {
    Span::days(1)
}

fn default_timeout() -> Span {
    fetch::TIMEOUT.into()
}

fn default_cache() -> Span {
    Span::minutes(5)
}

fn default_introspection_cache() -> Span {
    Span::seconds(30)
}

fn default_status_cache() -> Span {
    Span::minutes(5)
}

impl GroupClaim {
    /// The JSON pointer, and what is put before each id.
    pub(crate) fn parts(&self) -> (&str, &str) {
        match self {
            Self::Pointer(claim) => (claim, ""),
            Self::Prefixed { claim, prefix, .. } => (claim, prefix),
        }
    }

    /// What divides several in one text, where it is said.
    pub(crate) fn split(&self) -> Option<&str> {
        match self {
            Self::Pointer(_) => None,
            Self::Prefixed { split, .. } => split.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        issuers: Vec<IssuerConfig>,
    }

    fn read(text: &str) -> Vec<IssuerConfig> {
        toml::from_str::<File>(text).unwrap().issuers
    }

    #[track_caller]
    fn check_faults(text: &str, expect: &[&str]) {
        let faults = check(&read(text));
        let got: Vec<_> = faults.iter().map(|fault| fault.message()).collect();
        assert_eq!(got.len(), expect.len(), "{got:#?}");
        for (got, expect) in got.iter().zip(expect) {
            assert!(got.contains(expect), "{got} lacks {expect}");
        }
    }

    const PRINCIPALS: &str = r#"
        [[issuers]]
        issuer = "https://id.example.com/realm"
        audience = ["deodar"]
        usage = "principal"
        principal_type = "User"
    "#;

    #[test]
    fn a_short_table_is_enough() {
        let config = &read(PRINCIPALS)[0];
        assert!(config.check().iter().next().is_none());
        assert!(config.finds_by_discovery());
        assert_eq!(config.leeway, Span::seconds(30));
        assert_eq!(config.algorithms, default_algorithms());
    }

    #[test]
    fn a_long_table_is_read() {
        let config = crate::service::config::tests::load(
            r#"
            [[issuers]]
            issuer = "https://id.example.com/realm"
            audience = ["deodar", "other"]
            usage = "principal"
            preset = "keycloak"
            jwks_file = "keys.json"
            algorithms = ["ES256"]
            leeway = "1m"
            max_age = "12h"
            required_type = "at+jwt"
            require = {"/azp" = "web"}
            principal_type = "Acme::User"
            principal_id = "/preferred_username"
            attributes = {email = "/email"}
            constants = {tenant = "acme", level = 3}
            groups = ["/groups", {claim = "/resource_access/x/roles", prefix = "x:"}]
            group_type = "Acme::Group"
            [issuers.introspection]
            url = "https://id.example.com/introspect"
            client_id = "deodar"
            client_secret = {file = "secret"}
            on_failure = "open"
            cache = "10s"
            [issuers.status_list]
            on_failure = "closed"
        "#,
            &[],
            &[],
        );
        let config = &config.unwrap().issuers[0];
        assert!(config.check().iter().next().is_none());
        assert_eq!(
            config.jwks_file.as_deref(),
            Some(std::path::Path::new("/etc/deodar/keys.json"))
        );
        let introspection = config.introspection.as_ref().unwrap();
        assert_eq!(
            introspection.client_secret,
            SecretRef::File("/etc/deodar/secret".into())
        );
        assert_eq!(introspection.on_failure, OnFailure::Open);
        assert_eq!(
            config.groups.as_ref().unwrap()[1].parts(),
            ("/resource_access/x/roles", "x:")
        );
    }

    #[test]
    fn shared_secrets_and_unknown_keys_are_no_configuration() {
        for (line, expect) in [
            ("algorithms = [\"HS256\"]", "HS256"),
            ("algorithms = [\"none\"]", "none"),
            ("algoritms = [\"ES256\"]", "algoritms"),
            ("leeway = 30", "string"),
            ("leeway = \"soon\"", "soon"),
            ("preset = \"okta\"", "okta"),
        ] {
            let error = toml::from_str::<File>(&format!("{PRINCIPALS}\n{line}")).unwrap_err();
            assert!(error.to_string().contains(expect), "{error}");
        }
    }

    #[test]
    fn every_contradiction_is_named() {
        check_faults(
            r#"
            [[issuers]]
            issuer = "http://id.example.com"
            audience = []
            usage = "principal"
            discovery = true
            jwks_uri = "http://id.example.com/keys"
            algorithms = []
            leeway = "10m"
            min_refresh = "2h"
            stale = "1m"
            principal_id = "sub"
            group_type = "a group"
            roles = ["/a~2b"]
            attributes = {a = "/a"}
            constants = {a = 1, b = 1.5, c = 2026-03-10}
            scope_prefix = "deodar:"
        "#,
            &[
                "`audience` names no audience",
                "`algorithms` is empty",
                "`leeway` is longer than 5m",
                "`discovery` and `jwks_uri` both",
                "`issuer`: `http://id.example.com`: only https",
                "`jwks_uri`: `http://id.example.com/keys`: only https",
                "`min_refresh` is longer than `refresh`",
                "`stale` is shorter than `refresh`",
                "`principal_type` is not given",
                "`a group` is not a Cedar type name",
                "`roles` is given and `role_type` is not",
                "`/a~2b` is not a JSON pointer",
                "`principal_id`: `sub` is not a JSON pointer",
                "`a` is in `attributes` and in `constants`",
                "`constants.b` is nothing that Cedar can hold",
                "`constants.c` is nothing that Cedar can hold",
                "`scope_prefix` has no meaning with `usage = \"principal\"`",
            ],
        );
    }

    #[test]
    fn callers_have_keys_of_their_own() {
        check_faults(
            r#"
            [[issuers]]
            issuer = "https://id.example.com"
            audience = ["deodar"]
            usage = "caller"
            discovery = false
            principal_type = "User"
            caller_name = "azp"
        "#,
            &[
                "nothing says where the keys are",
                "`caller_name`: `azp` is not a JSON pointer",
                "`principal_type` has no meaning",
            ],
        );
    }

    #[test]
    fn firebase_has_one_shape() {
        let table = |issuer: &str, audience: &str| {
            format!(
                "[[issuers]]\nissuer = \"{issuer}\"\naudience = [\"{audience}\"]\nusage = \"principal\"\n\
                 preset = \"firebase\"\nprincipal_type = \"User\"\n"
            )
        };
        check_faults(&table("https://securetoken.google.com/acme", "acme"), &[]);
        check_faults(
            &table("https://securetoken.google.com/acme", "other"),
            &["is the project, `acme`"],
        );
        check_faults(
            &table("https://example.com/acme", "acme"),
            &["fits issuers"],
        );
    }

    #[test]
    fn callers_and_principals_share_no_audience() {
        let table = |audience: &str, usage: &str| {
            let more = if usage == "principal" {
                "principal_type = \"User\"\n"
            } else {
                ""
            };
            format!(
                "[[issuers]]\nissuer = \"https://id.example.com\"\naudience = [\"{audience}\"]\n\
                 usage = \"{usage}\"\n{more}"
            )
        };
        let both = |a: &str, b: &str| table(a, "principal") + &table(b, "caller");
        check_faults(&both("app", "deodar"), &[]);
        check_faults(
            &both("app", "app"),
            &["audience `app` is that of callers and that of principals"],
        );
        check_faults(
            &(table("app", "caller") + &table("app", "caller")),
            &["audience `app` is given twice"],
        );
    }
}
