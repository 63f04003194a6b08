//! The workload as plain data, for peers that do not read Cedar: who has which role, what lies in which
//! folder, and one grant for each permit. Reading it fails where the policies say more than that.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, PrincipalConstraint, ResourceConstraint,
};
use serde_json::Value;

use crate::workload::Workload;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONDITION: &str = "permit(principal, action, resource) \
    when { context.mfa && resource.level <= principal.clearance };";
const FORBID: &str = "forbid(principal, action, resource) \
    when { context has blocked && context.blocked };";

/// `permit(principal in Role::"..", action in [..], resource in Folder::"..") when {..}`.
pub struct Grant {
    pub role: String,
    pub actions: Vec<String>,
    pub folder: String,
}

/// One entity: its attributes and all entities it lies in, directly or not.
#[derive(Default)]
pub struct Thing {
    attributes: HashMap<String, Value>,
    parents: Vec<Uid>,
}

pub type Uid = (String, String);

/// One request.
pub struct Question {
    pub principal: Uid,
    pub action: Uid,
    pub resource: Uid,
    pub context: Value,
}

pub struct Facts {
    pub grants: Vec<Grant>,
    pub questions: Vec<Question>,
    things: BTreeMap<Uid, Thing>,
    role_type: String,
    folder_type: String,
}

impl Facts {
    pub fn read(workload: &Workload) -> Result<Self> {
        let set: PolicySet = workload.policies.parse()?;
        let (mut grants, mut types) = (Vec::new(), HashSet::new());
        for policy in set.policies() {
            if let Some((role, actions, folder)) = grant(policy)? {
                types.insert((role.type_name().to_string(), folder.type_name().to_string()));
                let id = |uid: &EntityUid| uid.id().unescaped().to_string();
                grants.push(Grant {
                    role: id(&role),
                    actions: actions.iter().map(id).collect(),
                    folder: id(&folder),
                });
            }
        }
        let mut types = types.into_iter();
        let (Some((role_type, folder_type)), None) = (types.next(), types.next()) else {
            return Err("the grants do not agree on the types of roles and folders".into());
        };

        let mut things = BTreeMap::new();
        for entity in &workload.entities {
            let attributes = entity["attrs"].as_object();
            let parents = entity["parents"].as_array();
            let thing = Thing {
                attributes: attributes
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                parents: parents
                    .into_iter()
                    .flatten()
                    .map(uid)
                    .collect::<Result<_>>()?,
            };
            things.insert(uid(&entity["uid"])?, thing);
        }

        let questions = workload.requests.iter().map(|request| {
            Ok(Question {
                principal: uid(&request["principal"])?,
                action: uid(&request["action"])?,
                resource: uid(&request["resource"])?,
                context: request["context"].clone(),
            })
        });
        let questions = questions.collect::<Result<_>>()?;
        Ok(Self {
            grants,
            questions,
            things,
            role_type,
            folder_type,
        })
    }

    /// The entities of the type that a request's principal has.
    pub fn principals(&self) -> impl Iterator<Item = &Uid> {
        let types: HashSet<_> = self.questions.iter().map(|q| &q.principal.0).collect();
        self.things.keys().filter(move |uid| types.contains(&uid.0))
    }

    /// The entities of the type that a request's resource has.
    pub fn resources(&self) -> impl Iterator<Item = &Uid> {
        let types: HashSet<_> = self.questions.iter().map(|q| &q.resource.0).collect();
        self.things.keys().filter(move |uid| types.contains(&uid.0))
    }

    /// Who is directly in which role; roles may be in roles.
    pub fn links_to_roles(&self) -> impl Iterator<Item = (&Uid, &Uid)> {
        self.links_to(&self.role_type)
    }

    /// What is directly in which folder; folders may be in folders.
    pub fn links_to_folders(&self) -> impl Iterator<Item = (&Uid, &Uid)> {
        self.links_to(&self.folder_type)
    }

    fn links_to(&self, type_name: &str) -> impl Iterator<Item = (&Uid, &Uid)> {
        let links = self
            .things
            .iter()
            .flat_map(|(uid, thing)| thing.parents.iter().map(move |parent| (uid, parent)));
        links.filter(move |(_, parent)| parent.0 == type_name)
    }

    pub fn role(&self, id: &str) -> Uid {
        (self.role_type.clone(), id.to_owned())
    }

    pub fn folder(&self, id: &str) -> Uid {
        (self.folder_type.clone(), id.to_owned())
    }

    pub fn number(&self, of: &Uid, attribute: &str) -> Option<i64> {
        self.things.get(of)?.attributes.get(attribute)?.as_i64()
    }

    pub fn roles(&self, of: &Uid) -> Vec<String> {
        self.ids_above(of, &self.role_type)
    }

    pub fn folders(&self, of: &Uid) -> Vec<String> {
        self.ids_above(of, &self.folder_type)
    }

    fn ids_above(&self, of: &Uid, type_name: &str) -> Vec<String> {
        let above = self.above(of).into_iter().filter(|uid| uid.0 == type_name);
        above.map(|uid| uid.1).collect()
    }

    /// Everything that `of` lies in.
    pub fn above(&self, of: &Uid) -> Vec<Uid> {
        let mut found: Vec<Uid> = Vec::new();
        let mut open = vec![of];
        while let Some(uid) = open.pop() {
            for parent in self
                .things
                .get(uid)
                .into_iter()
                .flat_map(|thing| &thing.parents)
            {
                if !found.contains(parent) {
                    found.push(parent.clone());
                    open.push(parent);
                }
            }
        }
        found
    }
}

impl Question {
    /// A member of the context that is there and true.
    pub fn holds(&self, member: &str) -> bool {
        self.context[member].as_bool() == Some(true)
    }
}

pub fn joined((type_name, id): &Uid) -> String {
    format!("{type_name}::{id}")
}

fn uid(json: &Value) -> Result<Uid> {
    match (json["type"].as_str(), json["id"].as_str()) {
        (Some(type_name), Some(id)) => Ok((type_name.to_owned(), id.to_owned())),
        _ => Err(format!("not an entity: {json}").into()),
    }
}

/// The scope of a permit, or `None` for the one forbid.
fn grant(policy: &Policy) -> Result<Option<(EntityUid, Vec<EntityUid>, EntityUid)>> {
    let permits = policy.effect() == Effect::Permit;
    let expected = Policy::parse(None, if permits { CONDITION } else { FORBID })?;
    if policy.to_json()?["conditions"] != expected.to_json()?["conditions"] {
        return Err(format!("unknown condition: {policy}").into());
    }
    let scope = (
        policy.principal_constraint(),
        policy.action_constraint(),
        policy.resource_constraint(),
    );
    match scope {
        (
            PrincipalConstraint::In(role),
            ActionConstraint::In(actions),
            ResourceConstraint::In(folder),
        ) if permits => Ok(Some((role, actions, folder))),
        (PrincipalConstraint::Any, ActionConstraint::Any, ResourceConstraint::Any) if !permits => {
            Ok(None)
        }
        _ => Err(format!("unknown scope: {policy}").into()),
    }
}
