//! Claims to a principal entity with its groups, or to a caller.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::error::TokenError;
use super::find::Claims;
use super::preset::{ClaimPath, List, Shape};
use crate::base::caller::is_token_name;
use crate::base::entity_ref::EntityRef;
use crate::service::config::{GroupClaim, IssuerConfig, TokenUsage};

/// How an issuer's claims are read.
#[derive(Debug)]
pub(super) enum Mapping {
    /// As a principal.
    Principal(PrincipalMapping),
    /// As a caller.
    Caller(CallerMapping),
}

/// The table from claims to a principal.
#[derive(Debug)]
pub(super) struct PrincipalMapping {
    type_name: String,
    id: String,
    id_prefix: String,
    /// Attributes, each with the pointers that are tried in this order.
    attributes: Vec<(String, Vec<String>)>,
    constants: Map<String, Value>,
    /// Lists of parents with their entity type.
    parents: Vec<(String, List)>,
}

/// The table from claims to a caller.
#[derive(Debug)]
pub(super) struct CallerMapping {
    name: String,
    scopes: Vec<String>,
    prefix: String,
}

/// A caller as its token describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenCaller {
    /// Its name.
    pub(crate) name: String,
    /// Its scopes, without the prefix; whether there are such scopes is not known here.
    pub(crate) scopes: Vec<String>,
}

/// A principal as its token describes it.
#[derive(Debug, Clone)]
pub(crate) struct TokenPrincipal {
    /// Its name.
    pub(crate) entity: EntityRef,
    /// The entity itself and its groups, in Cedar's JSON form.
    pub(crate) entities: Vec<Value>,
}

impl Mapping {
    /// The table of a checked configuration.
    pub(super) fn of(config: &IssuerConfig, shape: &Shape) -> Self {
        match config.usage {
            TokenUsage::Principal => Self::Principal(PrincipalMapping::of(config, shape)),
            TokenUsage::Caller => Self::Caller(CallerMapping {
                name: given(&config.caller_name, shape.caller_name),
                scopes: match &config.caller_scopes {
                    Some(pointer) => vec![pointer.clone()],
                    None => vec!["/scope".to_owned(), "/scp".to_owned()],
                },
                prefix: config.scope_prefix.clone().unwrap_or_default(),
            }),
        }
    }
}

fn given(configured: &Option<String>, otherwise: &str) -> String {
    configured.clone().unwrap_or_else(|| otherwise.to_owned())
}

impl PrincipalMapping {
    fn of(config: &IssuerConfig, shape: &Shape) -> Self {
        let attributes = match &config.attributes {
            Some(table) => table
                .iter()
                .map(|(name, pointer)| (name.clone(), vec![pointer.clone()]))
                .collect(),
            None => shape
                .attributes
                .iter()
                .map(|(name, places)| {
                    let places = places.iter().map(|place| (*place).to_owned());
                    ((*name).to_owned(), places.collect())
                })
                .collect(),
        };
        let mut parents = Vec::new();
        for (of_type, configured, preset) in [
            (&config.group_type, &config.groups, &shape.groups),
            (&config.role_type, &config.roles, &shape.roles),
        ] {
            // Without a type there is nothing that a group could become.
            let Some(of_type) = of_type else { continue };
            let lists = match configured {
                Some(claims) => claims.iter().map(list).collect(),
                None => preset.clone(),
            };
            parents.extend(lists.into_iter().map(|list| (of_type.clone(), list)));
        }
        Self {
            type_name: config.principal_type.clone().unwrap_or_default(),
            id: given(&config.principal_id, "/sub"),
            id_prefix: config.id_prefix.clone(),
            attributes,
            constants: config.constants.clone().into_iter().collect(),
            parents,
        }
    }

