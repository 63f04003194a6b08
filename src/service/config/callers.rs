//! `[[callers]]`: callers that the configuration names, and how each is recognised.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::caller::{
    Caller, CallerLimits, Handles, InlineRule, Scope, check_name, folded as folded_name,
    is_token_name,
};
use crate::base::fault::{Fault, Faults};
use crate::base::nearest::nearest;
use crate::base::settings::settings;

/// One caller: its rights, and what it is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// Its name, as in records.
    pub name: String,
    /// Names of its scopes.
    pub scopes: Vec<String>,
    /// What it may assert about entities: `off`, `add` or `override`.
    #[serde(default = "add")]
    pub inline: String,
    /// Names of the obligations it handles.
    #[serde(default)]
    pub handles: Vec<String>,
    /// Limits of its own in place of the general ones.
    #[serde(default)]
    pub limits: Option<CallerLimitsConfig>,
    /// SHA-256 of API keys in hexadecimal, as `deodar keys hash` prints it.
    #[serde(default)]
    pub key_sha256: Vec<String>,
    /// Subject alternative names of client certificates, such as `spiffe://example.org/orders`.
    #[serde(default)]
    pub san: Vec<String>,
    /// User ids of processes at the other end of the Unix socket.
    #[serde(default)]
    pub uid: Vec<u32>,
    /// Bearer tokens, by who issued them and the name they give.
    #[serde(default)]
    pub token: Vec<TokenMatch>,
}

settings! {
    /// Bounds on what a caller may ask for; zero is none.
    #[derive(Copy)]
    pub struct CallerLimitsConfig {
        /// Requests per second, on average.
        pub requests_per_second: u32,
        /// Requests above that rate in a burst.
        pub burst: u32,
        /// Requests under way at once.
        pub concurrent: u32,
    }
}

/// A bearer token of a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenMatch {
    /// The `iss` claim.
    pub issuer: String,
    /// The name, at the issuer's pointer for it.
    pub name: String,
}

fn add() -> String {
    InlineRule::Add.name().to_owned()
}

impl CallerConfig {
    /// The caller.
    ///
    /// # Errors
    /// A fault for each unknown scope or rule, and for what it cannot be recognised by.
    pub fn caller(&self) -> Result<Caller, Faults> {
        let mut faults = Faults::new();
        let mut fault = |message: String, help: &str| {
            let message = format!("caller `{}`: {message}", self.name);
            faults.push(Fault::new("config", message).help(help));
        };
        if let Err(message) = check_name(&self.name) {
            fault(message, "records and rules name the caller by it");
        }
        for token in &self.token {
            if !is_token_name(&token.name) {
                fault(
                    format!("`token.name` is `{}`", token.name.escape_debug()),
                    "no token gives such a name: it has 1 to 128 visible ASCII characters other than `#`",
                );
            }
        }
        let mut scopes = Vec::new();
        for name in &self.scopes {
            match Scope::from_name(name) {
                Some(scope) => scopes.push(scope),
                None => fault(format!("unknown scope `{name}`"), &near_scope(name)),
            }
        }
        let inline = InlineRule::from_name(&self.inline).unwrap_or_else(|| {
            fault(
                format!("`inline` is `{}`", self.inline),
                "it is off, add or override",
            );
            InlineRule::Off
        });
        for hash in &self.key_sha256 {
            let digits = hash.bytes().filter(u8::is_ascii_hexdigit).count();
            if digits != 64 || hash.len() != 64 {
                fault(
                    "`key_sha256` holds something else than 64 hexadecimal digits".to_owned(),
                    "`deodar keys hash` makes a key and prints what belongs here",
                );
            }
        }
        let recognised = [
            self.key_sha256.is_empty(),
            self.san.is_empty(),
            self.uid.is_empty(),
            self.token.is_empty(),
        ];
        if recognised.iter().all(|empty| *empty) {
            fault(
                "nothing it is recognised by".to_owned(),
                "give `key_sha256`, `san`, `uid` or `token`",
            );
        }
        let handles = Handles::Only(self.handles.iter().cloned().collect());
        let caller = Caller::new(self.name.clone(), scopes, inline, handles);
        faults.or(match self.limits {
            None => caller,
            Some(limits) => caller.with_limits(CallerLimits {
                requests_per_second: limits.requests_per_second,
                burst: limits.burst,
                concurrent: limits.concurrent,
            }),
        })
    }
}

