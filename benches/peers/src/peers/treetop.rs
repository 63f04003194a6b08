//! treetop-core: entities come with the request; principals have groups but no attributes, resources have
//! attributes but lie in nothing.

use treetop_core::{
    Action, AttrValue, PolicyEngine, Principal, Request, RequestContext, Resource, User,
};

use crate::facts::Grant;
use crate::given::{Given, Result};
use crate::measure::Peer;

pub struct Treetop {
    version: String,
    engine: PolicyEngine,
    requests: Vec<(Request, RequestContext)>,
}

impl Treetop {
    pub fn new(given: &Given) -> Result<Self> {
        let facts = &given.facts;
        let mut text = String::from(
            "forbid(principal, action, resource) when { context has blocked && context.blocked };\n",
        );
        text.extend(facts.grants.iter().map(policy));
        let requests = facts.questions.iter().map(|question| {
            let user = User::new(
                question.principal.1.as_str(),
                Some(facts.roles(&question.principal)),
                None,
            )?;
            let folders = facts
                .folders(&question.resource)
                .into_iter()
                .map(AttrValue::String);
            let mut resource = Resource::new(&question.resource.0, &question.resource.1)?
                .with_attr("folders", AttrValue::Set(folders.collect()));
            if let Some(level) = facts.number(&question.resource, "level") {
                resource = resource.with_attr("level", AttrValue::Long(level));
            }
            let mut context = RequestContext::new();
            for (name, value) in question.context.as_object().into_iter().flatten() {
                let value = match (value.as_bool(), value.as_i64()) {
                    (Some(truth), _) => AttrValue::Bool(truth),
                    (_, Some(number)) => AttrValue::Long(number),
                    _ => return Err(format!("unknown kind of context: {value}").into()),
                };
                context.insert(name, value);
            }
            if let Some(clearance) = facts.number(&question.principal, "clearance") {
                context.insert("clearance", AttrValue::Long(clearance));
            }
            let action = Action::without_namespace(question.action.1.as_str())?;
            Ok((
                Request {
                    principal: Principal::User(user),
                    action,
                    resource,
                },
                context,
            ))
        });
        Ok(Self {
            version: given.version("treetop-core"),
            requests: requests.collect::<Result<_>>()?,
            engine: PolicyEngine::new_from_str(&text)?,
        })
    }
}

fn policy(grant: &Grant) -> String {
    let actions: Vec<_> = grant
        .actions
        .iter()
        .map(|action| format!("Action::{action:?}"))
        .collect();
    format!(
        "permit(principal in Group::{:?}, action in [{}], resource) when {{ \
         resource.folders.contains({:?}) && context.mfa && resource.level <= context.clearance }};\n",
        grant.role,
        actions.join(", "),
        grant.folder,
    )
}

impl Peer for Treetop {
    fn name(&self) -> &str {
        "treetop-core"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "policies reworded: roles as its groups, folders as a set on the resource, clearance in the context; \
         entities come with the request and are built for each decision"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        let (request, context) = self.requests.get(index)?;
        Some(
            self.engine
                .evaluate_with_context(request, context)
                .ok()?
                .is_allowed(),
        )
    }
}
