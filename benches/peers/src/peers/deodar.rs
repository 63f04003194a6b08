//! Deodar as a library: requests built beforehand, entities stored.

use deodar::{Pdp, Request};
use serde_json::Value;

use crate::given::{Given, Result};
use crate::measure::Peer;

pub struct Deodar {
    version: String,
    pdp: Pdp,
    requests: Vec<Request>,
}

impl Deodar {
    pub fn new(given: &Given) -> Result<Self> {
        let entities = Value::from(given.workload.entities.clone()).to_string();
        let pdp = Pdp::builder()
            .policies_text("roles.cedar", &given.workload.policies)
            .entities_text("entities.json", &entities)
            .build()?;
        let requests = given.facts.questions.iter().map(|question| {
            let request = Request::builder()
                .principal(question.principal.clone())
                .action(question.action.clone())
                .resource(question.resource.clone())
                .context(question.context.clone());
            Ok(request.build()?)
        });
        Ok(Self {
            version: given.version("deodar"),
            pdp,
            requests: requests.collect::<Result<_>>()?,
        })
    }
}

impl Peer for Deodar {
    fn name(&self) -> &str {
        "deodar"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "entities stored"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        Some(
            self.pdp
                .authorize(self.requests.get(index)?)
                .ok()?
                .is_allow(),
        )
    }
}
