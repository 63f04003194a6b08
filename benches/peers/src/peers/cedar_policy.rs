//! Cedar's own authorizer, which every other peer is held to.

use cedar_policy::{Authorizer, Decision, Entities, PolicySet, Request};

use crate::cedar;
use crate::given::{Given, Result};
use crate::measure::Peer;

pub struct Stock {
    version: String,
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    requests: Vec<Request>,
}

impl Stock {
    pub fn new(given: &Given) -> Result<Self> {
        Ok(Self {
            version: given.version("cedar-policy"),
            authorizer: Authorizer::new(),
            policies: cedar::policies(given)?,
            entities: cedar::entities(given)?,
            requests: cedar::requests(given)?,
        })
    }
}

impl Peer for Stock {
    fn name(&self) -> &str {
        "cedar-policy"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "entities stored"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        let request = self.requests.get(index)?;
        let response = self
            .authorizer
            .is_authorized(request, &self.policies, &self.entities);
        Some(response.decision() == Decision::Allow)
    }
}
