//! cedar-local-agent with its providers that read files, in both ways that it takes entities.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cedar_local_agent::public::file::{entity_provider, policy_set_provider};
use cedar_local_agent::public::simple::{Authorizer, AuthorizerConfigBuilder};
use cedar_policy::{Decision, Entities, Request};
use entity_provider::EntityProvider;
use policy_set_provider::PolicySetProvider;
use serde_json::Value;

use crate::cedar;
use crate::given::{Given, Result};
use crate::measure::Peer;
use crate::ready::ready;

pub struct LocalAgent {
    note: &'static str,
    version: String,
    authorizer: Authorizer<PolicySetProvider, EntityProvider>,
    /// Requests, each with the entities it brings.
    requests: Vec<(Request, Entities)>,
}

impl LocalAgent {
    /// Its file provider holds all entities; it copies them for every decision.
    pub fn stored(given: &Given) -> Result<Self> {
        let requests = cedar::requests(given)?.into_iter();
        let authorizer = with_files(|directory| {
            let path = directory.join("entities.json");
            fs::write(
                &path,
                Value::from(given.workload.entities.clone()).to_string(),
            )?;
            let config = entity_provider::ConfigBuilder::default()
                .entities_path(text(&path))
                .build()?;
            authorizer(given, directory, EntityProvider::new(config)?)
        })?;
        Ok(Self {
            note: "entities stored; it copies all of them for each decision",
            version: given.version("cedar-local-agent"),
            authorizer,
            requests: requests
                .map(|request| (request, Entities::empty()))
                .collect(),
        })
    }

    /// Each request brings its principal, its resource and what they lie in.
    pub fn brought(given: &Given) -> Result<Self> {
        let all = cedar::entities(given)?;
        let requests = given
            .facts
            .questions
            .iter()
            .zip(cedar::requests(given)?)
            .map(|(question, request)| {
                let mut uids = vec![question.principal.clone(), question.resource.clone()];
                uids.extend(given.facts.above(&question.principal));
                uids.extend(given.facts.above(&question.resource));
                uids.sort_unstable();
                uids.dedup();
                let uids = uids.iter().map(cedar::uid).collect::<Result<Vec<_>>>()?;
                let entities = uids.iter().filter_map(|uid| all.get(uid).cloned());
                Ok((request, Entities::from_entities(entities, None)?))
            });
        Ok(Self {
            note: "each request brings its entities, built beforehand; it copies them",
            version: given.version("cedar-local-agent"),
            requests: requests.collect::<Result<_>>()?,
            authorizer: with_files(|directory| {
                authorizer(given, directory, EntityProvider::default())
            })?,
        })
    }
}

/// Its providers read files, once.
fn with_files<T>(build: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let directory = std::env::temp_dir().join(format!("deodar-peers-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let built = build(&directory);
    fs::remove_dir_all(&directory)?;
    built
}

fn authorizer(
    given: &Given,
    directory: &Path,
    entities: EntityProvider,
) -> Result<Authorizer<PolicySetProvider, EntityProvider>> {
    let path = directory.join("roles.cedar");
    fs::write(&path, &given.workload.policies)?;
    let config = policy_set_provider::ConfigBuilder::default()
        .policy_set_path(text(&path))
        .build()?;
    let config = AuthorizerConfigBuilder::default()
        .policy_set_provider(Arc::new(PolicySetProvider::new(config)?))
        .entity_provider(Arc::new(entities))
        .build()?;
    Ok(Authorizer::new(config))
}

fn text(path: &Path) -> String {
    PathBuf::from(path).to_string_lossy().into_owned()
}

impl Peer for LocalAgent {
    fn name(&self) -> &str {
        "cedar-local-agent"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        self.note
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        let (request, entities) = self.requests.get(index)?;
        let response = ready(self.authorizer.is_authorized(request, entities)).ok()?;
        Some(response.decision() == Decision::Allow)
    }
}
