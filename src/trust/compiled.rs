//! The trust configuration, checked and read.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::config::{ClassificationRule, EnforceRule, SensitivityRule, TrustConfig};
use super::networks::Networks;
use crate::base::entity_ref::EntityRef;
use crate::base::fault::{Fault, Faults};
use crate::base::hex::hex;
use crate::trust::model::{Assurances, Country, Listed, Lists, Model};

/// A checked configuration. Two are equal when they were made from the same one.
pub(crate) struct Trust {
    config: TrustConfig,
    hash: String,
    model: Model,
    networks: Networks,
    pub(super) parts: Parts,
}

pub(super) struct Enforce {
    pub(super) rule: EnforceRule,
    pub(super) actions: Vec<EntityRef>,
}

pub(super) struct Sensitivity {
    pub(super) rule: SensitivityRule,
    pub(super) actions: Vec<EntityRef>,
}

pub(super) struct Classification {
    pub(super) rule: ClassificationRule,
    pub(super) class: Option<u16>,
    pub(super) values: Vec<(String, u16)>,
    pub(super) otherwise: Option<u16>,
    pub(super) compliance: u8,
}

/// The kinds of compliance, in the order of their bits.
const COMPLIANCE: [&str; 3] = ["PCI", "HIPAA", "SOX"];

impl Trust {
    /// Checks a configuration; every fault of it is named with its key.
    pub(crate) fn new(config: TrustConfig) -> Result<Arc<Self>, Faults> {
        let mut own = Vec::new();
        let networks = Networks::new(&config.networks, &mut own);
        let lists = Lists {
            networks: networks.classes(),
            allow_list: !config.countries.allow.is_empty(),
        };
        let numbers = config.model.over(config.preset);
        let model = numbers.and_then(|numbers| Model::new(config.preset, &numbers, &lists));
        let parts = Reader {
            faults: &mut own,
            model: model.as_ref().ok(),
        }
        .parts(&config);
        let own = own.into_iter().map(|fault| match fault.split_once(": ") {
            Some((key, message)) => format!("`trust.{key}`: {message}"),
            None => fault,
        });
        let mut faults = Faults::new();
        let of_signals = config.signals.check().into_iter();
        let of_parts = of_signals.map(|fault| fault.replacen('`', "`trust.signals.", 1));
        let of_parts = of_parts.chain(config.acr.faults()).chain(own);
        let (model, of_model) = match model {
            Ok(model) => (Some(model), Vec::new()),
            Err(found) => (None, found),
        };
        for fault in of_model.into_iter().chain(of_parts) {
            faults.push(Fault::new("trust", fault));
        }
        match model {
            Some(model) if faults.is_empty() => Ok(Arc::new(Self {
                hash: hash(&config),
                config,
                model,
                networks,
                parts,
            })),
            _ => Err(faults),
        }
    }

    /// The configuration it was made from.
    pub(crate) fn config(&self) -> &TrustConfig {
        &self.config
    }

    /// A hash of the configuration, in hexadecimal digits.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn networks(&self) -> &Networks {
        &self.networks
    }

    pub(crate) fn assurances(&self) -> &Assurances {
        &self.config.acr
    }

    /// Whether the principal is a break-glass one.
    pub(crate) fn is_exempt(&self, principal: &EntityRef) -> bool {
        self.parts.break_glass.contains(principal)
    }

    /// How a country stands in the lists. Where sources contradict one another no list speaks for it.
    pub(crate) fn listed(&self, country: Option<Country>, conflicting: bool) -> Listed {
        let on = |list: &[Country]| country.is_some_and(|country| list.contains(&country));
        if on(&self.parts.deny) {
            Listed::Denied
        } else if on(&self.parts.allow) && !conflicting {
            Listed::Allowed
        } else {
            Listed::No
        }
    }
}

/// What a configuration is read to.
pub(super) struct Parts {
    pub(super) allow: Vec<Country>,
    pub(super) deny: Vec<Country>,
    pub(super) admin: Vec<EntityRef>,
    pub(super) privileged: Vec<EntityRef>,
    pub(super) break_glass: Vec<EntityRef>,
    pub(super) enforce: Vec<Enforce>,
    pub(super) sensitivity: Vec<Sensitivity>,
    pub(super) classification: Vec<Classification>,
}

/// Reads the texts of a configuration; faults are gathered.
struct Reader<'a> {
    faults: &'a mut Vec<String>,
    /// Missing where it is faulty itself; then classes are not looked at.
    model: Option<&'a Model>,
}

