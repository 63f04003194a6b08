//! A peer with a package, a lock file and a process of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::given::Result;
use crate::line;
use crate::measure::Found;

pub struct Apart {
    pub name: &'static str,
    /// Where its package is, beside this one's `src`.
    pub directory: &'static str,
}

impl Apart {
    /// Builds its program, so that no build runs beside a measurement.
    pub fn build(&self) -> Result<()> {
        let status = self.cargo("build").status()?;
        if status.success() {
            Ok(())
        } else {
            Err("its package does not build".into())
        }
    }

    /// Runs its program on the workload of this size.
    pub fn measure(
        &self,
        policies: usize,
        requests: usize,
        seconds: f64,
        answers: &[bool],
    ) -> Found {
        self.try_measure(policies, requests, seconds, answers)
            .unwrap_or_else(|error| Found::failed(self.name, &error.to_string()))
    }

    fn try_measure(
        &self,
        policies: usize,
        requests: usize,
        seconds: f64,
        answers: &[bool],
    ) -> Result<Found> {
        let mut command = self.cargo("run");
        command
            .arg("--")
            .args([policies, requests].map(|n| n.to_string()))
            .arg(seconds.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let answers: String = answers
            .iter()
            .map(|answer| if *answer { '1' } else { '0' })
            .collect();
        child
            .stdin
            .take()
            .ok_or("no standard input")?
            .write_all(answers.as_bytes())?;
        let output = child.wait_with_output()?;
        let found = line::read(&String::from_utf8_lossy(&output.stdout));
        found.ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            errors
                .lines()
                .last()
                .unwrap_or("it said nothing")
                .to_owned()
                .into()
        })
    }

    /// One target directory for all, as far as they share dependencies.
    fn cargo(&self, command: &str) -> Command {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            command,
            "--release",
            "--locked",
            "--quiet",
            "--manifest-path",
        ]);
        cargo.arg(package.join(self.directory).join("Cargo.toml"));
        if std::env::var_os("CARGO_TARGET_DIR").is_none() {
            cargo.arg("--target-dir").arg(package.join("target"));
        }
        cargo
    }
}
