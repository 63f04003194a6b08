//! `[[receivers]]`: whose security event tokens are taken, how they come, and whom they are about.
//!
//! What enters: tables of the configuration file. What leaves: [`ReceiverConfig`]s, checked by
//! [`check`], which names every contradiction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callers::CallerConfig;
use super::issuers::{TokenAlgorithm, default_algorithms, default_leeway};
use super::notes::{TableNotes, wrong};
use super::secret::SecretRef;
use crate::base::entity_ref::EntityRef;
use crate::base::fault::{Fault, Faults};
use crate::base::files::PathText;
use crate::base::span::Span;

/// One transmitter of security event tokens (Shared Signals Framework 1.0).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Its name: in metrics, and in the path `POST /ssf/{name}`.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Audiences that stand for this server; a token must name one of them.
    pub audience: Vec<String>,
    /// Where its keys are. Without this and `jwks_file` they are found by its document
    /// `/.well-known/ssf-configuration`.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// A file with the keys, instead; read again when it changes.
    #[serde(default)]
    #[schemars(with = "Option<PathText>")]
    pub jwks_file: Option<PathBuf>,
    /// Signature algorithms that are taken.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<TokenAlgorithm>,
    /// What the clocks of transmitter and server may differ by; at most 5 minutes.
    #[serde(default = "default_leeway")]
    pub leeway: Span,
    /// The transmitter pushes (RFC 8935).
    #[serde(default)]
    pub push: Option<PushConfig>,
    /// This server polls (RFC 8936).
    #[serde(default)]
    pub poll: Option<PollConfig>,
    /// The entity type of principals, by the format of the subject that names them: `iss_sub`, `email`,
    /// `account` or `opaque`. Other subjects name nobody here.
    #[serde(default)]
    pub subjects: BTreeMap<SubjectFormat, String>,
    /// Issuers whose `iss_sub` subjects are known here; the transmitter alone where none is given.
    #[serde(default)]
    pub subject_issuers: Vec<String>,
    /// Put before the principal's id: keeps two transmitters' subjects apart.
    #[serde(default)]
    pub id_prefix: String,
    /// Authentication levels (0 to 4) by the `current_level` of an `assurance-level-change`; those of
    /// `NIST-AAL` are known without it.
    #[serde(default)]
    pub levels: BTreeMap<String, u8>,
}

/// How pushed tokens are let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// What the transmitter shows in `Authorization`: the whole value where it has a space, else the
    /// token after `Bearer`.
    pub authorization: SecretRef,
}

/// How tokens are polled for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PollConfig {
    /// The transmitter's endpoint.
    pub endpoint: String,
    /// What is shown to it as `Authorization: Bearer`.
    pub token: SecretRef,
    /// Time between two polls while there is nothing more to take.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Most tokens of one poll.
    #[serde(default = "default_max_events")]
    pub max_events: usize,
    /// Time for one poll.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// Formats of subjects (RFC 9493) that can name a principal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubjectFormat {
    /// `{iss, sub}`: the id is `sub`.
    IssSub,
    /// `{email}`: the id is the address as it is sent.
    Email,
    /// `{uri}`: the id is the URI without `acct:`.
    Account,
    /// `{id}`: the id itself.
    Opaque,
}

fn default_interval() -> Span {
    Span::seconds(30)
}

fn default_max_events() -> usize {
    100
}

fn default_timeout() -> Span {
    Span::seconds(20)
}

impl ReceiverConfig {
    fn check(&self, faults: &mut Faults) {
        let mut notes = TableNotes::of("[[receivers]]", &self.name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        wrong! { notes.note;
            self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) =>
                "a name has 1 to 64 lower-case letters, digits and hyphens", "it stands in the path and in metrics";
        }
        notes.check_tokens(
            &self.issuer,
            &self.audience,
            self.algorithms.len(),
            self.leeway,
        );
        wrong! { notes.note;
            self.push.is_none() && self.poll.is_none() => "nothing says how its tokens come",
                "give `push`, `poll` or both";
            self.jwks_uri.is_some() && self.jwks_file.is_some() =>
                "`jwks_uri` and `jwks_file` both say where the keys are", "keep one of them";
        }
        let discovered = self.jwks_uri.is_none() && self.jwks_file.is_none();
        let issuer = discovered.then_some(("issuer", &self.issuer));
        let uri = self.jwks_uri.as_ref().map(|uri| ("jwks_uri", uri));
        let endpoint = self.poll.as_ref().map(|p| ("poll.endpoint", &p.endpoint));
        for (key, url) in issuer.into_iter().chain(uri).chain(endpoint) {
            notes.address(key, url);
        }
        wrong! { notes.note;
            discovered && self.issuer.contains(['?', '#']) =>
                "an `issuer` with a query or a fragment cannot be discovered", "give `jwks_uri`";
        }
        if let Some(poll) = &self.poll {
            for (key, value, most) in [
                ("poll.interval", poll.interval, 3_600),
                ("poll.timeout", poll.timeout, 60),
            ] {
                wrong! { notes.note;
                    value < Span::seconds(1) || value > Span::seconds(most) =>
                        format!("`{key}` is not within 1 second and {most}"), "30s is usual";
                }
            }
            wrong! { notes.note;
                !(1..=1_000).contains(&poll.max_events) => "`poll.max_events` is not within 1 and 1000",
                    "leave the key out for the default";
            }
        }
        for name in self.subjects.values() {
            wrong! { notes.note;
                EntityRef::of(name, "").is_err() => format!("`subjects`: `{name}` is not a Cedar type name"),
                    "write a name such as `Workspace::User`";
            }
        }
        wrong! { notes.note;
            self.levels.values().any(|level| *level > 4) => "`levels` has a level above 4", "levels are 0 to 4";
        }
        faults.extend(notes.faults);
    }
}