/// A name of a certificate as certificates spell it: those of hosts in lower case.
pub(crate) fn folded(san: &str) -> String {
    let host = !san.contains([':', '@']);
    if host {
        san.to_ascii_lowercase()
    } else {
        san.to_owned()
    }
}

/// What to say about a scope that is none.
fn near_scope(name: &str) -> String {
    let known = Scope::ALL.iter().map(|scope| scope.name());
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("scopes are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The callers of a configuration, each with its rights.
///
/// # Errors
/// The faults of each, and names or credentials that two of them share.
pub(crate) fn check(callers: &[CallerConfig]) -> Result<Vec<Caller>, Faults> {
    let mut faults = Faults::new();
    let mut checked = Vec::with_capacity(callers.len());
    let mut taken = std::collections::BTreeMap::new();
    for config in callers {
        match config.caller() {
            Ok(caller) => checked.push(caller),
            Err(found) => faults.extend(found),
        }
        let names = std::iter::once(format!("the name `{}`", folded_name(&config.name)));
        let keys = config.key_sha256.iter();
        let keys = keys.map(|hash| format!("the key {}", hash.to_ascii_lowercase()));
        let sans = config
            .san
            .iter()
            .map(|san| format!("the name `{}` of a certificate", folded(san)));
        let uids = config.uid.iter().map(|uid| format!("the user id {uid}"));
        let tokens = config.token.iter();
        let tokens = tokens.map(|token| format!("`{}` of {}", token.name, token.issuer));
        for what in names.chain(keys).chain(sans).chain(uids).chain(tokens) {
            if let Some(other) = taken.insert(what.clone(), &config.name) {
                let message = format!("callers `{other}` and `{}` share {what}", config.name);
                faults.push(Fault::new("config", message).help("each belongs to one caller"));
            }
        }
    }
    faults.or(checked)
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;

    fn orders() -> CallerConfig {
        CallerConfig {
            name: "orders".to_owned(),
            scopes: vec!["decide".to_owned(), "entities:read".to_owned()],
            inline: "add".to_owned(),
            handles: vec!["log_access".to_owned()],
            limits: None,
            key_sha256: vec!["ab".repeat(32)],
            san: Vec::new(),
            uid: Vec::new(),
            token: Vec::new(),
        }
    }

    #[test]
    fn a_caller_has_the_rights_that_are_listed_and_no_others() {
        let caller = orders().caller().unwrap();
        let scopes: Vec<_> = caller.scopes().collect();
        assert_eq!(scopes, [Scope::Decide, Scope::EntitiesRead]);
        assert_eq!(caller.inline(), InlineRule::Add);
        assert!(!caller.has(Scope::KeysWrite));
    }

    #[test]
    fn every_fault_is_named() {
        let faulty = CallerConfig {
            scopes: vec!["decid".to_owned()],
            inline: "all".to_owned(),
            key_sha256: vec!["abc".to_owned()],
            ..orders()
        };
        let faults = check(&[faulty, orders()]).unwrap_err();
        let faults: String = faults
            .iter()
            .flat_map(|fault| {
                [
                    Some(fault.one_line()),
                    Diagnostic::help(fault).map(|h| h.to_string()),
                ]
            })
            .flatten()
            .collect();
        for part in [
            "did you mean `decide`?",
            "`inline` is `all`",
            "64 hexadecimal",
            "share the name",
        ] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
        let unknown = CallerConfig {
            key_sha256: Vec::new(),
            ..orders()
        };
        let faults = unknown.caller().unwrap_err().to_string();
        assert!(faults.contains("nothing it is recognised by"), "{faults}");
    }
}
