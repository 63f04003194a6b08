//! `deodar bench`: how fast a user's own policies decide a user's own requests.

use std::collections::HashSet;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Args, Bench, EngineFlag};
use super::output::Output;
use super::{Done, Exit, Failure, sample};
use crate::answer::authorize_json;
use crate::base::fault::{Fault, Faults};
use crate::base::timestamp::Timestamp;
use crate::cases;
use crate::pdp::Pdp;
use crate::pdp::decide::Outcome;
use crate::policy::EngineChoice;
use crate::request::{Request, RequestError};
use crate::service::config::Config;

/// What one engine needed.
#[derive(Debug, Serialize)]
struct Figures {
    /// A decision on a request that is at hand and names its instant.
    #[serde(flatten)]
    decision: Timed,
    /// The same, and the clock is read.
    with_clock: Timed,
    /// From the bytes of a body to the bytes of its answer, the clock read.
    body_to_answer: Timed,
}

/// How long one kind of work took.
#[derive(Debug, Serialize)]
struct Timed {
    /// How often it was done and timed.
    decisions: u64,
    p50_ns: u64,
    p99_ns: u64,
    decisions_per_second: f64,
    /// Heap allocations of one decision; `None` where this build does not count them.
    allocations_per_decision: Option<f64>,
}

pub(super) fn run(command: &Bench, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let given = Given::read(&command.requests, &config)?;
    let engines: &[EngineChoice] = match command.engine {
        EngineFlag::Compiled => &[EngineChoice::Compiled],
        EngineFlag::Reference => &[EngineChoice::Reference],
        EngineFlag::Both => &[EngineChoice::Compiled, EngineChoice::Reference],
    };
    let time = Duration::from_secs_f64(command.seconds.clamp(0.01, 3_600.0));
    let mut measured = Vec::new();
    let mut differing = Vec::new();
    let mut first: Option<Vec<Answer>> = None;
    let mut counts = (0, 0);
    for engine in engines {
        let pdp = sample::builder(&command.sources, &config)?
            .engine(*engine)
            .build()?;
        let (answers, spent) = decide_all(&pdp, &given.requests, time)?;
        match &first {
            None => first = Some(answers),
            Some(first) => {
                let pairs = first.iter().zip(&answers).enumerate();
                let unlike = pairs.filter(|(_, (a, b))| a != b);
                differing.extend(unlike.map(|(n, _)| n + 1));
            }
        }
        counts = (
            pdp.state().snapshot().counts().0,
            pdp.state().entity_count(),
        );
        measured.push((*engine, figures(&pdp, &given, time.saturating_sub(spent))?));
    }
    report(&measured, &differing, counts, &given, output)?;
    Ok(if differing.is_empty() {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

/// Longest file of requests, in bytes.
const LONGEST_FILE: u64 = 1 << 30;

/// What is decided.
struct Given {
    bodies: Vec<Vec<u8>>,
    /// All for one instant.
    requests: Vec<Request>,
    /// How many differ from one another.
    distinct: usize,
}

impl Given {
    /// The requests of an NDJSON file, each a body of `POST /authorize`.
    fn read(path: &Path, config: &Config) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = crate::base::files::read_text(path, LONGEST_FILE)
            .map_err(|error| Failure::CouldNotRun(format!("`{name}`: {error}")))?;
        let (mut bodies, mut requests) = (Vec::new(), Vec::new());
        let mut faults = Faults::new();
        let now = Timestamp::now();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match Request::from_json(line.as_bytes(), &config.limits.request(), cases::caller()) {
                Ok(request) => {
                    requests.push(request.with_now(now));
                    bodies.push(line.as_bytes().to_vec());
                }
                Err(error) => {
                    let message = format!("line {}: {error}", n + 1);
                    faults.push(Fault::new("request", message).in_file(name.as_str()));
                }
            }
        }
        if requests.is_empty() && faults.is_empty() {
            let message = format!("`{name}` holds no request: one body of POST /authorize a line");
            return Err(Failure::CouldNotRun(message));
        }
        let distinct = bodies.iter().collect::<HashSet<_>>().len();
        let given = Self {
            bodies,
            requests,
            distinct,
        };
        faults.or(given).map_err(Failure::Faulty)
    }
}

/// What an answer says: the decision, the determining policies and those that failed.
type Answer = (bool, Vec<String>, Vec<String>);

fn answer(outcome: &Outcome) -> Answer {
    let reasons = outcome.determining_policies().map(ToString::to_string);
    let errors = outcome.policy_errors();
    (
        outcome.is_allow(),
        reasons.collect(),
        errors.map(|error| error.policy().to_string()).collect(),
    )
}

/// Decides every request once, as long as there is time for it: warms up, and gives the answers.
fn decide_all(
    pdp: &Pdp,
    requests: &[Request],
    time: Duration,
) -> Result<(Vec<Answer>, Duration), Failure> {
    let began = Instant::now();
    let mut answers = Vec::with_capacity(requests.len());
    for (n, request) in requests.iter().enumerate() {
        if began.elapsed() > time / 3 {
            break;
        }
        let outcome = pdp
            .authorize(request)
            .map_err(|error| Failure::CouldNotRun(format!("request {}: {error}", n + 1)))?;
        answers.push(answer(&outcome));
    }
    Ok((answers, began.elapsed()))
}

/// Gives each kind of work a third of the time.
fn figures(pdp: &Pdp, given: &Given, time: Duration) -> Result<Figures, Failure> {
    let mut timeless = given.requests.clone();
    for request in &mut timeless {
        request.now = None;
    }
    let caller = cases::caller();
    let decide = |request: &Request| pdp.authorize(request);
    let answer = |body: &Vec<u8>| authorize_json(pdp, body, caller.clone());
    Ok(Figures {
        decision: timed(&given.requests, decide, time / 3)?,
        with_clock: timed(&timeless, decide, time / 3)?,
        body_to_answer: timed(&given.bodies, answer, time / 3)?,
    })
}

/// Times work on one item after the other for half of the time, and on many together for the rest.
fn timed<T, R>(
    items: &[T],
    mut each: impl FnMut(&T) -> Result<R, RequestError>,
    time: Duration,
) -> Result<Timed, Failure> {
    let mut around = items.iter().cycle();
    let mut work = || black_box(around.next().map(&mut each)).transpose();
    let clock = clock_cost();
    let half = time / 2;
    let began = Instant::now();
    let mut times: Vec<u64> = Vec::with_capacity(1 << 16);
    while (began.elapsed() < half || times.is_empty()) && times.len() < 10_000_000 {
        let from = Instant::now();
        work()?;
        let took = u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX);
        times.push(took.saturating_sub(clock));
    }
    times.sort_unstable();
    let quantile = |of: f64| {
        let at = (times.len() as f64 * of) as usize;
        times.get(at.min(times.len() - 1)).copied().unwrap_or(0)
    };
    let (p50_ns, p99_ns) = (quantile(0.5), quantile(0.99));
    let batch = (10_000_000 / p50_ns.max(1)).clamp(1, 10_000);
    let began = Instant::now();
    let mut decisions = 0;
    while began.elapsed() < half || decisions == 0 {
        for _ in 0..batch {
            work()?;
        }
        decisions += batch;
    }
    let decisions_per_second = decisions as f64 / began.elapsed().as_secs_f64();
    Ok(Timed {
        decisions: decisions + times.len() as u64,
        p50_ns,
        p99_ns,
        decisions_per_second,
        allocations_per_decision: allocations(&mut work, items.len().min(10_000))?,
    })
}

