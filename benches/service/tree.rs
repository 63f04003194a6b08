//! A directory that a server is started on.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::support::server::Server;
use crate::workload::{Shape, Workload, build};

/// The key of the caller `bench`, which may decide and reload.
pub(crate) const KEY: &str = "the-key-of-the-benchmark";

pub(crate) const BODIES: usize = 5_000;
const POLICIES: usize = 1_000;

/// Policies and entities, and a configuration that knows the caller.
pub(crate) struct Tree {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) workload: Workload,
}

impl Tree {
    pub(crate) fn new(more: &str) -> Self {
        let workload = build(Shape::Roles, POLICIES, BODIES);
        let dir = tempfile::tempdir().expect("a directory");
        let hash = Sha256::digest(KEY);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let config = format!(
            "{more}\n[[callers]]\nname = \"bench\"\nscopes = [\"decide\", \"policies:write\", \"events\"]\n\
             inline = \"override\"\nkey_sha256 = [\"{hash}\"]\n"
        );
        let entities = serde_json::to_string(&workload.entities).expect("JSON");
        for (name, text) in [
            ("p.cedar", &workload.policies),
            ("e.json", &entities),
            ("deodar.toml", &config),
        ] {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        Self { dir, workload }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A server on it, on the cores that are given.
    pub(crate) fn serve(&self, cores: Option<&str>) -> Server {
        let deodar = env!("CARGO_BIN_EXE_deodar");
        let mut command = match cores {
            None => Command::new(deodar),
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores, deodar]);
                command
            }
        };
        command
            .current_dir(self.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--policies", "p.cedar"])
            .args(["--entities", "e.json"]);
        Server::start(&mut command)
    }
}
