//! `[[issuers]]`: whose tokens are believed, for what, and how their claims become a principal or a
//! caller.
//!
//! What enters: tables of the configuration file. What leaves: [`IssuerConfig`]s, checked by
//! [`check`], which names every contradiction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::secret::SecretRef;
use crate::fault::{Fault, Faults};
use crate::fetch;
use crate::request::EntityRef;

/// One issuer of tokens, for one use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences that stand for this server; a token must name one of them.
    pub audience: Vec<String>,
    /// What its tokens stand for.
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
    pub jwks_file: Option<PathBuf>,
    /// Signature algorithms that are taken.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<TokenAlgorithm>,

    /// What the clocks of issuer and server may differ by; at most 5 minutes.
    #[serde(default = "default_leeway", deserialize_with = "duration")]
    pub leeway: Duration,
    /// Oldest token that is taken, by its `iat`, which it must then have.
    #[serde(default, deserialize_with = "some_duration")]
    pub max_age: Option<Duration>,
    /// What the header `typ` must be, such as `at+jwt`.
    #[serde(default)]
    pub required_type: Option<String>,
    /// Claims that a token must have, by JSON pointer: equal to this value, or a list that holds it.
    #[serde(default)]
    pub require: BTreeMap<String, Value>,

    /// Age at which keys are fetched again.
    #[serde(default = "default_refresh", deserialize_with = "duration")]
    pub refresh: Duration,
    /// Least time between two fetches that unknown keys cause.
    #[serde(default = "default_min_refresh", deserialize_with = "duration")]
    pub min_refresh: Duration,
    /// Age up to which keys are used while the issuer cannot be reached.
    #[serde(default = "default_stale", deserialize_with = "duration")]
    pub stale: Duration,
    /// Time for one call to the issuer.
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// Longest time for which a verified token is not verified again; never beyond its `exp`.
    #[serde(default = "default_cache", deserialize_with = "duration")]
    pub cache: Duration,

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
    /// The entity type of groups; without it no groups are taken over.
    #[serde(default)]
    pub group_type: Option<String>,
    /// Claims that list roles.
    #[serde(default)]
    pub roles: Option<Vec<GroupClaim>>,
    /// The entity type of roles; without it no roles are taken over.
    #[serde(default)]
    pub role_type: Option<String>,

    /// JSON pointer to the claim that names the caller.
    #[serde(default)]
    pub caller_name: Option<String>,
    /// JSON pointer to the caller's scopes, a list or a text divided by spaces.
    #[serde(default)]
    pub caller_scopes: Option<String>,
    /// What a scope of this server begins with, such as `deodar:`; it is taken off, and other scopes
    /// are passed over.
    #[serde(default)]
    pub scope_prefix: Option<String>,

    /// Asks the issuer about each token (RFC 7662).
    #[serde(default)]
    pub introspection: Option<IntrospectionConfig>,
    /// Looks up tokens in the issuer's status lists.
    #[serde(default)]
    pub status_list: Option<StatusListConfig>,
}

/// What the tokens of an issuer stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUsage {
    /// A principal of requests (`token` in place of `principal`).
    Principal,
    /// A caller of this server (`Authorization: Bearer`).
    Caller,
}

impl TokenUsage {
    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Caller => "caller",
        }
    }
}

/// Claim shapes of well-known issuers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[expect(missing_docs, reason = "the names of RFC 7518, section 3.1")]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum GroupClaim {
    /// A JSON pointer; the listed texts are ids.
    Pointer(String),
    /// The same with a text put before each.
    Prefixed {
        /// The JSON pointer.
        claim: String,
        /// What is put before each id.
        prefix: String,
    },
}

/// What to do when a check cannot be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Refuse the token.
    #[default]
    Closed,
    /// Take it, as if the check were not configured.
    Open,
}

/// Introspection of tokens (RFC 7662).
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    #[serde(default = "default_introspection_cache", deserialize_with = "duration")]
    pub cache: Duration,
}

/// OAuth status lists.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusListConfig {
    /// What to do when there is no list.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Longest time for which a list is used; its own `ttl` and `exp` may shorten it.
    #[serde(default = "default_status_cache", deserialize_with = "duration")]
    pub cache: Duration,
    /// Whether to refuse tokens that refer to no list.
    #[serde(default)]
    pub required: bool,
}

fn default_algorithms() -> Vec<TokenAlgorithm> {
    use TokenAlgorithm::{ES256, EdDSA, PS256, RS256};
    vec![RS256, PS256, ES256, EdDSA]
}