/// What reading the clock twice costs, in nanoseconds.
fn clock_cost() -> u64 {
    let mut costs: Vec<u128> = (0..1_001)
        .map(|_| Instant::now().elapsed().as_nanos())
        .collect();
    costs.sort_unstable();
    let middle = costs.get(costs.len() / 2).copied().unwrap_or(0);
    u64::try_from(middle).unwrap_or(0)
}

#[cfg(feature = "count-allocations")]
fn allocations<T, E>(
    decide: &mut impl FnMut() -> Result<T, E>,
    times: usize,
) -> Result<Option<f64>, E> {
    let mut failure = Ok(());
    let counted = allocation_counter::measure(|| {
        for _ in 0..times {
            if let Err(error) = decide() {
                failure = Err(error);
            }
        }
    });
    failure.map(|()| Some(counted.count_total as f64 / times.max(1) as f64))
}

#[cfg(not(feature = "count-allocations"))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as where allocations are counted"
)]
fn allocations<T, E>(_: &mut impl FnMut() -> Result<T, E>, _: usize) -> Result<Option<f64>, E> {
    Ok(None)
}

fn name(engine: EngineChoice) -> &'static str {
    match engine {
        EngineChoice::Compiled => "compiled",
        EngineChoice::Reference => "reference",
    }
}

