//! The built-in sample: the files of `policies/workspace` and `schemas`.

use std::net::SocketAddr;

use super::Failure;
use super::args::Sources;
use crate::pdp::PdpBuilder;
use crate::service::config::Config;
use crate::trust::TrustConfig;

const POLICIES: &[(&str, &str)] = &[
    (
        "accounts.cedar",
        include_str!("../../policies/workspace/accounts.cedar"),
    ),
    (
        "board.cedar",
        include_str!("../../policies/workspace/board.cedar"),
    ),
    (
        "cache.cedar",
        include_str!("../../policies/workspace/cache.cedar"),
    ),
    (
        "documents.cedar",
        include_str!("../../policies/workspace/documents.cedar"),
    ),
    (
        "finance.cedar",
        include_str!("../../policies/workspace/finance.cedar"),
    ),
    (
        "gateway.cedar",
        include_str!("../../policies/workspace/gateway.cedar"),
    ),
    (
        "guardrails.cedar",
        include_str!("../../policies/workspace/guardrails.cedar"),
    ),
    (
        "profiles.cedar",
        include_str!("../../policies/workspace/profiles.cedar"),
    ),
    (
        "shares.cedar",
        include_str!("../../policies/workspace/shares.cedar"),
    ),
];
const LINKS: (&str, &str) = (
    "shares.links.json",
    include_str!("../../policies/workspace/shares.links.json"),
);
const SCHEMA: (&str, &str) = (
    "workspace.cedarschema",
    include_str!("../../schemas/workspace.cedarschema"),
);
const ENTITIES: &[(&str, &str)] = &[
    (
        "board.entities.json",
        include_str!("../../policies/workspace/board.entities.json"),
    ),
    (
        "cache.entities.json",
        include_str!("../../policies/workspace/cache.entities.json"),
    ),
    (
        "calendars.entities.json",
        include_str!("../../policies/workspace/calendars.entities.json"),
    ),
    (
        "company.entities.json",
        include_str!("../../policies/workspace/company.entities.json"),
    ),
    (
        "documents.entities.json",
        include_str!("../../policies/workspace/documents.entities.json"),
    ),
    (
        "finance.entities.json",
        include_str!("../../policies/workspace/finance.entities.json"),
    ),
    (
        "gateway.entities.json",
        include_str!("../../policies/workspace/gateway.entities.json"),
    ),
    (
        "people.entities.json",
        include_str!("../../policies/workspace/people.entities.json"),
    ),
    (
        "profiles.entities.ndjson",
        include_str!("../../policies/workspace/profiles.entities.ndjson"),
    ),
];
const VOCABULARY: (&str, &str) = (
    "vocabulary.json",
    include_str!("../../policies/workspace/vocabulary.json"),
);

const CONFIG: &str = include_str!("../../policies/workspace/deodar.toml");

/// The configuration with the sample's trust, where the sample is asked for and nothing else is configured.
pub(super) fn configured(mut config: Config, sources: &Sources) -> Result<Config, Failure> {
    if sources.sample && config.trust.is_none() {
        config.trust = Some(trust()?);
    }
    Ok(config)
}

/// What a score of a command is made of.
pub(super) fn scored_by(sources: &Sources, config: &Config) -> &'static str {
    match sources.sample && trust().ok() == config.trust {
        true => {
            "scored by the sample's [trust] on this request alone: what a server knows of the subject is not \
             asked for"
        }
        false => {
            "scored by the configuration's [trust] on this request alone: what a server knows of the \
             subject is not asked for"
        }
    }
}

/// How the sample scores requests.
fn trust() -> Result<TrustConfig, Failure> {
    #[derive(serde::Deserialize)]
    struct File {
        trust: TrustConfig,
    }
    // INVARIANT: a test reads it.
    let read = toml::from_str(CONFIG).map(|File { trust }| trust);
    read.map_err(|error| Failure::CouldNotRun(format!("the sample's configuration: {error}")))
}

/// A decision point on the configured sources, or on the sample when that is asked for.
pub(super) fn builder(sources: &Sources, config: &Config) -> Result<PdpBuilder, Failure> {
    if sources.sample {
        return Ok(add(config.settings()));
    }
    if config.sources.policies.is_empty() {
        return Err(Failure::CouldNotRun(
            "there are no policies: give `--policies PATH`, or `--sample` for the built-in sample"
                .to_owned(),
        ));
    }
    Ok(config.pdp())
}

/// Adds the sample's policies, schema and entities, and the names its annotations use.
fn add(mut builder: PdpBuilder) -> PdpBuilder {
    for (name, text) in POLICIES {
        builder = builder.policies_text(name, text);
    }
    builder = builder
        .links_text(LINKS.0, LINKS.1)
        .schema_text(SCHEMA.0, SCHEMA.1);
    for (name, text) in ENTITIES {
        builder = builder.entities_text(name, text);
    }
    builder.vocabulary_text(VOCABULARY.0, VOCABULARY.1)
}

/// A request to the sample that is allowed at any time of the day.
pub(super) fn curl(address: SocketAddr) -> String {
    format!(
        "  curl -s http://{address}/authorize -H 'Content-Type: application/json' -d '{{\n    \
         \"principal\": {{\"type\": \"Workspace::User\", \"id\": \"alice\"}},\n    \
         \"action\": {{\"type\": \"Workspace::Action\", \"id\": \"readProfile\"}},\n    \
         \"resource\": {{\"type\": \"Workspace::Profile\", \"id\": \"alice\"}}}}'"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pdp::Pdp;

    #[test]
    fn the_whole_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/workspace");
        let files: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.contains(".cases."))
            .collect();
        let built_in: BTreeSet<_> = POLICIES
            .iter()
            .chain(ENTITIES)
            .chain([&LINKS, &VOCABULARY])
            .map(|(name, _)| (*name).to_owned())
            .chain(["deodar.toml".to_owned()])
            .collect();
        assert_eq!(built_in, files);
        let pdp = add(Pdp::builder()).trust(trust().unwrap()).build().unwrap();
        assert!(pdp.state().snapshot().counts().0 >= 25);
    }
}
