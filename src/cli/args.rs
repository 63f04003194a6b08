//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;

use super::{Failure, sample};
use crate::service::config::{Config, Flag};

/// A Cedar policy decision point: serve decisions, test and validate policies.
///
/// Exit codes: 0 allowed or holds, 1 could not run or bad usage, 2 denied or does not hold,
/// 3 invalid policies.
#[derive(Debug, Parser)]
#[command(
    name = "deodar",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(super) struct Args {
    /// Configuration file [default: deodar.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// File with the key to show to a server [default: `client.key` of the configuration]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Decide requests over HTTP
    Serve(Serve),
    /// Decide one request
    Authorize(Decide),
    /// Explain the trust score of a request
    Score(Score),
    /// Check policies, schema and entities
    Validate(Validate),
    /// Run case files
    Test(Test),
    /// Measure how fast requests are decided
    Bench(Bench),
    /// Ask a server how it is
    ///
    /// Ends with 0 when it decides, also while it is degraded (the output says why); with 2 when it is not ready;
    /// with 1 when there is no answer.
    Health(ServerArgs),
    /// Reload the policies of a server
    Reload(Reload),
    /// Create, list, rotate and revoke API keys
    Keys(Keys),
    /// Register, test and remove webhooks, and replay dead letters
    Webhooks(Remote<WebhooksCommand>),
    /// Show, remediate, override and erase what is known of a user, a session, a device or an address
    Subject(Remote<SubjectCommand>),
    /// Report security events to a server
    Events(Remote<EventsCommand>),
    /// Register, show and remove devices
    Devices(Remote<DevicesCommand>),
    /// Record authentications of sessions
    Assurance(Remote<AssuranceCommand>),
    /// Check decision logs
    #[command(subcommand)]
    Audit(Audit),
    /// Print the configuration and where each value came from
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigArgs {
    /// Print the JSON schema of the configuration file instead
    #[arg(long)]
    pub(super) schema: bool,
}

/// A command that has a server do something.
#[derive(Debug, ClapArgs)]
pub(super) struct Remote<C: Subcommand> {
    #[command(subcommand)]
    pub(super) command: C,
    /// The server [default: where the configuration says it listens]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) server: Option<String>,
}

/// Where policies, schema and entities come from.
#[derive(Debug, ClapArgs)]
pub(super) struct Sources {
    /// File or directory of policies; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) policies: Vec<PathBuf>,
    /// File of template links, of any name; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) links: Vec<PathBuf>,
    /// File or directory of schema fragments; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) schema: Vec<PathBuf>,
    /// File or directory of entities; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) entities: Vec<PathBuf>,
    /// Use the built-in sample: a company workspace
    #[arg(long, conflicts_with_all = ["policies", "links", "schema", "entities"])]
    pub(super) sample: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// Address to listen on [default: 127.0.0.1:8180]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// Address for probes and metrics
    #[arg(long, value_name = "ADDR")]
    pub(super) ops_listen: Option<String>,
    /// Directory that keeps the last good policies
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<String>,
    /// Refuse to start on the last good policies when the present ones are faulty
    #[arg(long)]
    pub(super) strict_start: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Decide {
    #[command(flatten)]
    pub(super) request: Authorize,
    /// Let this server decide, on its own state
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "links", "schema", "entities", "sample", "state_dir", "now"])]
    pub(super) server: Option<String>,
    /// Decide also on the entities that were written through the API of the server that used this
    /// directory; while no server uses it
    #[arg(long, value_name = "DIR", conflicts_with = "sample")]
    pub(super) state_dir: Option<PathBuf>,
    /// Ask for explanations in the JSON answer
    #[arg(long)]
    pub(super) explain: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Authorize {
    /// The request as JSON, as for POST /authorize: a file, or `-` for standard input
    #[arg(value_name = "REQUEST", conflicts_with_all = ["principal", "action", "resource", "context"])]
    pub(super) request: Option<PathBuf>,
    /// Who wants to act, such as 'User::"alice"'
    #[arg(long, value_name = "ENTITY")]
    pub(super) principal: Option<String>,
    /// What they want to do, such as 'Action::"read"'
    #[arg(long, value_name = "ENTITY")]
    pub(super) action: Option<String>,
    /// What they want to do it to
    #[arg(long, value_name = "ENTITY")]
    pub(super) resource: Option<String>,
    /// The context: JSON, or a file of it
    #[arg(long, value_name = "JSON|FILE")]
    pub(super) context: Option<String>,
    /// Obligations that are handled; may be repeated
    #[arg(long = "obligation", value_name = "NAME")]
    pub(super) obligations: Vec<String>,
    /// The instant to decide for [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub(super) now: Option<String>,
    #[command(flatten)]
    pub(super) sources: Sources,
}

