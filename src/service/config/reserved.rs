//! Names to which the configuration gives a meaning, so that no API key may have them: whoever makes a key
//! chooses its name.

use std::collections::{HashMap, HashSet};

use super::Config;
use crate::base::caller::{KEY_PREFIX, folded};

/// Names that the configuration mentions, and API keys that its rules name by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReservedNames {
    /// Folded names, and who mentions each.
    names: HashMap<String, &'static str>,
    /// Ids of keys.
    keys: HashSet<String>,
}

impl ReservedNames {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let mut reserved = Self::default();
        let mut mention = |name: &str, by| {
            reserved.names.entry(folded(name)).or_insert(by);
        };
        for caller in &config.callers {
            mention(&caller.name, "a caller of the configuration has it");
        }
        let rules = config.trust.iter().flat_map(|trust| &trust.enforce);
        for name in rules.flat_map(|rule| &rule.callers) {
            mention(name, "a rule of `trust.enforce` names it");
            let id = name.strip_prefix(KEY_PREFIX);
            reserved.keys.extend(id.map(str::to_owned));
        }
        let mut mention = |name: &str, by| {
            reserved.names.entry(folded(name)).or_insert(by);
        };
        for receiver in &config.receivers {
            for name in [&receiver.issuer, &receiver.name] {
                mention(name, "a transmitter of security events has it");
            }
        }
        for issuer in &config.issuers {
            mention(&issuer.issuer, "an issuer of tokens has it");
        }
        reserved
    }

    /// Who mentions a name, or one that differs in case or in blanks around it only.
    pub(crate) fn reason(&self, name: &str) -> Option<&'static str> {
        self.names.get(&folded(name)).copied()
    }

    /// Whether a rule names the key of this id.
    pub(crate) fn names_key(&self, id: &str) -> bool {
        self.keys.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_mentions_is_reserved() {
        let file = "[trust]\nenforce = [{callers = [\"Batch\", \"key:abcdefghij27\"], mode = \"off\"}]\n\
            [[callers]]\nname = \"orders\"\nscopes = []\nuid = [7]\n\
            [[receivers]]\nname = \"idp\"\nissuer = \"https://idp.example.com\"\naudience = [\"a\"]\npush = {authorization = {env = \"PATH\"}}\n";
        let path = std::path::Path::new("/etc/deodar/deodar.toml");
        let config = Config::from_parts(Some((path, file)), std::iter::empty(), &[]);
        let reserved = ReservedNames::of(&config.unwrap());
        for name in [
            "batch",
            "BATCH ",
            "Orders",
            "idp",
            "https://idp.example.com",
        ] {
            assert!(reserved.reason(name).is_some(), "{name}");
        }
        assert_eq!(reserved.reason("billing"), None);
        assert!(reserved.names_key("abcdefghij27") && !reserved.names_key("batch"));
    }
}
