//! What trust had to do with a decision, as it goes over the wire.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::pdp::decide::{Outcome, Requirement, TrustOutcome};
use crate::trust::Trust;
use crate::trust::model::{Assessment, Factor, Score, Status};

/// The member `trust`: figures in short, or all of them with reasons where an explanation is asked for.
pub(crate) struct WireTrust<'a> {
    pub(crate) found: &'a TrustOutcome,
    pub(crate) config: &'a Trust,
    pub(crate) explain: bool,
}

impl Serialize for WireTrust<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let assessment = self.found.assessment();
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("score", &assessment.composite)?;
        members.serialize_entry("required", &assessment.required)?;
        members.serialize_entry("risk", assessment.band.as_str())?;
        // The band is of the request's score; this is what is held against its principal.
        if self.explain || assessment.subject_risk > Score::ZERO {
            members.serialize_entry("subjectRisk", &assessment.subject_risk)?;
        }
        members.serialize_entry("level", &assessment.level.reached)?;
        members.serialize_entry("requiredLevel", &assessment.level.required)?;
        members.serialize_entry("enforcement", self.found.enforcement().as_str())?;
        members.serialize_entry("configuration", self.config.hash())?;
        if !assessment.knock_outs.is_empty() {
            let names: Vec<_> = assessment.knock_outs.names().collect();
            members.serialize_entry("knockOuts", &names)?;
        }
        let mut missing = missing(assessment).peekable();
        if missing.peek().is_some() {
            let names: Vec<_> = missing.collect();
            members.serialize_entry("missing", &names)?;
        }
        if assessment.exempt {
            members.serialize_entry("breakGlass", &true)?;
        }
        if self.explain {
            explain(&mut members, self.found, self.config)?;
        }
        members.end()
    }
}

/// The factors of which nothing is known, or nothing new enough: they count as low as they could be.
pub(crate) fn missing(assessment: &Assessment) -> impl Iterator<Item = &'static str> {
    let factors = assessment.factors.iter();
    factors
        .filter(|factor| matches!(factor.status, Status::Missing | Status::Stale))
        .map(|factor| factor.id.as_str())
}

fn explain<M: SerializeMap>(
    members: &mut M,
    found: &TrustOutcome,
    config: &Trust,
) -> Result<(), M::Error> {
    let assessment = found.assessment();
    let model = config.model();
    members.serialize_entry("preset", config.config().preset.as_str())?;
    members.serialize_entry("gap", &assessment.gap())?;
    members.serialize_entry("contextRisk", &assessment.context_risk)?;
    if let Some(at) = assessment.level.at {
        members.serialize_entry("authenticatedAt", &at.to_string())?;
    }
    if let Some(until) = assessment.level.until {
        members.serialize_entry("levelUntil", &until.to_string())?;
    }
    members.serialize_entry("factors", &factors(assessment, config))?;
    let mitigations = model.mitigations(assessment).map(|mitigation| {
        json!({
            "factor": mitigation.factor.as_str(),
            "type": mitigation.kind.as_str(),
            "seconds": mitigation.seconds,
            "adminApproval": mitigation.admin_approval,
        })
    });
    let mitigations: Vec<Value> = mitigations.collect();
    members.serialize_entry("mitigations", &mitigations)?;
    members.serialize_entry("fix", &model.advice_to_fix(assessment))?;
    if assessment.gap() > Score::ZERO || !assessment.authenticated() {
        let restricted = found.restricted();
        let alternatives = model
            .alternatives(assessment, restricted)
            .map(|alternative| {
                json!({
                    "type": alternative.kind.as_str(),
                    "seconds": alternative.seconds,
                    "restrictions": alternative.kind.restrictions(),
                    "loweredLevel": alternative.lowered_level,
                })
            });
        let alternatives: Vec<Value> = alternatives.collect();
        members.serialize_entry("alternatives", &alternatives)?;
    }
    Ok(())
}

/// The factors with their reasons.
pub(crate) fn factors(assessment: &Assessment, config: &Trust) -> Vec<Value> {
    let factors = assessment.factors.iter();
    factors
        .map(|factor| one(factor, assessment, config))
        .collect()
}

fn one(factor: &Factor, assessment: &Assessment, config: &Trust) -> Value {
    let reasons: Vec<Value> = config
        .model()
        .reasons(assessment, factor.id)
        .into_iter()
        .map(|reason| {
            json!({
                "code": reason.code,
                "text": reason.text,
                "factor": reason.factor,
                "composite": reason.composite,
            })
        })
        .collect();
    let mut value = json!({
        "id": factor.id.as_str(),
        "score": factor.score,
        "confidence": factor.confidence,
        "weight": factor.weight,
        "contribution": factor.contribution,
        "status": factor.status.as_str(),
        "source": factor.source.as_str(),
        "reasons": reasons,
    });
    if let (Some(observed), Some(value)) = (factor.observed, value.as_object_mut()) {
        value.insert("observed".to_owned(), observed.to_string().into());
    }
    value
}

/// Where the trust model asks for something, this stands in place of a policy's id.
pub(super) const SOURCE: &str = "trust";

/// What is asked for by the decision as it stands, not by the one there would be.
pub(super) fn standing(outcome: &Outcome) -> impl Iterator<Item = Requirement> + '_ {
    let trust = outcome.trust();
    let stands = trust.is_some_and(|trust| trust.would_be().is_none());
    stands.then(|| outcome.requirements()).into_iter().flatten()
}

/// What is asked for, as obligations: `id` is `trust:<type>`.
pub(crate) fn requirements(outcome: &Outcome) -> Vec<Value> {
    let config = outcome.state().snapshot().trust();
    outcome
        .requirements()
        .map(|asked| {
            let properties = match asked {
                Requirement::StepUp { level, max_age } => step_up(outcome, level, max_age),
                Requirement::SessionMonitoring { seconds } => json!({"seconds": seconds}),
                Requirement::DeviceVerification => json!({}),
                Requirement::AdminApproval => {
                    let methods = config.map(|config| &config.model().config().methods);
                    let seconds =
                        methods.map(|methods| methods.admin_approval.takes.whole_seconds());
                    json!({"seconds": seconds})
                }
            };
            json!({
                "id": format!("{SOURCE}:{}", asked.name()),
                "type": asked.name(),
                "properties": properties,
            })
        })
        .collect()
}

/// RFC 9470: `acr_values` and `max_age` of the authentication that is asked for, and the methods whose
/// completion makes the same request pass.
fn step_up(outcome: &Outcome, level: u8, max_age: u32) -> Value {
    let config = outcome.state().snapshot().trust();
    let acr = config.map(|config| config.assurances().acr_values(level));
    let methods: Vec<Value> = outcome
        .trust()
        .into_iter()
        .flat_map(TrustOutcome::options)
        .map(|offer| {
            let methods = config.map(|config| &config.model().config().methods);
            json!({
                "method": offer.method.as_str(),
                "enrolled": offer.enrolled,
                "userVerification": offer.user_verification,
                "seconds": methods.map(|methods| methods.of(offer.method).takes.whole_seconds()),
            })
        })
        .collect();
    json!({"level": level, "acrValues": acr, "maxAge": max_age, "methods": methods})
}