fn default_leeway() -> Duration {
    Duration::from_secs(30)
}

fn default_refresh() -> Duration {
    Duration::from_secs(3_600)
}

fn default_min_refresh() -> Duration {
    Duration::from_secs(60)
}

fn default_stale() -> Duration {
    Duration::from_secs(24 * 3_600)
}

fn default_timeout() -> Duration {
    fetch::TIMEOUT
}

fn default_cache() -> Duration {
    Duration::from_secs(300)
}

fn default_introspection_cache() -> Duration {
    Duration::from_secs(30)
}

fn default_status_cache() -> Duration {
    Duration::from_secs(300)
}

fn duration<'de, D: Deserializer<'de>>(reader: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(reader)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!(
            "expected a duration such as 5s or 100ms, found `{text}`"
        ))
    })
}

fn some_duration<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
    duration(reader).map(Some)
}

impl GroupClaim {
    /// The JSON pointer, and what is put before each id.
    pub(crate) fn parts(&self) -> (&str, &str) {
        match self {
            Self::Pointer(claim) => (claim, ""),
            Self::Prefixed { claim, prefix } => (claim, prefix),
        }
    }
}

impl IssuerConfig {
    /// Resolves relative paths against the directory of the file they stand in.
    pub fn relative_to(&mut self, base: &Path) {
        if let Some(path) = &mut self.jwks_file {
            *path = base.join(&*path);
        }
        if let Some(introspection) = &mut self.introspection
            && let SecretRef::File(path) = &mut introspection.client_secret
        {
            *path = base.join(&*path);
        }
    }

    /// What no single key can say: every contradiction.
    #[must_use]
    pub fn check(&self) -> Faults {
        let mut notes = Notes {
            issuer: &self.issuer,
            faults: Faults::new(),
        };
        self.check_source(&mut notes);
        self.check_times(&mut notes);
        self.check_preset(&mut notes);
        match self.usage {
            TokenUsage::Principal => self.check_principal(&mut notes),
            TokenUsage::Caller => self.check_caller(&mut notes),
        }
        for pointer in self.require.keys() {
            notes.pointer("require", pointer);
        }
        if let Some(introspection) = &self.introspection {
            notes.address("introspection.url", &introspection.url);
            if introspection.client_id.is_empty() {
                notes.note("`introspection.client_id` is empty", "name the client");
            }
            notes.at_most("introspection.cache", introspection.cache, 3_600);
        }
        if let Some(list) = &self.status_list {
            notes.at_most("status_list.cache", list.cache, 24 * 3_600);
        }
        notes.faults
    }

    fn check_source(&self, notes: &mut Notes<'_>) {
        if self.issuer.is_empty() {
            notes.note("`issuer` is empty", "write the `iss` of its tokens");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            notes.note(
                "`audience` names nobody",
                "list the `aud` that its tokens for this server have",
            );
        }
        let given = [
            ("discovery", self.discovery == Some(true)),
            ("jwks_uri", self.jwks_uri.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, is)| *is).collect();
        if let [(one, _), (other, _), ..] = given.as_slice() {
            notes.note(
                format!("`{one}` and `{other}` both say where the keys are"),
                "keep one of them",
            );
        }
        if given.is_empty() && self.discovery == Some(false) && self.preset != Preset::Firebase {
            notes.note(
                "nothing says where the keys are",
                "give `jwks_uri` or `jwks_file`, or leave out `discovery = false`",
            );
        }
        if self.finds_by_discovery() {
            notes.address("issuer", &self.issuer);
            if self.issuer.contains(['?', '#']) {
                notes.note(
                    "an `issuer` with a query or a fragment cannot be discovered",
                    "give `jwks_uri`",
                );
            }
        }
        if let Some(uri) = &self.jwks_uri {
            notes.address("jwks_uri", uri);
        }
        if self.algorithms.is_empty() {
            notes.note(
                "`algorithms` is empty, so that no token could be taken",
                "leave the key out for the default",
            );
        }
        if self.required_type.as_deref() == Some("") {
            notes.note("`required_type` is empty", "leave the key out");
        }
    }

    /// Whether the keys are found by the issuer's discovery document.
    pub(crate) fn finds_by_discovery(&self) -> bool {
        let elsewhere =
            self.jwks_uri.is_some() || self.jwks_file.is_some() || self.preset == Preset::Firebase;
        self.discovery.unwrap_or(!elsewhere)
    }