fn report(
    measured: &[(EngineChoice, Figures)],
    differing: &[usize],
    (policies, entities): (usize, usize),
    given: &Given,
    output: Output,
) -> Result<(), Failure> {
    let requests = given.requests.len();
    let wrong = |error: serde_json::Error| Failure::CouldNotRun(error.to_string());
    if output.is_json() {
        let mut object = json!({
            "policies": policies,
            "entities": entities,
            "requests": requests,
            "distinct": given.distinct,
        });
        let mut put = |key: &str, value: Value| {
            if let Some(object) = object.as_object_mut() {
                object.insert(key.to_owned(), value);
            }
        };
        match measured {
            // One engine's figures stand by themselves, two stand side by side.
            [(engine, figures)] => {
                put("engine", name(*engine).into());
                if let Value::Object(members) = serde_json::to_value(figures).map_err(wrong)? {
                    members
                        .into_iter()
                        .for_each(|(key, value)| put(&key, value));
                }
            }
            both => {
                for (engine, figures) in both {
                    put(name(*engine), serde_json::to_value(figures).map_err(wrong)?);
                }
                put("differing", json!(differing));
            }
        }
        output.value(&object);
        return Ok(());
    }
    let distinct = given.distinct;
    let mut text = format!(
        "{requests} requests ({distinct} distinct), {policies} policies, {entities} entities\n"
    );
    text.push_str(&format!(
        "{:<10} {:<16} {:>12} {:>12} {:>14} {:>12}\n",
        "engine", "measured", "p50", "p99", "decisions/s", "allocations"
    ));
    for (engine, figures) in measured {
        for (what, timed) in [
            ("decision", &figures.decision),
            ("with the clock", &figures.with_clock),
            ("body to answer", &figures.body_to_answer),
        ] {
            let allocations = timed.allocations_per_decision;
            text.push_str(&format!(
                "{:<10} {what:<16} {:>12} {:>12} {:>14.0} {:>12}\n",
                name(*engine),
                shown(timed.p50_ns),
                shown(timed.p99_ns),
                timed.decisions_per_second,
                allocations.map_or_else(|| "-".to_owned(), |count| format!("{count:.2}")),
            ));
        }
    }
    if let [(_, one), (_, other)] = measured {
        let per_second = |figures: &Figures| figures.decision.decisions_per_second;
        let ratio = per_second(one) / per_second(other).max(f64::MIN_POSITIVE);
        text.push_str(&format!("compiled decides {ratio:.1} times as many\n"));
        match differing {
            [] => text.push_str("both gave the same answers\n"),
            [first, ..] => text.push_str(&format!(
                "the answers to {} requests differ, the first is request {first}\n",
                differing.len()
            )),
        }
    }
    output.text(&text);
    Ok(())
}

/// Nanoseconds in a unit that people read.
fn shown(ns: u64) -> String {
    let ns = ns as f64;
    if ns < 1_000.0 {
        format!("{ns:.0} ns")
    } else if ns < 1_000_000.0 {
        format!("{:.2} us", ns / 1e3)
    } else {
        format!("{:.2} ms", ns / 1e6)
    }
}
