//! cedarling without tokens (`authorize_unsigned`): principal and resource come with the request, as
//! attributes; they lie in nothing.

use cedarling::blocking::Cedarling as Blocking;
use cedarling::{
    AuthorizationConfig, AuthorizeOptions, BootstrapConfig, CedarEntityMapping, EntityData,
    LogConfig, LogLevel, LogTypeConfig, PolicyStoreConfig, PolicyStoreSource, RequestUnsigned,
};
use serde_json::Value;

use crate::facts::{Grant, Uid};
use crate::given::{Given, Result};
use crate::measure::Peer;

pub struct Cedarling {
    version: String,
    engine: Blocking,
    requests: Vec<RequestUnsigned>,
}

impl Cedarling {
    pub fn new(given: &Given) -> Result<Self> {
        let facts = &given.facts;
        let forbid =
            "forbid(principal, action, resource) when { context has blocked && context.blocked };";
        let mut store = String::from(
            "cedar_version: v4.0.0\npolicy_stores:\n  peers:\n    cedar_version: v4.0.0\n    name: peers\n    policies:\n",
        );
        store.push_str(&stored("blocked", forbid));
        let grants = facts.grants.iter().enumerate();
        store.extend(grants.map(|(n, grant)| stored(&format!("grant{n}"), &policy(grant))));
        let config = BootstrapConfig {
            application_name: "peers".to_owned(),
            log_config: LogConfig {
                log_type: LogTypeConfig::Off,
                log_level: LogLevel::ERROR,
            },
            policy_store_config: PolicyStoreConfig {
                source: PolicyStoreSource::Yaml(store),
                ..PolicyStoreConfig::default()
            },
            authorization_config: AuthorizationConfig {
                strict_schema_validation: false,
                ..AuthorizationConfig::default()
            },
            ..BootstrapConfig::default()
        };

        let requests = facts.questions.iter().map(|question| {
            let (principal, resource) = (&question.principal, &question.resource);
            let sets = [
                ("roles", facts.roles(principal)),
                ("folders", facts.folders(resource)),
            ];
            let [roles, folders] = sets.map(|(name, ids)| (name, Value::from(ids)));
            RequestUnsigned {
                principal: Some(entity(
                    principal,
                    [("clearance", number(given, principal, "clearance")), roles],
                )),
                action: format!("{}::{:?}", question.action.0, question.action.1),
                resource: entity(
                    resource,
                    [("level", number(given, resource, "level")), folders],
                ),
                context: question.context.clone(),
                options: AuthorizeOptions::default(),
            }
        });
        Ok(Self {
            version: given.version("cedarling"),
            requests: requests.collect(),
            engine: Blocking::new(&config)?,
        })
    }
}

fn number(given: &Given, of: &Uid, attribute: &str) -> Value {
    Value::from(given.facts.number(of, attribute))
}

fn entity<const N: usize>((entity_type, id): &Uid, attributes: [(&str, Value); N]) -> EntityData {
    let attributes = attributes.into_iter().filter(|(_, value)| !value.is_null());
    EntityData {
        cedar_mapping: CedarEntityMapping {
            entity_type: entity_type.clone(),
            id: id.clone(),
        },
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

/// A policy of the store, in YAML; a string in JSON is one in YAML.
fn stored(id: &str, policy: &str) -> String {
    let body = Value::from(policy);
    let content = format!("{{encoding: none, content_type: cedar, body: {body}}}");
    format!("      {id}:\n        description: {id}\n        policy_content: {content}\n")
}

fn policy(grant: &Grant) -> String {
    let actions: Vec<_> = grant
        .actions
        .iter()
        .map(|action| format!("Action::{action:?}"))
        .collect();
    format!(
        "permit(principal, action in [{}], resource) when {{ principal.roles.contains({:?}) && \
         resource.folders.contains({:?}) && context.mfa && resource.level <= principal.clearance }};",
        actions.join(", "),
        grant.role,
        grant.folder,
    )
}

impl Peer for Cedarling {
    fn name(&self) -> &str {
        "cedarling"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "without tokens; policies reworded: roles and folders as sets on principal and resource; entities \
         come with the request and are built for each decision; log off"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        let request = self.requests.get(index)?.clone();
        Some(self.engine.authorize_unsigned(request).ok()?.decision)
    }
}