    fn check_times(&self, notes: &mut Notes<'_>) {
        notes.at_most("leeway", self.leeway, 300);
        notes.at_most("timeout", self.timeout, 60);
        notes.at_most("cache", self.cache, 24 * 3_600);
        notes.at_most("refresh", self.refresh, 7 * 24 * 3_600);
        notes.at_most("stale", self.stale, 30 * 24 * 3_600);
        for (key, value, least) in [
            ("timeout", self.timeout, Duration::from_millis(100)),
            ("min_refresh", self.min_refresh, Duration::from_secs(1)),
        ] {
            if value < least {
                let least = humantime::format_duration(least);
                notes.note(format!("`{key}` is shorter than {least}"), "lengthen it");
            }
        }
        if self.min_refresh > self.refresh {
            notes.note(
                "`min_refresh` is longer than `refresh`",
                "keys are fetched at most every `min_refresh` and at least every `refresh`",
            );
        }
        if self.stale < self.refresh {
            notes.note(
                "`stale` is shorter than `refresh`: keys would be too old before they are fetched again",
                "lengthen `stale`",
            );
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            notes.note("`max_age` is no time at all", "leave the key out");
        }
    }

    fn check_preset(&self, notes: &mut Notes<'_>) {
        if self.preset != Preset::Firebase {
            return;
        }
        match self.firebase_project() {
            None => notes.note(
                "`preset = \"firebase\"` fits issuers `https://securetoken.google.com/<project>` only",
                "write the project's id after the last slash",
            ),
            Some(project) if self.audience != [project] => notes.note(
                format!("the `audience` of firebase tokens is the project, `{project}`"),
                "write it as the only one",
            ),
            Some(_) => {}
        }
    }

    fn firebase_project(&self) -> Option<&str> {
        let project = self
            .issuer
            .strip_prefix("https://securetoken.google.com/")?;
        (!project.is_empty() && !project.contains('/')).then_some(project)
    }

    fn check_principal(&self, notes: &mut Notes<'_>) {
        if self.principal_type.is_none() {
            notes.note(
                "`principal_type` is not given",
                "write the entity type of its principals, such as \"User\"",
            );
        }
        for (key, name) in [
            ("principal_type", &self.principal_type),
            ("group_type", &self.group_type),
            ("role_type", &self.role_type),
        ] {
            if let Some(name) = name
                && EntityRef::of(name, "").is_err()
            {
                notes.note(
                    format!("`{key}`: `{name}` is not a Cedar type name"),
                    "write a name such as `Workspace::User`",
                );
            }
        }
        for (key, list, of_type, type_key) in [
            ("groups", &self.groups, &self.group_type, "group_type"),
            ("roles", &self.roles, &self.role_type, "role_type"),
        ] {
            if list.is_some() && of_type.is_none() {
                notes.note(
                    format!("`{key}` is given and `{type_key}` is not"),
                    format!("write the entity type as `{type_key}`"),
                );
            }
            for claim in list.iter().flatten() {
                notes.pointer(key, claim.parts().0);
            }
        }
        if let Some(pointer) = &self.principal_id {
            notes.pointer("principal_id", pointer);
        }
        for (name, pointer) in self.attributes.iter().flatten() {
            notes.pointer("attributes", pointer);
            if self.constants.contains_key(name) {
                notes.note(
                    format!("attribute `{name}` is in `attributes` and in `constants`"),
                    "keep one of them",
                );
            }
        }
        for (name, value) in &self.constants {
            if !holdable(value) {
                notes.note(
                    format!("`constants.{name}` is nothing that Cedar can hold"),
                    "write text, whole numbers, booleans, lists or tables of them",
                );
            }
        }
        notes.not_for(
            self.usage,
            &[
                ("caller_name", self.caller_name.is_some()),
                ("caller_scopes", self.caller_scopes.is_some()),
                ("scope_prefix", self.scope_prefix.is_some()),
            ],
        );
    }

    fn check_caller(&self, notes: &mut Notes<'_>) {
        for (key, pointer) in [
            ("caller_name", &self.caller_name),
            ("caller_scopes", &self.caller_scopes),
        ] {
            if let Some(pointer) = pointer {
                notes.pointer(key, pointer);
            }
        }
        notes.not_for(
            self.usage,
            &[
                ("principal_type", self.principal_type.is_some()),
                ("principal_id", self.principal_id.is_some()),
                ("id_prefix", !self.id_prefix.is_empty()),
                ("attributes", self.attributes.is_some()),
                ("constants", !self.constants.is_empty()),
                ("groups", self.groups.is_some()),
                ("group_type", self.group_type.is_some()),
                ("roles", self.roles.is_some()),
                ("role_type", self.role_type.is_some()),
            ],
        );
    }
}

