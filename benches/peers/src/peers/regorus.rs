//! regorus: the rule in Rego, compiled for its virtual machine; grants and entities as data.

use std::collections::BTreeMap;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Rc, Value};
use serde_json::json;

use crate::facts::{Uid, joined};
use crate::given::{Given, Result};
use crate::measure::Peer;

const RULE: &str = r#"
package access

import rego.v1

default allow := false

allow if {
    not input.context.blocked
    input.context.mfa
    principal := data.principals[input.principal]
    resource := data.resources[input.resource]
    resource.level <= principal.clearance
    some role in principal.roles
    some grant in data.grants[role]
    input.action in grant.actions
    grant.folder in resource.folders
}
"#;

pub struct Regorus {
    version: String,
    machine: RegoVM,
    inputs: Vec<Value>,
}

impl Regorus {
    pub fn new(given: &Given) -> Result<Self> {
        let facts = &given.facts;
        let mut grants: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for grant in &facts.grants {
            let of_role = grants.entry(&grant.role).or_default();
            of_role.push(json!({"actions": grant.actions, "folder": grant.folder}));
        }
        let principal = |uid: &Uid| json!({"clearance": facts.number(uid, "clearance"), "roles": facts.roles(uid)});
        let resource =
            |uid: &Uid| json!({"level": facts.number(uid, "level"), "folders": facts.folders(uid)});
        let principals: BTreeMap<_, _> = facts
            .principals()
            .map(|uid| (joined(uid), principal(uid)))
            .collect();
        let resources: BTreeMap<_, _> = facts
            .resources()
            .map(|uid| (joined(uid), resource(uid)))
            .collect();
        let data =
            value(&json!({"grants": grants, "principals": principals, "resources": resources}))?;

        let mut engine = Engine::new();
        engine
            .add_policy("access.rego".to_owned(), RULE.to_owned())
            .map_err(|e| e.to_string())?;
        engine.add_data(data.clone()).map_err(|e| e.to_string())?;
        let rule: Rc<str> = "data.access.allow".into();
        let policy = engine
            .compile_with_entrypoint(&rule)
            .map_err(|e| e.to_string())?;
        let program =
            Compiler::compile_from_policy(&policy, &[&rule]).map_err(|e| e.to_string())?;
        let mut machine = RegoVM::new_with_policy(policy);
        machine.load_program(program);
        machine.set_data(data).map_err(|e| e.to_string())?;
        machine.set_max_instructions(usize::MAX);

        let inputs = facts.questions.iter().map(|question| {
            value(&json!({
                "principal": joined(&question.principal),
                "action": question.action.1,
                "resource": joined(&question.resource),
                "context": question.context,
            }))
        });
        Ok(Self {
            version: given.version("regorus"),
            machine,
            inputs: inputs.collect::<Result<_>>()?,
        })
    }
}

fn value(json: &serde_json::Value) -> Result<Value> {
    Ok(Value::from_json_str(&json.to_string()).map_err(|e| e.to_string())?)
}

impl Peer for Regorus {
    fn name(&self) -> &str {
        "regorus"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn note(&self) -> &str {
        "not Cedar: one rule in Rego on its virtual machine, grants as data by role; entities as data, each with all its roles and folders"
    }

    fn decide(&mut self, index: usize) -> Option<bool> {
        self.machine.set_input(self.inputs.get(index)?.clone());
        self.machine.execute().ok()?.as_bool().ok().copied()
    }
}
