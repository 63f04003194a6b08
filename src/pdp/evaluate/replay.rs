//! What it takes to decide a request again: the stored entities that it can reach.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entity, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};
use serde_json::Value;

use super::reference::resolve::resolve;
use crate::base::timestamp::Timestamp;
use crate::entities::{Exporter, is_action};
use crate::pdp::enrich::enrich;
use crate::pdp::score::stage::{Assessed, Scored};
use crate::policy::Revision;
use crate::request::{Limits, Request};
use crate::state::State;
use crate::trust::model::Assessment;

/// Makes slices for requests, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Slicer {
    /// The policies of a revision that name entities in their conditions.
    naming: Option<(Revision, Vec<Policy>)>,
}

impl Slicer {
    /// The stored entities that a decided request can reach, in Cedar's JSON form and in order of their
    /// names, without the actions of a schema; `None` when there are more than `most`, when collecting them
    /// takes more steps than a decision may, or when Cedar does not read the request.
    ///
    /// With these entities, the request with its inline ones, and the policies, the schema and the
    /// settings of the state, the decision can be made again.
    pub(crate) fn slice(
        &mut self,
        request: &Request,
        state: &Arc<State>,
        (now, trust): (Timestamp, Option<Assessment>),
        most: usize,
    ) -> Option<Vec<Value>> {
        // A record without a slice is better than no log.
        let made = catch_unwind(AssertUnwindSafe(|| {
            self.make(request, state, (now, trust), most)
        }));
        made.unwrap_or_default()
    }

    fn make(
        &mut self,
        request: &Request,
        state: &Arc<State>,
        (now, trust): (Timestamp, Option<Assessment>),
        most: usize,
    ) -> Option<Vec<Value>> {
        // The request was within its limits when it was decided.
        let limits = Limits {
            inline_entities: usize::MAX,
            inline_parent_depth: usize::MAX,
            ..Limits::default()
        };
        let trust = trust.map(Assessed::kept);
        let enriched = enrich(request, state, now, limits.decision_steps);
        let scored = Scored::new(&enriched, trust.as_ref());
        let resolved = resolve(&scored, &limits).ok()?;
        let naming = self.naming(state);
        let slice = resolved
            .slice(state, naming.iter(), most, &scored.meter)
            .ok()?;
        let inline: HashSet<EntityUid> = resolved.inline().iter().map(Entity::uid).collect();
        let stored = Exporter {
            version: state.store().version(),
            locals: None,
        };
        let has_schema = state.snapshot().schema_set().is_some();
        let mut entities = Vec::new();
        for entity in slice.into_entities() {
            let uid = entity.uid();
            if has_schema && is_action(&uid.type_name().to_string()) {
                continue;
            }
            let entity = if inline.contains(&uid) {
                match stored.stored(&uid) {
                    Some(stored) => stored,
                    None => continue,
                }
            } else {
                entity
            };
            entities.push((uid.to_string(), entity.to_json_value().ok()?));
        }
        entities.sort_by(|a, b| a.0.cmp(&b.0));
        Some(entities.into_iter().map(|(_, entity)| entity).collect())
    }

    /// The policies of the state that name entities outside their scopes. What a scope names is reached
    /// anyway, if it fits; looking through all policies for each request would be slow.
    fn naming(&mut self, state: &State) -> &[Policy] {
        let known = self.naming.as_ref().map(|(revision, _)| revision);
        if known != Some(state.revision()) {
            let has_schema = state.snapshot().schema_set().is_some();
            let all = state.snapshot().policies().policies();
            let naming = all.filter(|policy| names_more(policy, has_schema));
            self.naming = Some((state.revision().clone(), naming.cloned().collect()));
        }
        self.naming
            .as_ref()
            .map_or(&[], |(_, policies)| policies.as_slice())
    }
}

/// Whether a policy names an entity that is not reached whenever its scope fits.
fn names_more(policy: &Policy, has_schema: bool) -> bool {
    let mut scope = Vec::new();
    match policy.principal_constraint() {
        PrincipalConstraint::Eq(uid)
        | PrincipalConstraint::In(uid)
        | PrincipalConstraint::IsIn(_, uid) => scope.push(uid),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => {}
    }
    match policy.resource_constraint() {
        ResourceConstraint::Eq(uid)
        | ResourceConstraint::In(uid)
        | ResourceConstraint::IsIn(_, uid) => scope.push(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
    }
    match policy.action_constraint() {
        ActionConstraint::Any => {}
        ActionConstraint::Eq(uid) => scope.push(uid),
        // Only a schema brings the others of the list along.
        ActionConstraint::In(uids) if has_schema || uids.len() == 1 => scope.extend(uids),
        ActionConstraint::In(_) => {}
    }
    let named = policy.entity_literals();
    named.iter().any(|uid| !scope.contains(uid))
}