impl Reader<'_> {
    fn parts(&mut self, config: &TrustConfig) -> Parts {
        for (n, rule) in config.enforce.iter().enumerate() {
            if rule.mode.is_none() {
                self.faults.push(format!(
                    "enforce[{n}].mode: is required: `off`, `report` or `enforce`"
                ));
            }
            let conditions = [
                &rule.callers,
                &rule.actions,
                &rule.resource_types,
                &rule.principal_types,
            ];
            if conditions.iter().all(|condition| condition.is_empty()) {
                self.faults.push(format!(
                    "enforce[{n}]: names no callers, actions, resource_types or principal_types; set \
                     `trust.enforcement` for all"
                ));
            }
        }
        let enforce = config.enforce.iter().enumerate();
        let enforce = enforce.map(|(n, rule)| Enforce {
            actions: self.entities(&format!("enforce[{n}].actions"), &rule.actions),
            rule: rule.clone(),
        });
        Parts {
            enforce: enforce.collect(),
            allow: self.countries("countries.allow", &config.countries.allow),
            deny: self.countries("countries.deny", &config.countries.deny),
            admin: self.entities("roles.admin", &config.roles.admin),
            privileged: self.entities("roles.privileged", &config.roles.privileged),
            break_glass: self.entities("break_glass", &config.break_glass),
            sensitivity: each(&config.sensitivity, |(n, rule)| self.sensitivity(n, rule)),
            classification: each(&config.classification, |(n, rule)| {
                self.classification(n, rule)
            }),
        }
    }

    fn countries(&mut self, key: &str, codes: &[String]) -> Vec<Country> {
        let mut countries = Vec::with_capacity(codes.len());
        for code in codes {
            match Country::new(code) {
                Some(country) => countries.push(country),
                None => self.faults.push(format!(
                    "{key}: `{code}` is not a country of ISO 3166-1 alpha-2, such as `NL`"
                )),
            }
        }
        countries
    }

    fn entities(&mut self, key: &str, texts: &[String]) -> Vec<EntityRef> {
        let mut entities = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse() {
                Ok(entity) => entities.push(entity),
                Err(_) => self.faults.push(format!(
                    "{key}: `{text}` is not an entity such as `Role::\"admin\"`"
                )),
            }
        }
        entities
    }

    fn sensitivity(&mut self, n: usize, rule: &SensitivityRule) -> Sensitivity {
        if !(1..=4).contains(&rule.level) {
            self.faults.push(format!(
                "sensitivity[{n}].level: {} is not a level from 1 to 4",
                rule.level
            ));
        }
        if rule.actions.is_empty() {
            self.faults
                .push(format!("sensitivity[{n}].actions: names no action"));
        }
        Sensitivity {
            actions: self.entities(&format!("sensitivity[{n}].actions"), &rule.actions),
            rule: rule.clone(),
        }
    }

    fn classification(&mut self, n: usize, rule: &ClassificationRule) -> Classification {
        let key = |member: &str| format!("classification[{n}].{member}");
        if rule.resource_type.is_empty() {
            self.faults
                .push(format!("{}: is required", key("resource_type")));
        }
        if rule.class.is_some() && rule.attribute.is_some() {
            let (at, both) = (key("attribute"), "give either `class` or `attribute`");
            self.faults.push(format!("{at}: {both}, not both"));
        }
        let mut compliance = 0;
        for kind in &rule.compliance {
            match compliance_bit(kind) {
                Some(bit) => compliance |= bit,
                None => self.faults.push(format!(
                    "{}: `{kind}` is none of {}",
                    key("compliance"),
                    COMPLIANCE.join(", ")
                )),
            }
        }
        let mut class = |member: &str, name: Option<&String>| {
            let name = name?;
            let model = self.model?;
            let found = model.classification(name);
            if found.is_none() {
                self.faults.push(format!(
                    "{}: `{name}` is not a class; those of `trust.model.required.classifications` are known",
                    key(member)
                ));
            }
            found
        };
        Classification {
            class: class("class", rule.class.as_ref()),
            otherwise: class("otherwise", rule.otherwise.as_ref()),
            values: rule
                .values
                .iter()
                .filter_map(|(value, name)| Some((value.clone(), class("values", Some(name))?)))
                .chain(self.model.iter().flat_map(|model| classes(model)))
                .collect(),
            compliance,
            rule: rule.clone(),
        }
    }
}

/// The classes by name, each with its place.
fn classes(model: &Model) -> impl Iterator<Item = (String, u16)> + '_ {
    let names = model.config().required.classifications.keys();
    names
        .zip(0_u16..)
        .map(|(name, place)| (name.clone(), place))
}

pub(super) fn compliance_bit(kind: &str) -> Option<u8> {
    let at = COMPLIANCE
        .iter()
        .position(|known| known.eq_ignore_ascii_case(kind))?;
    Some(1 << at)
}

fn each<T, R>(rules: &[T], read: impl FnMut((usize, &T)) -> R) -> Vec<R> {
    rules.iter().enumerate().map(read).collect()
}

fn hash(config: &TrustConfig) -> String {
    // INVARIANT: a configuration is made of texts and numbers, which always serialize.
    let json = serde_json::to_vec(config).unwrap_or_default();
    let digest = Sha256::digest(&json);
    hex(digest.iter().take(16))
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl fmt::Debug for Trust {
    /// The hash: the revision is made of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({})", self.hash)
    }
}
