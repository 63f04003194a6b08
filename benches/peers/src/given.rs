//! What every peer is built from.

use crate::facts::Facts;
use crate::workload::{self, Shape, Workload};

pub use crate::facts::Result;

pub struct Given {
    pub workload: Workload,
    pub facts: Facts,
    lock: &'static str,
}

impl Given {
    /// `lock` is the text of the lock file that the peers were built with.
    pub fn build(lock: &'static str, policies: usize, requests: usize) -> Result<Self> {
        let workload = workload::build(Shape::Roles, policies, requests);
        let facts = Facts::read(&workload)?;
        Ok(Self {
            workload,
            facts,
            lock,
        })
    }

    /// The locked version of a package.
    pub fn version(&self, package: &str) -> String {
        let mut lines = self
            .lock
            .lines()
            .skip_while(|line| *line != format!("name = \"{package}\""));
        let line = lines
            .nth(1)
            .and_then(|line| line.strip_prefix("version = "));
        line.unwrap_or("?").trim_matches('"').to_owned()
    }
}
