//! The command line: one file per subcommand. `main` parses and exits.

mod args;
mod ask;
mod audit;
mod authorize;
mod bench;
mod client;
mod config;
mod health;
mod held;
mod keys;
mod logging;
mod output;
mod reload;
mod sample;
mod score;
mod serve;
mod signals;
mod socket;
mod stored;
mod subject;
mod test;
mod validate;
mod webhooks;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::base::fault::Faults;
use crate::pdp::BuildError;
use crate::request::RequestError;
use crate::service::config::{Config, Secret, SecretRef};

use args::{Args, Command};
use output::Output;

/// How a command ended, as the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// Allowed, or what was asked for holds.
    Holds = 0,
    /// The command could not run, or was not used rightly.
    CouldNotRun = 1,
    /// Denied, or what was asked for does not hold.
    DoesNotHold = 2,
    /// Policies, schema or entities are faulty.
    Invalid = 3,
}

/// Why a command ended early.
#[derive(Debug)]
enum Failure {
    /// Something outside: a file, a network, a setting.
    CouldNotRun(String),
    /// The configuration or a case file is faulty.
    Faulty(Faults),
    /// Policies, schema or entities are faulty.
    Invalid(Faults),
    /// The request is at fault.
    Request(RequestError),
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Sources(faults) => Self::Invalid(faults),
            other => Self::CouldNotRun(other.to_string()),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

type Done = Result<Exit, Failure>;

/// The key to show to a server: that of `--key-file`, else of the configuration.
fn client_key(args: &Args, config: &Config) -> Result<Option<Secret>, Failure> {
    let (name, secret) = match (&args.key_file, &config.client.key) {
        (Some(file), _) => ("--key-file", SecretRef::File(file.clone())),
        (None, Some(secret)) => ("client.key", secret.clone()),
        (None, None) => return Ok(None),
    };
    let key = secret.read();
    key.map(Some)
        .map_err(|message| Failure::CouldNotRun(format!("`{name}`: {message}")))
}

/// Runs the command line `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let args = match Args::try_parse_from(&arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are printed on standard output and are no failure.
            let wanted = !error.use_stderr();
            if !wanted && arguments.iter().any(|argument| argument == "--json") {
                let message = error.render().to_string();
                Output::new(true).failure(&Failure::CouldNotRun(message));
                return Exit::CouldNotRun;
            }
            let _ = error.print();
            return if wanted {
                Exit::Holds
            } else {
                Exit::CouldNotRun
            };
        }
    };
    let output = Output::new(args.json);
    let done = match &args.command {
        Command::Serve(command) => serve::run(command, &args, output),
        Command::Authorize(command) => authorize::run(command, &args, output),
        Command::Score(command) => score::run(command, &args, output),
        Command::Validate(command) => validate::run(command, &args, output),
        Command::Test(command) => test::run(command, &args, output),
        Command::Bench(command) => bench::run(command, &args, output),
        Command::Health(command) => health::run(command, &args, output),
        Command::Reload(command) => reload::run(command, &args, output),
        Command::Keys(command) => keys::run(command, &args, output),
        Command::Webhooks(command) => webhooks::run(command, &args, output),
        Command::Subject(command) => subject::run(command, &args, output),
        Command::Events(command) => signals::events(command, &args, output),
        Command::Devices(command) => signals::devices(command, &args, output),
        Command::Assurance(command) => signals::assurance(command, &args, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Config(command) => config::run(&args, command, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "deodar", &mut script);
            output.text(&String::from_utf8_lossy(&script));
            Ok(Exit::Holds)
        }
    };
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            match failure {
                Failure::Invalid(_) => Exit::Invalid,
                _ => Exit::CouldNotRun,
            }
        }
    }
}