/// Scores by `[trust]` of the configuration, or by the shipped numbers. Exits with 0 when the request is
/// allowed with floors enforced, with 2 when it is not.
#[derive(Debug, ClapArgs)]
pub(super) struct Score {
    #[command(flatten)]
    pub(super) request: Authorize,
    /// A changed fact, such as `device.registered=true`, `location.country=NL`,
    /// `network.mutualTls=true`, `risk=HIGH`, `ip=10.0.0.1` or `auth.acr=3`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) what_if: Vec<String>,
    /// How the principal was authenticated: `acr=3`, `amr=hwk,pin`, `time=RFC3339`; may be repeated
    #[arg(long = "auth", value_name = "KEY=VALUE")]
    pub(super) authentication: Vec<String>,
    /// Draw bars even if standard output is not a terminal
    #[arg(long)]
    pub(super) bars: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Validate {
    #[command(flatten)]
    pub(super) sources: Sources,
    /// Refuse policies that validation warns of, with exit code 3
    #[arg(long)]
    pub(super) deny_warnings: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Test {
    /// Case files, or directories of them; also Cedar's integration tests and `run-tests` files
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// Name the passed cases too
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// File or directory of policies, over what the case files name; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) policies: Vec<PathBuf>,
    /// File or directory of schema fragments, over what the case files name; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) schema: Vec<PathBuf>,
    /// File or directory of entities, over what the case files name; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) entities: Vec<PathBuf>,
}

/// Which engine to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum EngineFlag {
    /// The compiled and indexed policies
    Compiled,
    /// Cedar's own authorizer
    Reference,
    /// One after the other, with their answers compared
    Both,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Bench {
    /// Requests: one body of POST /authorize a line
    #[arg(long, value_name = "FILE")]
    pub(super) requests: PathBuf,
    /// What decides
    #[arg(long, value_enum, default_value = "compiled")]
    pub(super) engine: EngineFlag,
    /// How long to measure each engine
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub(super) seconds: f64,
    #[command(flatten)]
    pub(super) sources: Sources,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ServerArgs {
    /// The server [default: where the configuration says it listens]
    #[arg(value_name = "URL")]
    pub(super) url: Option<String>,
    /// Authorities that the server's certificate may come from, in PEM [default: `client.ca`, else the
    /// machine's]
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Reload {
    #[command(flatten)]
    pub(super) at: ServerArgs,
    /// Accept a change that looks like an accident
    #[arg(long)]
    pub(super) confirm: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Keys {
    #[command(subcommand)]
    pub(super) command: KeysCommand,
    /// The server [default: where the configuration says it listens]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) server: Option<String>,
    /// Open the state directory itself, while no server runs
    #[arg(long, global = true, conflicts_with = "server")]
    pub(super) offline: bool,
    /// The state directory, with --offline [default: `state.dir`]
    #[arg(long, global = true, value_name = "DIR", requires = "offline")]
    pub(super) state_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Create a key; it is printed once, alone on standard output
    Create(CreateKey),
    /// Show every key, without its secret
    List,
    /// Give a key a new secret, printed once
    Rotate {
        /// The key's id
        id: String,
        /// How long the present secret is still taken
        #[arg(long, value_name = "DURATION", default_value = "1h")]
        overlap: String,
    },
    /// Delete keys that ended long ago; with --offline
    Purge {
        /// How long ago at least
        #[arg(long, value_name = "DURATION", default_value = "365d")]
        ended: String,
    },
    /// Create a key for `[[callers]]` in the configuration, and print the line for it
    Hash,
    /// End a key at once, and the keys that it made
    Revoke {
        /// The key's id
        id: String,
        /// Let the keys that it made stay; they keep the bounds that they have
        #[arg(long)]
        keep_made: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SubjectCommand {
    /// Show what is held against a subject: what is demanded, until when, why, and what ends it
    ///
    /// Exit codes: 0 something is known, 2 nothing is, 1 it could not be asked.
    Show {
        /// The subject: 'User::"alice"', User/alice, session/ID, device/ID or ip/ADDRESS
        subject: String,
        /// Print everything that is known too
        #[arg(long, short)]
        verbose: bool,
    },
    /// List the subjects with findings, lock-outs, revocations or overrides
    List {
        /// Most subjects to list
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: usize,
    },
    /// End findings, incidents, lock-outs and blocks of a subject
    Remediate {
        /// The subject
        subject: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Ignore what is held against a user for a while
    Override {
        /// The user
        subject: String,
        /// For how long, such as 2h; at most 24h
        #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
        for_time: Option<String>,
        /// Until when
        #[arg(long, value_name = "RFC3339")]
        until: Option<String>,
        /// Why, for the record
        #[arg(long, required_unless_present = "end")]
        reason: Option<String>,
        /// End it now
        #[arg(long, conflicts_with_all = ["for_time", "until", "reason"])]
        end: bool,
    },
    /// Forget a subject, including a revocation and a disabled account
    Erase {
        /// The subject
        subject: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Send one event from flags, or the events of a file
    ///
    /// Exit codes: 0 every event is kept, 2 some are refused, 1 the server could not be asked.
    Send(Box<SendEvent>),
}

#[derive(Debug, ClapArgs)]
pub(super) struct SendEvent {
    /// Events as JSON, as for POST /events: a file, or `-` for standard input
    #[arg(value_name = "FILE", conflicts_with_all = ["kind", "id", "at", "severity", "user", "ip", "session", "device", "data"])]
    pub(super) file: Option<PathBuf>,
    /// What happened, such as auth.login_failed or account-disabled; docs/signals.md lists the types
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<String>,
    /// The user it happened to, such as 'User::"alice"'
    #[arg(long, value_name = "ENTITY")]
    pub(super) user: Option<String>,
    /// The address it came from
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ip: Option<String>,
    /// The session it happened in
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// The device it happened on
    #[arg(long, value_name = "ID")]
    pub(super) device: Option<String>,
    /// low, medium, high or critical; required for security events
    #[arg(long)]
    pub(super) severity: Option<String>,
    /// What else its type needs, as JSON such as '{"level": 2}'
    #[arg(long, value_name = "JSON")]
    pub(super) data: Option<String>,
    /// The event's id; the same id counts once [default: a new one]
    #[arg(long)]
    pub(super) id: Option<String>,
    /// When it happened [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub(super) at: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DevicesCommand {
    /// Register a device to a user, or report on it; members that are left out keep their value
    Register(Box<RegisterDevice>),
    /// Show what is held against a device
    ///
    /// Exit codes: 0 something is known, 2 nothing is, 1 the server could not be asked.
    Show {
        /// The device's id
        id: String,
        /// Print everything that is known too
        #[arg(long, short)]
        verbose: bool,
    },
    /// Remove a device
    Remove {
        /// The device's id
        id: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct RegisterDevice {
    /// The device's id
    pub(super) id: String,
    /// Whom it is registered to, such as 'User::"alice"'
    #[arg(long, value_name = "ENTITY")]
    pub(super) user: Option<String>,
    /// How far it is trusted: low, medium or high
    #[arg(long)]
    pub(super) trust: Option<String>,
    /// When it was last scanned
    #[arg(long, value_name = "RFC3339")]
    pub(super) last_scan: Option<String>,
    /// Whether it is jailbroken or rooted
    #[arg(long, value_name = "BOOL")]
    pub(super) jailbroken: Option<bool>,
    /// Whether its operating system is current
    #[arg(long, value_name = "BOOL")]
    pub(super) current_os: Option<bool>,
    /// Whether it is managed
    #[arg(long, value_name = "BOOL")]
    pub(super) managed: Option<bool>,
    /// Whether it has a device certificate
    #[arg(long, value_name = "BOOL")]
    pub(super) certificate: Option<bool>,
    /// Whether it complies
    #[arg(long, value_name = "BOOL")]
    pub(super) compliant: Option<bool>,
    /// A weakness: compromised_os, outdated_os or no_screen_lock; may be repeated
    #[arg(long = "indicator", value_name = "NAME")]
    pub(super) indicators: Vec<String>,
    /// It was looked at, and has no weakness
    #[arg(long, conflicts_with = "indicators")]
    pub(super) no_indicators: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum AssuranceCommand {
    /// Record an authentication in a session, for instance after a step-up
    Record(Box<RecordAssurance>),
}

#[derive(Debug, ClapArgs)]
pub(super) struct RecordAssurance {
    /// The session
    #[arg(long, value_name = "ID")]
    pub(super) session: String,
    /// Whose session it is, such as 'User::"alice"'
    #[arg(long, value_name = "ENTITY")]
    pub(super) user: String,
    /// How the user was authenticated, such as totp or webauthn
    #[arg(long, required_unless_present_any = ["level", "acr"], conflicts_with_all = ["level", "acr"])]
    pub(super) method: Option<String>,
    /// The level that was reached, 0 to 4
    #[arg(long, conflicts_with = "acr")]
    pub(super) level: Option<u8>,
    /// The class of the authentication
    #[arg(long)]
    pub(super) acr: Option<String>,
    /// The authenticator verified the user, by a PIN or a fingerprint
    #[arg(long)]
    pub(super) user_verified: bool,
    /// When, at most 24 hours ago [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub(super) at: Option<String>,
    /// When it ends in any case
    #[arg(long, value_name = "RFC3339")]
    pub(super) expires: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum WebhooksCommand {
    /// Show every webhook with its statistics
    List,
    /// Register a webhook; its secret is printed once, alone on standard output
    Add {
        /// Its name in answers and logs
        name: String,
        /// Where events are posted
        url: String,
        /// Which events it wants, such as incident.*,finding.brute_force_attack [default: all]
        #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
        events: Vec<String>,
        /// Least severity of these
        #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = ["low", "medium", "high", "critical"])]
        min_severity: String,
    },
    /// Give a webhook a new secret, printed once; the present one signs too for a day
    Rotate {
        /// The webhook's name
        name: String,
    },
    /// Send a test event and show the result
    ///
    /// Exit codes: 0 it was delivered, 2 it was not, 1 it could not be sent.
    Test {
        /// The webhook's name
        name: String,
    },
    /// Remove a webhook and its pending deliveries
    Remove {
        /// The webhook's name
        name: String,
    },
    /// Show dead letters, the newest first
    Dead {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Send dead letters again
    Replay {
        /// The id of one, as `dead` shows it; may be repeated
        #[arg(long, value_name = "ID", required_unless_present = "all")]
        id: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Those of this webhook only
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct CreateKey {
    /// The caller's name in records
    #[arg(long)]
    pub(super) name: String,
    /// What the caller may do, such as decide,search
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
    pub(super) scopes: Vec<String>,
    /// What it may assert about entities in a request; `add`, or less where its maker may less, if not given
    #[arg(long, value_name = "RULE", value_parser = ["off", "add", "override"])]
    pub(super) inline: Option<String>,
    /// Obligations that the caller handles
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) handles: Vec<String>,
    /// Requests per second it may make on average, in place of what all callers may
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) per_second: u32,
    /// Requests above that rate in a burst
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        requires = "per_second"
    )]
    pub(super) burst: u32,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(super) concurrent: u32,
    /// How long the key is valid, such as 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    pub(super) expires: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that a log is complete and unchanged
    ///
    /// Exit codes: 0 the log holds, 2 it does not, 1 it could not be checked.
    Verify(AuditVerify),
}

#[derive(Debug, ClapArgs)]
pub(super) struct AuditVerify {
    /// The file of a log, with the rotated ones beside it; a rotated file alone; or a directory of logs
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// Shared key that records were sealed with; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) key_file: Vec<PathBuf>,
    /// Public key of checkpoints, in PEM; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) public_key: Vec<PathBuf>,
    /// Head that the log must reach [default: the one beside the log]
    #[arg(long, value_name = "FILE")]
    pub(super) head: Option<PathBuf>,
    /// Number of a record that must be there
    #[arg(long, value_name = "N")]
    pub(super) expect_sequence: Option<u64>,
    /// The hash of its line
    #[arg(long, value_name = "HEX", requires = "expect_sequence")]
    pub(super) expect_hash: Option<String>,
    /// The first record must be there too
    #[arg(long)]
    pub(super) complete: bool,
}

impl Command {
    /// What the command decides on, where it decides.
    fn sources(&self) -> Option<&Sources> {
        Some(match self {
            Self::Serve(command) => &command.sources,
            Self::Authorize(command) => &command.request.sources,
            Self::Score(command) => &command.request.sources,
            Self::Validate(command) => &command.sources,
            Self::Bench(command) => &command.sources,
            _ => return None,
        })
    }
}

impl Sources {
    fn flags(&self) -> Vec<Flag> {
        // A file that is named is read for what it holds, links among others.
        let policies: Vec<PathBuf> = self.policies.iter().chain(&self.links).cloned().collect();
        [
            ("sources.policies", "--policies", &policies),
            ("sources.schema", "--schema", &self.schema),
            ("sources.entities", "--entities", &self.entities),
        ]
        .into_iter()
        .filter(|(_, _, paths)| !paths.is_empty())
        .map(|(key, flag, paths)| Flag {
            key,
            flag,
            values: paths
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
        })
        .collect()
    }
}

impl Serve {
    fn flags(&self) -> Vec<Flag> {
        let mut flags = self.sources.flags();
        let strict = self.strict_start.then(|| "true".to_owned());
        for (key, flag, value) in [
            ("server.listen", "--listen", &self.listen),
            ("server.ops_listen", "--ops-listen", &self.ops_listen),
            ("state.dir", "--state-dir", &self.state_dir),
            ("state.strict_start", "--strict-start", &strict),
        ] {
            if let Some(value) = value {
                flags.push(Flag {
                    key,
                    flag,
                    values: vec![value.clone()],
                });
            }
        }
        flags
    }
}

impl Keys {
    fn flags(&self) -> Vec<Flag> {
        let dir = self.state_dir.iter().map(|dir| Flag {
            key: "state.dir",
            flag: "--state-dir",
            values: vec![dir.clone()],
        });
        dir.collect()
    }
}

impl Args {
    /// The configuration under this command's flags.
    pub(super) fn load_config(&self) -> Result<Config, Failure> {
        let sources = self.command.sources();
        let flags = match &self.command {
            Command::Serve(command) => command.flags(),
            Command::Keys(command) => command.flags(),
            _ => sources.map(Sources::flags).unwrap_or_default(),
        };
        let config = Config::load(self.config.as_deref(), &flags).map_err(Failure::Faulty)?;
        match sources {
            Some(sources) => sample::configured(config, sources),
            None => Ok(config),
        }
    }
}
