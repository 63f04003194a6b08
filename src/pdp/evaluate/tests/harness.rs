//! Asking both engines the same and comparing every part of the answer.

use crate::base::meter::Meter;
use crate::engine::{
    Body, Budget, Code, CompileError, CompiledPolicies, Compiler, Decision, EngineRequest,
    ErrorCode, PolicyIndex, Scratch, evaluate,
};
use crate::entities::{
    Batch, EntityStore, EntityVersion, Locals, NewEntity, Overlay, OverlayError, RawValue,
    RequestSymbols, Uid,
};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid,
    EvaluationError, PolicyId, PolicySet, Request, SlotId,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::str::FromStr;

/// An answer in comparable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) allow: bool,
    pub(crate) reasons: Vec<String>,
    pub(crate) errors: BTreeMap<String, ErrorCode>,
}

pub(crate) fn uid(ty: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(EntityTypeName::from_str(ty).unwrap(), EntityId::new(id))
}

/// A request as text.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) principal: (String, String),
    pub(crate) action: (String, String),
    pub(crate) resource: (String, String),
    pub(crate) context: Json,
}

impl Ask {
    pub(crate) fn cedar(&self) -> Request {
        let context = Context::from_json_value(self.context.clone(), None).unwrap();
        let [p, a, r] = [&self.principal, &self.action, &self.resource].map(|(ty, id)| uid(ty, id));
        Request::new(p, a, r, context, None).unwrap()
    }

    pub(crate) fn bind(&self, version: &crate::entities::EntityVersion) -> EngineRequest {
        let mut request = EngineRequest::new();
        let [p, a, r] = [&self.principal, &self.action, &self.resource]
            .map(|(ty, id)| (ty.as_str(), id.as_str()));
        request.bind(version, p, a, r);
        for (name, value) in self.context.as_object().unwrap() {
            request.set_context(version, name, RawValue::from_json(value).unwrap());
        }
        request
    }
}

fn code(error: &AuthorizationError) -> (String, ErrorCode) {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    let code = match error.inner() {
        EvaluationError::EntityDoesNotExist(_) => ErrorCode::EntityMissing,
        EvaluationError::EntityAttrDoesNotExist(_) => ErrorCode::EntityAttrMissing,
        EvaluationError::RecordAttrDoesNotExist(_) => ErrorCode::RecordAttrMissing,
        EvaluationError::TypeError(_) => ErrorCode::Type,
        EvaluationError::IntegerOverflow(_) => ErrorCode::Overflow,
        EvaluationError::FailedExtensionFunctionExecution(_) => ErrorCode::Extension,
        EvaluationError::WrongNumArguments(_) => ErrorCode::Arity,
        other => panic!("{other:?}"),
    };
    (error.policy_id().to_string(), code)
}

/// Cedar's own answer.
pub(crate) fn reference(set: &PolicySet, entities: &Entities, ask: &Ask) -> Answer {
    let response = Authorizer::new().is_authorized(&ask.cedar(), set, entities);
    let mut reasons: Vec<String> = response
        .diagnostics()
        .reason()
        .map(ToString::to_string)
        .collect();
    reasons.sort();
    Answer {
        allow: response.decision() == cedar_policy::Decision::Allow,
        reasons,
        errors: response.diagnostics().errors().map(code).collect(),
    }
}

/// These entities in front of a version; of two with the same id the later one.
pub(crate) fn overlay(
    version: &EntityVersion,
    locals: &mut Locals,
    entities: &[NewEntity],
) -> Result<Overlay, OverlayError> {
    let mut symbols = RequestSymbols { version, locals };
    let mut overlay = Overlay::begin(version);
    for entity in entities.iter().rev() {
        overlay.put(entity, &mut symbols);
    }
    overlay.check(version, usize::MAX, &Meter::new(u64::MAX))?;
    Ok(overlay)
}

/// The compiled engine's answer.
pub(crate) fn compiled(
    policies: &CompiledPolicies,
    store: &EntityStore,
    inline: &[NewEntity],
    ask: &Ask,
) -> Answer {
    let version = store.version();
    let mut request = ask.bind(&version);
    let overlay =
        (!inline.is_empty()).then(|| overlay(&version, request.locals(), inline).unwrap());
    let mut scratch = Scratch::new();
    let done = evaluate(
        policies,
        &version,
        overlay.as_ref(),
        &request,
        request.known(&version),
        &mut scratch,
        Budget::UNBOUNDED,
    )
    .unwrap();
    let mut reasons: Vec<String> = done
        .determining_policies()
        .iter()
        .map(|policy| policies.id(*policy).to_owned())
        .collect();
    reasons.sort();
    Answer {
        allow: done.decision() == Decision::Allow,
        reasons,
        errors: done
            .errors()
            .iter()
            .map(|(policy, code)| (policies.id(*policy).to_owned(), *code))
            .collect(),
    }
}

/// Compiles the static policies and links of a set, in the order of their ids.
pub(crate) fn compile(
    store: &EntityStore,
    set: &PolicySet,
) -> Result<CompiledPolicies, Vec<CompileError>> {
    let mut policies: Vec<_> = set.policies().collect();
    policies.sort_by(|a, b| a.id().cmp(b.id()));
    let (done, pins, version) = store.intern(|symbols| {
        let mut compiler = Compiler::begin(symbols, None);
        let mut errors = Vec::new();
        let mut templates: BTreeMap<PolicyId, Code> = BTreeMap::new();
        let mut rows = Vec::new();
        for policy in &policies {
            let slots = policy.template_links().unwrap_or_default();
            let code = match policy.template_id() {
                None => Body::of_policy(policy).and_then(|body| compiler.body(&body)),
                Some(id) => match templates.get(id) {
                    Some(code) => Ok(code.clone()),
                    None => Body::of_template(set.template(id).unwrap())
                        .and_then(|body| compiler.body(&body))
                        .inspect(|code| {
                            templates.insert(id.clone(), code.clone());
                        }),
                },
            };
            let mut slot = |slot: SlotId| {
                slots.get(&slot).map_or(Uid::NONE, |uid| {
                    compiler.entity(&uid.type_name().to_string(), uid.id().unescaped())
                })
            };
            let (principal, resource) = (slot(SlotId::principal()), slot(SlotId::resource()));
            match code {
                Ok(code) => rows.push((code, principal, resource)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(compiler.finish(Vec::new(), rows))
        } else {
            Err(errors)
        }
    });
    let mut compiled = done?.bound(&version, pins);
    compiled.ids = policies
        .iter()
        .map(|policy| AsRef::<str>::as_ref(policy.id()).into())
        .collect();
    Ok(compiled)
}

impl CompiledPolicies {
    /// The id of a policy.
    pub(crate) fn id(&self, policy: PolicyIndex) -> &str {
        &self.ids[policy.index()]
    }
}

pub(crate) fn store_of(entities: &[Json]) -> EntityStore {
    let store = EntityStore::new();
    let mut batch = Batch::new();
    batch.upsert_json(entities).unwrap();
    store.apply(&batch).unwrap();
    store
}
