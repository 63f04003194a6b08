//! Compares the engines on random cases and says how many a second: see `fuzz/README.md`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deodar_fuzz::{Counts, Found, run_set};

const USAGE: &str =
    "compare [--cases N] [--seed S] [--threads T] [--requests R] [--reference-every E]
compare --set SEED [--request N | --requests R]";

struct Arguments {
    cases: u64,
    seed: u64,
    threads: u64,
    requests: u64,
    reference_every: u64,
    set: Option<u64>,
    request: Option<u64>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        cases: 100_000,
        seed: 1,
        threads: 1,
        requests: 64,
        reference_every: 64,
        set: None,
        request: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let number: u64 = words
            .next()
            .and_then(|text| text.replace('_', "").parse().ok())
            .ok_or_else(|| format!("{name} wants a number"))?;
        match name.as_str() {
            "--cases" => found.cases = number,
            "--seed" => found.seed = number,
            "--threads" => found.threads = number.max(1),
            "--requests" => found.requests = number.max(1),
            "--reference-every" => found.reference_every = number.max(1),
            "--set" => found.set = Some(number),
            "--request" => found.request = Some(number),
            _ => return Err(format!("{name} is unknown")),
        }
    }
    if found.request.is_some() && found.set.is_none() {
        return Err("--request wants --set as well".to_owned());
    }
    Ok(found)
}

/// Findings after which a run ends.
const MOST_FOUND: usize = 10;
/// How often a run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// Stack of a comparing thread, in bytes.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let run = Run {
        next: AtomicU64::new(arguments.set.unwrap_or(arguments.seed)),
        over: AtomicBool::new(false),
        began: Instant::now(),
        sum: Mutex::new(Sum {
            counts: Counts::default(),
            found: 0,
            told: Instant::now(),
        }),
    };
    std::thread::scope(|scope| {
        for _ in 0..if arguments.set.is_some() {
            1
        } else {
            arguments.threads
        } {
            let builder = std::thread::Builder::new().stack_size(STACK);
            let work = || run.work(&arguments);
            builder.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let Sum { counts, found, .. } = run.sum.into_inner().expect("no thread panics");
    let seconds = run.began.elapsed().as_secs_f64();
    let first = arguments.set.unwrap_or(arguments.seed);
    println!(
        "sets {first} to {}, {} requests each, {} thread(s), {seconds:.1} s",
        run.next.into_inner() - 1,
        arguments.request.map_or(arguments.requests, |_| 1),
        arguments.threads
    );
    println!("{counts:#?}");
    println!(
        "{} cases compared, {:.0} a second; {found} differ",
        counts.cases,
        counts.cases as f64 / seconds
    );
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Run {
    /// The next set's seed.
    next: AtomicU64,
    over: AtomicBool,
    began: Instant,
    sum: Mutex<Sum>,
}

struct Sum {
    counts: Counts,
    found: usize,
    told: Instant,
}

impl Run {
    fn work(&self, arguments: &Arguments) {
        while !self.over.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let requests = match arguments.request {
                Some(number) => number..number + 1,
                None => 0..arguments.requests,
            };
            let mut found = Vec::new();
            let by_reference =
                arguments.set.is_some() || seed.is_multiple_of(arguments.reference_every);
            let counts = run_set(seed, requests, by_reference, &mut found);
            self.add(counts, &found, arguments);
        }
    }

    fn add(&self, counts: Counts, found: &[Found], arguments: &Arguments) {
        let mut sum = self.sum.lock().expect("no thread panics");
        sum.counts += counts;
        sum.found += found.len();
        for found in found {
            println!("FOUND: {found}");
        }
        let over = arguments.set.is_some()
            || sum.counts.cases >= arguments.cases
            || sum.found >= MOST_FOUND;
        if over {
            self.over.store(true, Ordering::Relaxed);
        } else if sum.told.elapsed() >= TELL_EVERY {
            sum.told = Instant::now();
            let seconds = self.began.elapsed().as_secs_f64();
            let rate = sum.counts.cases as f64 / seconds;
            eprintln!("{} cases, {rate:.0} a second", sum.counts.cases);
        }
    }
}
