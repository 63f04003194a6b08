//! The peers that are measured in this process, and those that are not.

mod apart;
mod casbin;
mod cedar_policy;
mod deodar;
mod local_agent;
mod regorus;

use crate::given::{Given, Result};
use crate::measure::{Found, Peer};

pub use apart::Apart;
pub use cedar_policy::Stock;

/// Name of a peer and how it is built.
pub struct Within {
    pub name: &'static str,
    pub build: fn(&Given) -> Result<Box<dyn Peer>>,
}

pub const WITHIN: [Within; 5] = [
    Within {
        name: "deodar",
        build: |given| Ok(Box::new(deodar::Deodar::new(given)?)),
    },
    Within {
        name: "cedar-local-agent",
        build: |given| Ok(Box::new(local_agent::LocalAgent::stored(given)?)),
    },
    Within {
        name: "cedar-local-agent",
        build: |given| Ok(Box::new(local_agent::LocalAgent::brought(given)?)),
    },
    Within {
        name: "regorus",
        build: |given| Ok(Box::new(regorus::Regorus::new(given)?)),
    },
    Within {
        name: "casbin",
        build: |given| Ok(Box::new(casbin::Casbin::new(given)?)),
    },
];

/// Peers that cannot share a lock file or the features of cedar-policy with the others.
pub const APART: [Apart; 2] = [
    Apart {
        name: "treetop-core",
        directory: "treetop",
    },
    Apart {
        name: "cedarling",
        directory: "cedarling",
    },
];

impl Within {
    /// Builds the peer, or says why it cannot be.
    pub fn start(&self, given: &Given) -> std::result::Result<Box<dyn Peer>, Found> {
        (self.build)(given).map_err(|error| Found::failed(self.name, &error.to_string()))
    }
}
