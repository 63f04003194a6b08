//! The stage between enriching and evaluating: a request's score, and the context that policies see of
//! it.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::pdp::enrich::Enriched;
use crate::policy::TRUST_FIELDS;
use crate::trust::Enforcement;
use crate::trust::model::{Assessment, FactorId, Inputs, Score};

/// A request with its score, if anything asks for one.
#[derive(Debug)]
pub(crate) struct Scored<'a> {
    enriched: &'a Enriched<'a>,
    /// Where whoever decides keeps it.
    pub(crate) trust: Option<&'a Assessed>,
}

/// What is known of a request's trust.
#[derive(Debug, Clone)]
pub(crate) struct Assessed {
    pub(crate) assessment: Assessment,
    /// What it was made of: what would change it is found by making it again.
    pub(crate) inputs: Inputs,
    /// How a floor that is not met is handled.
    pub(crate) mode: Enforcement,
}

impl Default for Assessed {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            assessment: Assessment::EMPTY,
            inputs: Inputs::default(),
            mode: Enforcement::Off,
        }
    }
}

impl Assessed {
    /// Of a score that was kept.
    #[cfg(feature = "server")]
    pub(crate) fn kept(assessment: Assessment) -> Self {
        Self {
            assessment,
            inputs: Inputs::default(),
            mode: Enforcement::Off,
        }
    }
}

/// Boxes that a thread uses again for the scores of its next decisions.
const SPARE: usize = 16;

type Boxes = RefCell<Vec<Box<Assessed>>>;

thread_local! {
    static BOXES: Boxes = const { RefCell::new(Vec::new()) };
}

/// What is known of a request's trust, in a box that is used again once nobody holds it: it is large, and moving
/// or allocating it costs.
#[derive(Debug)]
pub(crate) struct AssessedBox(Option<Box<Assessed>>);

impl AssessedBox {
    /// `fill` sets every member: the box may hold what was known of another request.
    pub(crate) fn filled(fill: impl FnOnce(&mut Assessed)) -> Self {
        let spare = BOXES.try_with(|boxes| boxes.try_borrow_mut().ok()?.pop());
        let mut spare = spare.ok().flatten().unwrap_or_default();
        fill(&mut spare);
        Self(Some(spare))
    }

    /// What it holds.
    pub(crate) fn get(&self) -> &Assessed {
        // INVARIANT: a box is empty only while it is dropped.
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

static NOTHING: LazyLock<Assessed> = LazyLock::new(Assessed::default);

impl Clone for AssessedBox {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for AssessedBox {
    fn drop(&mut self) {
        let Some(spare) = self.0.take() else {
            return;
        };
        // At the end of a thread there are no boxes to keep.
        let _ = BOXES.try_with(|boxes| {
            if let Ok(mut boxes) = boxes.try_borrow_mut()
                && boxes.len() < SPARE
            {
                boxes.push(spare);
            }
        });
    }
}

impl<'a> Scored<'a> {
    /// The request with what was found before, or with nothing.
    pub(crate) fn new(enriched: &'a Enriched<'a>, trust: Option<&'a Assessed>) -> Self {
        Self { enriched, trust }
    }

    /// The context in Cedar's JSON form, complete.
    pub(crate) fn context(&self) -> Map<String, Value> {
        let mut context = self.request.context.to_json();
        let extension = |name: &str, arg: String| json!({"__extn": {"fn": name, "arg": arg}});
        let injected = &self.plan.injected;
        if let Some(member) = &injected.env {
            let now = extension("datetime", self.now.to_string());
            context.insert(member.name.clone().into(), json!({"now": now}));
        }
        let assessment = self.assessment();
        if let Some(member) = &injected.trust {
            let mut trust = Map::new();
            for (name, score) in TRUST_FIELDS
                .iter()
                .zip(assessment.into_iter().flat_map(decimals))
            {
                trust.insert((*name).to_owned(), extension("decimal", score.to_string()));
            }
            if let Some(assessment) = assessment {
                trust.insert("risk".to_owned(), assessment.band.as_str().into());
            }
            context.insert(member.name.clone().into(), trust.into());
        }
        if let Some(member) = &injected.auth {
            let mut auth = Map::new();
            if let Some(assessment) = assessment {
                auth.insert("level".to_owned(), assessment.level.reached.into());
                auth.insert("required".to_owned(), assessment.level.required.into());
                if let Some(age) = self.authentication_age() {
                    auth.insert("age".to_owned(), extension("duration", format!("{age}ms")));
                }
            }
            context.insert(member.name.clone().into(), auth.into());
        }
        context
    }

    pub(crate) fn assessment(&self) -> Option<&Assessment> {
        self.trust.map(|trust| &trust.assessment)
    }

    /// Milliseconds since the principal was authenticated, as far as a level rests on it.
    pub(crate) fn authentication_age(&self) -> Option<i64> {
        let at = self.assessment()?.level.at?;
        Some((self.now.as_millis().saturating_sub(at.as_millis())).max(0))
    }
}

/// The fields of `Deodar::Trust` that are decimals, in the order of [`TRUST_FIELDS`].
pub(crate) fn decimals(assessment: &Assessment) -> [Score; 8] {
    let factor = |id: FactorId| {
        let found = assessment.factors.iter().find(|factor| factor.id == id);
        found.map(|factor| factor.score).unwrap_or_default()
    };
    [
        assessment.composite,
        assessment.required,
        assessment.subject_risk,
        factor(FactorId::Identity),
        factor(FactorId::Device),
        factor(FactorId::Location),
        factor(FactorId::Behavior),
        factor(FactorId::Network),
    ]
}

impl<'a> Deref for Scored<'a> {
    type Target = Enriched<'a>;

    fn deref(&self) -> &Enriched<'a> {
        self.enriched
    }
}
