//! `deodar test`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde_json::{Value, json};

use super::args::{Args, Test};
use super::output::{Output, count, report};
use super::{Done, Exit, Failure};
use crate::base::fault::Faults;
use crate::base::threads::spawn;
use crate::cases::{self, Sources, Suite, Verdict};
use crate::pdp::BuildError;
use crate::service::config::Config;

pub(super) fn run(command: &Test, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let sources = Sources {
        policies: command.policies.clone(),
        schema: command.schema.clone(),
        entities: command.entities.clone(),
    };
    let mut suites = Vec::new();
    let mut faults = Faults::new();
    for path in &command.paths {
        match cases::read(path, &sources) {
            Ok(found) => suites.extend(found),
            Err(found) => faults.extend(found),
        }
    }
    let suites = faults.or(suites).map_err(Failure::Faulty)?;
    let mut printer = Printer {
        output,
        verbose: command.verbose,
        passed: 0,
        failed: 0,
        notes: 0,
        invalid: Vec::new(),
        any_invalid: false,
        cases: Vec::new(),
    };
    run_all(&suites, &config, |suite, verdicts| {
        match verdicts {
            Ok(verdicts) => printer.suite(suite, &verdicts),
            Err(BuildError::Sources(faults)) => printer.invalid(suite, &faults),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok(printer.end())
}

/// Stack of a thread that runs cases, in bytes: as much as the main thread has on most systems.
const STACK: usize = 8 << 20;

type Ran<'s> = Result<Vec<Verdict<'s>>, BuildError>;

/// Runs the suites on all cores; `tell` hears of each in their order.
fn run_all<'s>(
    suites: &'s [Suite],
    config: &Config,
    mut tell: impl FnMut(&'s Suite, Ran<'s>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (sender, done) = mpsc::channel();
    let work = |sender: mpsc::Sender<(usize, Ran<'s>)>| {
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(suite) = suites.get(at)
            // Nobody listens any more once something could not run.
            && sender.send((at, suite.run(config))).is_ok()
        {}
    };
    let work = &work;
    std::thread::scope(|scope| {
        for _ in 0..workers.min(suites.len()) {
            let own = sender.clone();
            if spawn(scope, "cases", STACK, move || work(own)).is_err() {
                // The channel holds what this thread does by itself.
                work(sender.clone());
            }
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut told = suites.iter().enumerate().peekable();
        for (at, verdicts) in done {
            waiting.insert(at, verdicts);
            while let Some((at, suite)) = told.peek().copied()
                && let Some(verdicts) = waiting.remove(&at)
            {
                told.next();
                tell(suite, verdicts)?;
            }
        }
        Ok(())
    })
}

struct Printer {
    output: Output,
    verbose: bool,
    passed: usize,
    failed: usize,
    notes: usize,
    invalid: Vec<Value>,
    any_invalid: bool,
    cases: Vec<Value>,
}

impl Printer {
    fn suite(&mut self, suite: &Suite, verdicts: &[Verdict<'_>]) {
        let file = suite.file.display();
        let before = self.failed;
        for verdict in verdicts {
            let passed = verdict.failures.is_empty();
            if passed {
                self.passed += 1;
            } else {
                self.failed += 1;
            }
            let name = &verdict.case.name;
            let line = verdict.case.line;
            let place = line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"));
            if self.output.is_json() {
                self.cases.push(json!({
                    "file": file.to_string(), "line": line, "name": name, "passed": passed,
                    "failures": verdict.failures,
                }));
            } else if !passed {
                self.output.line(&format!("FAIL {place}: {name}"));
                for failure in &verdict.failures {
                    self.output.line(&format!("       {failure}"));
                }
            } else if self.verbose {
                self.output.line(&format!("ok   {place}: {name}"));
            }
        }
        self.notes += suite.notes.len();
        if self.output.is_json() {
            return;
        }
        if self.verbose {
            for note in &suite.notes {
                self.output.line(&format!("note {file}: {note}"));
            }
        } else if self.failed == before && !suite.is_cedar() {
            self.output
                .line(&format!("ok   {file}: {}", count(verdicts.len(), "case")));
        }
    }

    /// A suite whose policies are faulty: none of its cases says anything, so all have failed.
    fn invalid(&mut self, suite: &Suite, faults: &Faults) {
        self.failed += suite.cases.len();
        let file = suite.file.display().to_string();
        if self.output.is_json() {
            self.invalid
                .push(json!({"file": file, "faults": faults.to_json()}));
        } else {
            report(faults);
            let cases = count(suite.cases.len(), "case");
            self.output
                .line(&format!("FAIL {file}: {cases}, the policies are invalid"));
        }
        self.any_invalid = true;
    }

    fn end(self) -> Exit {
        if self.output.is_json() {
            self.output.value(&json!({
                "passed": self.passed, "failed": self.failed, "shouldValidateDiffers": self.notes,
                "cases": self.cases, "invalid": self.invalid,
            }));
        } else {
            if self.notes > 0 {
                self.output.line(&format!(
                    "{} `shouldValidate` flags differ (`--verbose` names them); they never fail a test",
                    self.notes
                ));
            }
            self.output
                .line(&format!("{} passed, {} failed", self.passed, self.failed));
        }
        if self.any_invalid {
            Exit::Invalid
        } else if self.failed == 0 {
            Exit::Holds
        } else {
            Exit::DoesNotHold
        }
    }
}
