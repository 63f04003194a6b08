//! The trust configuration as it is written: the table `[trust]`, or a value of an embedding program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::settings::settings;
use crate::base::words::words;
use crate::trust::model::{Assurances, ModelOverlay, NetworkClass, Preset};
use crate::trust::subjects::SignalsConfig;

/// Everything about trust that an operator decides. `TrustConfig::default()` is the preset `calibrated`
/// in the mode `report`, which changes no decision.
///
/// ```
/// use deodar::{Cause, Enforcement, Pdp, Request, TrustConfig};
///
/// let config = TrustConfig { enforcement: Enforcement::Enforce, ..TrustConfig::default() };
/// let pdp = Pdp::builder()
///     .policies_text("p.cedar", "permit(principal, action, resource);")
///     .trust(config)
///     .build()?;
/// let request = Request::builder()
///     .principal(("User", "ada"))
///     .action(("Action", "read"))
///     .resource(("Document", "plan"))
///     .build()?;
/// // Nothing is known of who asks, from where and by which device.
/// assert_eq!(pdp.authorize(&request)?.cause(), Cause::InsufficientTrust);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrustConfig {
    /// The model that the numbers of `model` are laid over.
    pub preset: Preset,
    /// How a floor that is not met is handled, unless a rule of `enforce` says otherwise.
    pub enforcement: Enforcement,
    /// Rules for callers, actions and types; the first that fits a request decides.
    pub enforce: Vec<EnforceRule>,
    /// How resources are classified; the first rule that gives a class decides.
    pub classification: Vec<ClassificationRule>,
    /// How sensitive actions are; the highest level among the rules that fit counts.
    pub sensitivity: Vec<SensitivityRule>,
    /// Networks and their classes; the most specific one that holds an address counts.
    pub networks: Vec<NetworkRule>,
    /// Countries.
    pub countries: Countries,
    /// Roles of administrators and of privileged principals.
    pub roles: Roles,
    /// Attributes of the principal's stored entity that describe its account.
    pub attributes: Attributes,
    /// Principals whose score and knock-outs do not count, for emergencies. Each of their decisions is logged and
    /// sent to webhooks.
    pub break_glass: Vec<String>,
    /// A database in MaxMind's format: addresses to countries and coordinates.
    #[cfg_attr(
        feature = "server",
        schemars(with = "Option<crate::base::files::PathText>")
    )]
    pub geoip: Option<std::path::PathBuf>,
    /// `acr` and `amr` values and what they are worth.
    pub acr: Assurances,
    /// Numbers of the model that differ from the preset's.
    pub model: ModelOverlay,
    /// How signals are kept and correlated.
    pub signals: SignalsConfig,
}

words! {
    /// How a configured floor or a knock-out is handled.
    #[derive(Default, PartialOrd, Ord, Serialize, Deserialize)]
    #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    #[non_exhaustive]
    pub enum Enforcement by as_str {
        /// Nothing; it is not looked at.
        Off = "off",
        /// The decision stays; the outcome and metrics say what it would be.
        #[default]
        Report = "report",
        /// The decision is Deny.
        Enforce = "enforce",
    }
}

settings! {
    /// A rule of enforcement. An empty list fits everything; all that are given must fit.
    pub struct EnforceRule {
        /// Callers: names of the configuration, `key:` and the id of an API key, or `<issuer>#<name>`.
        pub callers: Vec<String>,
        /// Actions, or groups of actions that they are in: `Action::"read"`.
        pub actions: Vec<String>,
        /// Types of resources.
        pub resource_types: Vec<String>,
        /// Types of principals.
        pub principal_types: Vec<String>,
        /// The mode for them; required.
        pub mode: Option<Enforcement>,
    }

    /// How resources of a type are classified: by an attribute of the stored entity, or all alike.
    pub struct ClassificationRule {
        /// The type of the resources.
        pub resource_type: String,
        /// The class of all of them.
        pub class: Option<String>,
        /// The attribute that tells: a text, a whole number, a boolean, or an entity (its id).
        pub attribute: Option<String>,
        /// The class of each of its values; a value that is not listed is taken as the class's own name.
        pub values: BTreeMap<String, String>,
        /// The class where the attribute is missing or says something else; the model's own default unless
        /// set.
        pub otherwise: Option<String>,
        /// Kinds of compliance that all of them fall under: `PCI`, `HIPAA`, `SOX`.
        pub compliance: Vec<String>,
        /// The attribute that names such kinds: a set of texts, or a text.
        pub compliance_attribute: Option<String>,
    }

    /// How sensitive actions are.
    pub struct SensitivityRule {
        /// The actions, or groups of actions that they are in.
        pub actions: Vec<String>,
        /// Types of resources it is limited to.
        pub resource_types: Vec<String>,
        /// The level, 1 to 4.
        pub level: u8,
    }
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NetworkRule {
    /// Its addresses, such as `10.0.0.0/8`.
    pub cidr: String,
    /// What it is.
    pub class: NetworkClass,
}

settings! {
    /// Lists of countries, by their ISO 3166-1 alpha-2 codes.
    pub struct Countries {
        /// Where people of this organisation are expected.
        pub allow: Vec<String>,
        /// Where nobody is.
        pub deny: Vec<String>,
    }

    /// Entities that make their members administrators, or privileged: `Role::"admin"`.
    pub struct Roles {
        /// Administrative roles.
        pub admin: Vec<String>,
        /// Privileged roles.
        pub privileged: Vec<String>,
    }

    /// Names of attributes of the principal's stored entity.
    pub struct Attributes {
        /// A boolean: more than one authentication factor is enrolled.
        pub mfa_enrolled: Option<String>,
        /// A `datetime`, or a text in RFC 3339: when the account was made.
        pub account_created: Option<String>,
    }
}
