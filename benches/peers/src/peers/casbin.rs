//! casbin: one policy line per grant; roles and folders as its two role relations.

use casbin::{CoreApi, DefaultModel, Enforcer, MgmtApi, NullAdapter};

use crate::facts::{Uid, joined};
use crate::given::{Given, Result};
use crate::measure::Peer;
use crate::ready::ready;

pub struct Casbin {
    version: String,
    enforcer: Enforcer,
    requests: Vec<Request>,
}

struct Request {
    principal: String,
    action: String,
    resource: String,
    clearance: i64,
    level: i64,
    mfa: bool,
    blocked: bool,
}

impl Casbin {
    pub fn new(given: &Given) -> Result<Self> {
        let facts = &given.facts;
        let width = facts
            .grants
            .iter()
            .map(|grant| grant.actions.len())
            .max()
            .unwrap_or(0);
        let model = ready(DefaultModel::from_str(&model(width)))?;
        let mut enforcer = ready(Enforcer::new(model, NullAdapter))?;
        enforcer.enable_auto_build_role_links(false);

        let lines = facts.grants.iter().map(|grant| {
            let mut line = vec![
                joined(&facts.role(&grant.role)),
                joined(&facts.folder(&grant.folder)),
            ];
            line.extend((0..width).map(|n| grant.actions.get(n).cloned().unwrap_or_default()));
            line
        });
        ready(enforcer.add_policies(lines.collect()))?;
        let link = |(below, above): (&Uid, &Uid)| vec![joined(below), joined(above)];
        let roles = facts.links_to_roles().map(link).collect();
        ready(enforcer.add_named_grouping_policies("g", roles))?;
        let folders = facts.links_to_folders().map(link).collect();
        ready(enforcer.add_named_grouping_policies("g2", folders))?;
        enforcer.build_role_links()?;

        let requests = facts.questions.iter().map(|question| Request {
            principal: joined(&question.principal),
            action: question.action.1.clone(),
            resource: joined(&question.resource),
            clearance: facts
                .number(&question.principal, "clearance")
                .unwrap_or(i64::MIN),
            level: facts
                .number(&question.resource, "level")
                .unwrap_or(i64::MAX),
            mfa: question.holds("mfa"),
            blocked: question.holds("blocked"),
        });
        Ok(Self {
            version: given.version("casbin"),
            requests: requests.collect(),
            enforcer,
        })
    }
}

/// The model for grants of up to `width` actions: what is cheap to see is asked first.
fn model(width: usize) -> String {
    let columns: Vec<_> = (1..=width).map(|n| format!("act{n}")).collect();
    let matches: Vec<_> = columns
        .iter()
        .map(|column| format!("r.act == p.{column}"))
        .collect();
    format!(
        "[request_definition]\n\
         r = sub, act, obj, clearance, level, mfa, blocked\n\
         [policy_definition]\n\
         p = role, folder, {}\n\
         [role_definition]\n\
         g = _, _\n\
         g2 = _, _\n\
         [policy_effect]\n\
         e = some(where (p.eft == allow))\n\
         [matchers]\n\
         m = r.mfa && !r.blocked && r.level <= r.clearance && ({}) && g(r.sub, p.role) && g2(r.obj, p.folder)\n",
        columns.join(", "),
        matches.join(" || "),
    )
}

impl Peer for Casbin {
    fn name(&self) -> &str {
        "casbin"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "not Cedar: one policy line per grant, roles and folders as role relations; clearance and level \
         come with the request; the forbid is part of the matcher"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        let r = self.requests.get(index)?;
        let values = (
            &r.principal,
            &r.action,
            &r.resource,
            r.clearance,
            r.level,
            r.mfa,
            r.blocked,
        );
        self.enforcer.enforce(values).ok()
    }
}
