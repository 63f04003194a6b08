//! Both engines on the same: a set of policies, entities and requests, from a document or from a seed.

use deodar::{
    BuildError, Caller, Cause, EngineChoice, Limits, OnError, Outcome, Pdp, Request, RequestError,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cases::run_set;

/// What a seed file of this target holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) policies: String,
    #[serde(default)]
    pub(crate) links: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) entities: Vec<Value>,
    pub(crate) requests: Vec<Value>,
}

/// Requests to the set that bytes choose.
const REQUESTS: u64 = 4;

/// Bytes that begin with `{` are a document; any others choose a random set.
pub fn differential(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        if let Ok(document) = serde_json::from_slice(bytes) {
            compare(&document);
        }
        return;
    }
    let seed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut found = Vec::new();
    let by_reference = seed.is_multiple_of(4);
    run_set(seed, 0..REQUESTS, by_reference, &mut found);
    if let Some(found) = found.first() {
        panic!("{found}");
    }
}

fn compare(document: &Document) {
    let texts = Texts {
        policies: &document.policies,
        links: Value::from(document.links.clone()).to_string(),
        schema: document.schema.as_deref(),
        entities: Value::from(document.entities.clone()).to_string(),
    };
    let engines = Engine::ALL.map(|engine| Engine::new(&texts, engine));
    let [Ok(compiled), Ok(reference)] = engines else {
        return;
    };
    for body in &document.requests {
        let Some(request) = read(&body.to_string()) else {
            continue;
        };
        let (ours, cedars) = (compiled.decide(&request), reference.decide(&request));
        if ours.as_ref().is_err_and(|code| code == EXHAUSTED) {
            continue;
        }
        assert_eq!(ours, cedars, "{}\n{body}", document.policies);
    }
}

/// A request as both engines get it.
pub(crate) fn read(body: &str) -> Option<Request> {
    let request = Request::from_json(body.as_bytes(), &Limits::default(), Caller::library());
    Some(
        request
            .ok()?
            .with_now(Timestamp::from_millis(1_700_000_000_000)),
    )
}

/// The code of a request that takes too many steps: nothing is known of the answer.
pub(crate) const EXHAUSTED: &str = "budget_exhausted";

/// An answer, or what the request was refused for.
pub(crate) type Said = Result<Answer, String>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) cause: Cause,
    pub(crate) determining: Vec<String>,
    /// Failing policies, each with the kind of its failure.
    pub(crate) errors: Vec<(String, String)>,
}

/// Policies, links and entities as the engines read them.
pub(crate) struct Texts<'a> {
    pub(crate) policies: &'a str,
    pub(crate) links: String,
    pub(crate) schema: Option<&'a str>,
    pub(crate) entities: String,
}

/// One engine over policies and entities.
pub(crate) struct Engine(Pdp);

impl Engine {
    const ALL: [EngineChoice; 2] = [EngineChoice::Compiled, EngineChoice::Reference];

    /// # Errors
    /// When the policies or entities are faulty.
    pub(crate) fn new(texts: &Texts<'_>, engine: EngineChoice) -> Result<Self, BuildError> {
        let mut builder = Pdp::builder()
            .engine(engine)
            // As Cedar's authorizer does; where a failing forbid denies, an answer names no other policies.
            .on_error(OnError::Skip)
            .policies_text("p.cedar", texts.policies)
            .links_text("l.links.json", &texts.links)
            .entities_text("e.json", &texts.entities);
        if let Some(schema) = texts.schema {
            builder = builder.schema_text("s.cedarschema", schema);
        }
        builder.build().map(Self)
    }

    pub(crate) fn decide(&self, request: &Request) -> Said {
        said(&self.0.authorize(request))
    }

    /// Requests that only Cedar's reader took.
    pub(crate) fn read_by_cedar(&self) -> u64 {
        self.0.engine_fallbacks()
    }
}

/// Cause, determining policies and errors; or what the request was refused for.
fn said(decided: &Result<Outcome, RequestError>) -> Said {
    match decided {
        Ok(outcome) => Ok(Answer {
            cause: outcome.cause(),
            determining: outcome
                .determining_policies()
                .map(ToString::to_string)
                .collect(),
            errors: outcome
                .policy_errors()
                .map(|error| (error.policy().to_string(), error.code().to_string()))
                .collect(),
        }),
        Err(error) => Err(error.code().to_owned()),
    }
}