/// Whether a constant is a value that Cedar can hold.
fn holdable(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some(),
        Value::Array(items) => items.iter().all(holdable),
        Value::Object(members) => members.values().all(holdable),
    }
}

/// The faults of one table.
struct Notes<'a> {
    issuer: &'a str,
    faults: Faults,
}

impl Notes<'_> {
    fn note(&mut self, message: impl AsRef<str>, help: impl Into<String>) {
        self.faults
            .push(fault(self.issuer, message.as_ref()).help(help));
    }

    fn address(&mut self, key: &str, url: &str) {
        if let Err(error) = fetch::may_call(url) {
            self.note(format!("`{key}`: {error}"), "write a whole https address");
        }
    }

    /// RFC 6901: a pointer begins with `/`, and `~` is written `~0`, `/` within a name `~1`.
    fn pointer(&mut self, key: &str, pointer: &str) {
        let mut after = pointer.split('~').skip(1);
        if !pointer.starts_with('/') || after.any(|rest| !rest.starts_with(['0', '1'])) {
            self.note(
                format!("`{key}`: `{pointer}` is not a JSON pointer"),
                "write it as `/realm_access/roles`; `/` within a name is `~1`, `~` is `~0`",
            );
        }
    }

    fn at_most(&mut self, key: &str, value: Duration, seconds: u64) {
        let most = Duration::from_secs(seconds);
        if value > most {
            let most = humantime::format_duration(most);
            self.note(format!("`{key}` is longer than {most}"), "shorten it");
        }
    }

    fn not_for(&mut self, usage: TokenUsage, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            self.note(
                format!("`{key}` has no meaning with `usage = \"{}\"`", usage.name()),
                "leave the key out",
            );
        }
    }
}

fn fault(issuer: &str, message: &str) -> Fault {
    Fault::new("config", format!("[[issuers]] `{issuer}`: {message}"))
}

/// Every contradiction within the tables and between them.
#[must_use]
pub fn check(issuers: &[IssuerConfig]) -> Faults {
    let mut faults = Faults::new();
    for issuer in issuers {
        faults.extend(issuer.check());
    }
    faults.extend(disjoint(issuers));
    faults
}

/// Callers and principals share no (issuer, audience), and no pair is in two tables of one usage.
///
/// A token that stood for a caller and for a principal could be taken from the one place and used in
/// the other.
#[must_use]
pub fn disjoint(issuers: &[IssuerConfig]) -> Faults {
    let mut faults = Faults::new();
    let mut seen: BTreeMap<(&str, &str), BTreeSet<TokenUsage>> = BTreeMap::new();
    for config in issuers {
        for audience in &config.audience {
            let usages = seen.entry((&config.issuer, audience)).or_default();
            let message = match usages.insert(config.usage) {
                false => format!("audience `{audience}` is given twice"),
                true if usages.len() > 1 => {
                    format!("audience `{audience}` is that of callers and that of principals")
                }
                true => continue,
            };
            faults.push(
                fault(&config.issuer, &message)
                    .help("have the issuer name another audience for the one of them"),
            );
        }
    }
    faults
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
        assert_eq!(config.leeway, Duration::from_secs(30));
        assert_eq!(config.algorithms, default_algorithms());
    }

    #[test]
    fn a_long_table_is_read() {
        let config = &mut read(
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
        )[0];
        config.relative_to(Path::new("/etc/deodar"));
        assert!(config.check().iter().next().is_none());
        assert_eq!(
            config.jwks_file.as_deref(),
            Some(Path::new("/etc/deodar/keys.json"))
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
            constants = {a = 1, b = 1.5}
            scope_prefix = "deodar:"
        "#,
            &[
                "`audience` names nobody",
                "`discovery` and `jwks_uri` both",
                "`issuer`: `http://id.example.com`: only https",
                "`jwks_uri`: `http://id.example.com/keys`: only https",
                "`algorithms` is empty",
                "`leeway` is longer than 5m",
                "`min_refresh` is longer than `refresh`",
                "`stale` is shorter than `refresh`",
                "`principal_type` is not given",
                "`a group` is not a Cedar type name",
                "`roles` is given and `role_type` is not",
                "`/a~2b` is not a JSON pointer",
                "`principal_id`: `sub` is not a JSON pointer",
                "`a` is in `attributes` and in `constants`",
                "`constants.b` is nothing that Cedar can hold",
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