    /// The principal that these claims describe.
    ///
    /// # Errors
    /// When a claim that the table names is there and cannot be read, or is kept elsewhere.
    pub(super) fn read(&self, claims: &Claims<'_>) -> Result<TokenPrincipal, TokenError> {
        let id = claims
            .text(&self.id)?
            .ok_or_else(|| missing(&self.id, "the principal's id"))?;
        let entity = EntityRef::of(&self.type_name, &format!("{}{id}", self.id_prefix))
            .map_err(|error| TokenError::Unsuitable(error.to_string().into()))?;
        let mut attributes = self.constants.clone();
        for (name, places) in &self.attributes {
            for place in places {
                if let Some(value) = claims.at(place)? {
                    let held = held(value).ok_or_else(|| unheld(place))?;
                    attributes.entry(name).or_insert(held);
                    break;
                }
            }
        }
        let mut parents = BTreeSet::new();
        for (of_type, list) in &self.parents {
            for id in list.ids(claims)? {
                // No entity is its own parent.
                if (of_type.as_str(), id.as_str()) != (entity.type_name(), entity.id()) {
                    parents.insert((of_type.as_str(), id));
                }
            }
            if parents.len() > MOST_PARENTS {
                let detail = format!("it lists more than {MOST_PARENTS} groups and roles");
                return Err(TokenError::Unsuitable(detail.into()));
            }
        }
        let uid = |of_type: &str, id: &str| json!({"type": of_type, "id": id});
        let mut entities = vec![json!({
            "uid": uid(entity.type_name(), entity.id()),
            "attrs": attributes,
            "parents": parents.iter().map(|(of_type, id)| uid(of_type, id)).collect::<Vec<_>>(),
        })];
        entities.extend(
            parents
                .iter()
                .map(|(of_type, id)| json!({"uid": uid(of_type, id), "attrs": {}, "parents": []})),
        );
        Ok(TokenPrincipal { entity, entities })
    }
}

fn list(claim: &GroupClaim) -> List {
    let (pointer, prefix) = claim.parts();
    List {
        place: ClaimPath::Pointer(pointer.to_owned()),
        prefix: prefix.to_owned(),
        split: claim.split().map(str::to_owned),
    }
}

/// Groups and roles of one token.
const MOST_PARENTS: usize = 1_000;

impl CallerMapping {
    /// The caller that these claims describe.
    ///
    /// # Errors
    /// When its name or its scopes are there and cannot be read, or are kept elsewhere.
    pub(super) fn read(&self, claims: &Claims<'_>) -> Result<TokenCaller, TokenError> {
        let name = claims
            .text(&self.name)?
            .ok_or_else(|| missing(&self.name, "the caller's name"))?;
        if !is_token_name(&name) {
            let detail = format!(
                "claim `{}`, the caller's name, is not 1 to 128 visible ASCII characters other than `#`",
                self.name
            );
            return Err(TokenError::Unsuitable(detail.into()));
        }
        let mut scopes = Vec::new();
        for place in &self.scopes {
            if claims.at(place)?.is_some() {
                scopes = claims.list(place, Some(" "))?;
                break;
            }
        }
        let scopes = scopes
            .iter()
            .filter_map(|scope| scope.strip_prefix(self.prefix.as_str()))
            .map(str::to_owned)
            .collect();
        Ok(TokenCaller { name, scopes })
    }
}

fn missing(pointer: &str, what: &str) -> TokenError {
    TokenError::Unsuitable(format!("claim `{pointer}`, {what}, is missing").into())
}

fn unheld(pointer: &str) -> TokenError {
    let detail = format!(
        "claim `{pointer}` holds what Cedar cannot hold (null, a fraction, a number beyond 64 bits) or an \
         object with `__entity`, `__extn` or `__expr`; map the members that you need"
    );
    TokenError::Unsuitable(detail.into())
}

/// A claim's value in Cedar's JSON form; none where Cedar cannot hold all of it.
fn held(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(_) | Value::String(_) => Some(value.clone()),
        Value::Number(number) => number.as_i64().map(Value::from),
        Value::Array(items) => items.iter().map(held).collect(),
        Value::Object(members) => {
            // In Cedar's JSON these name an entity, or call a function: a claim is never more than data.
            if ["__entity", "__extn", "__expr"]
                .iter()
                .any(|escape| members.contains_key(*escape))
            {
                return None;
            }
            let members = members.iter();
            let members = members.map(|(name, value)| Some((name.clone(), held(value)?)));
            members.collect::<Option<_>>().map(Value::Object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_data_and_whole() {
        let good = json!({
            "c": [1, "x"], "d": {"f": true}, "h": [], "j": -9223372036854775808_i64,
        });
        assert_eq!(held(&good).unwrap(), good);
        for bad in [
            json!(null),
            json!(1.5),
            json!([1, null]),
            json!([2.5, "x"]),
            json!({"e": null}),
            json!({"g": {"__entity": {"type": "User", "id": "root"}}}),
            json!([{"__extn": {"fn": "ip", "arg": "10.0.0.1"}}]),
            json!([[{"__expr": "1"}]]),
            json!(18446744073709551615_u64),
        ] {
            assert_eq!(held(&bad), None, "{bad}");
        }
    }
}
