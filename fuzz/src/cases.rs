//! Random cases: a case is the policies and entities of a seed and one request, decided by the compiled engine
//! and by Cedar's authorizer.

use std::fmt;
use std::ops::{AddAssign, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};

use deodar::{Cause, EngineChoice};

use crate::differential::{Answer, EXHAUSTED, Engine, Said, read};
use crate::random::{Around, Set};

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Sets of policies and entities.
    pub sets: u64,
    /// Policies that Cedar cannot parse, and that their sets do without.
    pub unreadable: u64,
    /// Cases: answers of the compiled engine that were compared with those of Cedar's authorizer.
    pub cases: u64,
    /// Of them: compared with the reference engine as well.
    pub by_reference: u64,
    /// Of them: with entities in the request.
    pub with_entities: u64,
    /// Of them: a permit is satisfied, and no forbid is.
    pub permitted: u64,
    /// Of them: a forbid is satisfied.
    pub forbidden: u64,
    /// Of them: a policy failed.
    pub with_errors: u64,
    /// Of them: only Cedar's reader took the request.
    pub read_by_cedar: u64,
    /// Requests that took more steps than a decision may; they are not compared.
    pub exhausted: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.sets += other.sets;
        self.unreadable += other.unreadable;
        self.cases += other.cases;
        self.by_reference += other.by_reference;
        self.with_entities += other.with_entities;
        self.permitted += other.permitted;
        self.forbidden += other.forbidden;
        self.with_errors += other.with_errors;
        self.read_by_cedar += other.read_by_cedar;
        self.exhausted += other.exhausted;
    }
}

/// A case in which the engines differ, or one of them panics.
#[derive(Debug)]
pub struct Found {
    /// The set's seed.
    pub seed: u64,
    /// The request's number; `None` when the set could not be built.
    pub request: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// The case as a seed file, where there was enough for one.
    pub document: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--set {}", self.seed)?;
        if let Some(request) = self.request {
            write!(f, " --request {request}")?;
        }
        write!(f, "\n{}\n{}", self.what, self.document)
    }
}

/// Decides requests to the set of a seed by the compiled engine and by Cedar, and by the reference engine where
/// that is asked for, and says where they differ.
pub fn run_set(
    seed: u64,
    requests: Range<u64>,
    by_reference: bool,
    found: &mut Vec<Found>,
) -> Counts {
    let run = AssertUnwindSafe(|| run(seed, requests, by_reference, found));
    catch_unwind(run).unwrap_or_else(|_| {
        found.push(Found {
            seed,
            request: None,
            what: "panic while making the set".to_owned(),
            document: String::new(),
        });
        Counts::default()
    })
}

fn run(seed: u64, requests: Range<u64>, by_reference: bool, found: &mut Vec<Found>) -> Counts {
    let set = Set::new(seed);
    let mut counts = Counts {
        sets: 1,
        unreadable: set.unreadable,
        ..Counts::default()
    };
    let mut find = |request, what, body: Option<&str>| {
        let body = body.and_then(|body| serde_json::from_str(body).ok());
        let document = serde_json::to_string(&set.document(body.into_iter().collect()));
        found.push(Found {
            seed,
            request,
            what,
            document: document.unwrap_or_default(),
        });
    };
    let texts = set.texts();
    let build = |engine| {
        let built = catch_unwind(AssertUnwindSafe(|| Engine::new(&texts, engine)));
        match built {
            Ok(built) => built.map_err(|error| format!("refused: {error}")),
            Err(_) => Err("panic while building".to_owned()),
        }
    };
    let engines = build(EngineChoice::Compiled).and_then(|compiled| {
        let reference = by_reference.then(|| build(EngineChoice::Reference));
        Ok((compiled, reference.transpose()?))
    });
    let (compiled, reference) = match engines {
        Ok(engines) => engines,
        Err(what) => {
            find(None, what, None);
            return counts;
        }
    };
    let mut around = None;
    for number in requests {
        let around = match around.take() {
            Some(known) if Around::is_of(&known, number) => around.insert(known),
            _ => around.insert(set.around(number)),
        };
        let ask = set.request(number);
        let body = around.body(&ask);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            let request = read(&body);
            let by = |engine: &Engine| match &request {
                Some(request) => engine.decide(request),
                None => Err("no request".to_owned()),
            };
            let references = reference.as_ref().map(by);
            (by(&compiled), set.cedars(&ask, around), references)
        }));
        let Ok((ours, cedars, references)) = decided else {
            let what = "panic while deciding".to_owned();
            find(Some(number), what, Some(&body));
            continue;
        };
        if ours.as_ref().is_err_and(|code| code == EXHAUSTED) {
            counts.exhausted += 1;
            continue;
        }
        counts.cases += 1;
        counts.by_reference += u64::from(references.is_some());
        counts.with_entities += u64::from(around.has_entities);
        counts.permitted += u64::from(cedars.cause == Cause::Permitted);
        counts.forbidden += u64::from(cedars.cause == Cause::Forbidden);
        counts.with_errors += u64::from(!cedars.errors.is_empty());
        let same = |said: &Said, cedars: &Answer| said.as_ref() == Ok(cedars);
        if !same(&ours, &cedars) || references.as_ref().is_some_and(|said| !same(said, &cedars)) {
            let what =
                format!("compiled:  {ours:?}\nCedar:     {cedars:?}\nreference: {references:?}");
            find(Some(number), what, Some(&body));
        }
    }
    counts.read_by_cedar = compiled.read_by_cedar();
    counts
}