/// Every contradiction within the tables and between them. Events are told apart by who reports them,
/// so no caller has the name of a transmitter.
#[must_use]
pub fn check(receivers: &[ReceiverConfig], callers: &[CallerConfig]) -> Faults {
    let mut faults = Faults::new();
    let mut names = BTreeSet::new();
    for receiver in receivers {
        receiver.check(&mut faults);
        if !names.insert(&receiver.name) {
            let message = format!("[[receivers]] `{}`: the name is given twice", receiver.name);
            faults.push(Fault::new("config", message).help("each has a path of its own"));
        }
        if callers.iter().any(|caller| caller.name == receiver.issuer) {
            let message = format!(
                "[[receivers]] `{}`: a caller has the name of its issuer",
                receiver.name
            );
            let help = "give the caller another name; events are told apart by who reports them";
            faults.push(Fault::new("config", message).help(help));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        receivers: Vec<ReceiverConfig>,
    }

    fn read(text: &str) -> Vec<ReceiverConfig> {
        toml::from_str::<File>(text).unwrap().receivers
    }

    #[track_caller]
    fn check_faults(text: &str, expect: &[&str]) {
        let faults = check(&read(text), &[]);
        let got: Vec<_> = faults.iter().map(|fault| fault.message()).collect();
        assert_eq!(got.len(), expect.len(), "{got:?}");
        for (got, expect) in got.iter().zip(expect) {
            assert!(got.contains(expect), "{got}");
        }
    }

    const GOOD: &str = "[[receivers]]\nname = \"idp\"\nissuer = \"https://idp.example.com\"\n\
                        audience = [\"https://pdp.example.com\"]\nsubjects = {iss_sub = \"User\"}\n\
                        push = {authorization = {env = \"X\"}}\n";

    #[test]
    fn a_whole_table_is_read_with_its_defaults() {
        check_faults(GOOD, &[]);
        let polled = "[receivers.poll]\nendpoint = \"https://idp.example.com/poll\"\n\
                      token = {file = \"secrets/idp\"}\n";
        let text = format!("{GOOD}{polled}");
        let read = crate::service::config::tests::load(&text, &[], &[])
            .unwrap()
            .receivers;
        assert!(check(&read, &[]).iter().next().is_none());
        let poll = read[0].poll.as_ref().unwrap();
        assert_eq!(
            poll.token,
            SecretRef::File("/etc/deodar/secrets/idp".into())
        );
        assert_eq!((poll.interval.as_secs(), poll.max_events), (30, 100));
        assert_eq!(read[0].subjects[&SubjectFormat::IssSub], "User");
    }

    #[test]
    fn every_contradiction_is_named() {
        check_faults(&format!("{GOOD}{GOOD}"), &["given twice"]);
        check_faults(
            "[[receivers]]\nname = \"I d\"\nissuer = \"\"\naudience = []\nalgorithms = []\n\
             leeway = \"1h\"\nsubjects = {email = \"a b\"}\nlevels = {x = 9}\njwks_uri = \"ftp://a\"\n",
            &[
                "lower-case",
                "`issuer` is empty",
                "`audience`",
                "`algorithms`",
                "leeway",
                "how its tokens come",
                "jwks_uri",
                "Cedar type name",
                "above 4",
            ],
        );
        check_faults(
            "[[receivers]]\nname = \"a\"\nissuer = \"https://a\"\naudience = [\"b\"]\n\
             poll = {endpoint = \"http://elsewhere/\", token = {env = \"X\"}, interval = \"0s\", \
             timeout = \"2m\", max_events = 0}\n",
            &[
                "poll.endpoint",
                "poll.interval",
                "poll.timeout",
                "max_events",
            ],
        );
        check_faults(
            &GOOD.replace(
                "issuer = ",
                "jwks_uri = \"https://a/\"\njwks_file = \"b\"\nissuer = ",
            ),
            &["both say"],
        );
    }

    #[test]
    fn no_caller_reports_in_the_name_of_a_transmitter() {
        let caller: CallerConfig = toml::from_str(
            "name = \"https://idp.example.com\"\nscopes = [\"events\"]\nuid = [1]\n",
        )
        .unwrap();
        let faults = check(&read(GOOD), &[caller]);
        assert!(faults.iter().any(|f| f.message().contains("a caller")));
    }

    #[test]
    fn unknown_keys_and_formats_are_refused() {
        for more in ["subject = 1\n", "[receivers.subjects]\nphone = \"U\"\n"] {
            let text = GOOD.replace("subjects = {iss_sub = \"User\"}\n", "") + more;
            assert!(toml::from_str::<File>(&text).is_err(), "{more}");
        }
    }
}
