//! The same workload on Deodar and on other authorization engines, each embedded in a process, as one
//! table. Every peer is held to the answers of cedar-policy before it is timed.
#![forbid(unsafe_code)]

mod arguments;
mod cedar;
mod facts;
mod given;
#[allow(dead_code, reason = "shared with the programs of peers apart")]
mod line;
mod measure;
mod peers;
mod ready;
mod table;
#[path = "../../workload/mod.rs"]
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, USAGE};
use given::{Given, Result};
use measure::{Found, answers, clock, measure};
use peers::{APART, Apart, Stock, WITHIN};

const LOCK: &str = include_str!("../Cargo.lock");

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let wanted = APART.iter().filter(|peer| arguments.wants(peer.name));
    let apart: Vec<(&Apart, Result<()>)> = wanted
        .map(|peer| {
            eprintln!("building {} apart", peer.name);
            (peer, peer.build())
        })
        .collect();

    println!(
        "Reading the clock: {:.0} ns, part of p50 and p99.\n\n{}",
        clock(),
        table::HEAD
    );
    for policies in &arguments.policies {
        for row in size(arguments, *policies, &apart)? {
            println!("{row}");
        }
    }
    Ok(())
}

/// The rows of one size.
fn size(
    arguments: &Arguments,
    policies: usize,
    apart: &[(&Apart, Result<()>)],
) -> Result<Vec<String>> {
    let (requests, seconds) = (arguments.requests, arguments.seconds);
    let say = |name: &str| eprintln!("{policies} policies: {name}");
    let given = Given::build(LOCK, policies, requests)?;

    say("cedar-policy");
    let mut stock = Stock::new(&given)?;
    let limit = Duration::from_secs_f64(seconds * 10.0);
    let expected = answers(&mut stock, given.facts.questions.len(), limit);
    let reference = measure(&mut stock, &expected, seconds);
    let mean = reference.times.map_or(f64::NAN, |times| times.mean);
    drop(stock);

    let mut all: Vec<Found> = Vec::new();
    for peer in WITHIN.iter().filter(|peer| arguments.wants(peer.name)) {
        say(peer.name);
        all.push(match peer.start(&given) {
            Ok(mut started) => measure(started.as_mut(), &expected, seconds),
            Err(failed) => failed,
        });
    }
    for (peer, built) in apart {
        say(peer.name);
        all.push(match built {
            Ok(()) => peer.measure(policies, requests, seconds, &expected),
            Err(error) => Found::failed(peer.name, &error.to_string()),
        });
    }
    // Deodar, where it was asked for, stands first.
    let first = all
        .iter()
        .take_while(|found| found.name == "deodar")
        .count();
    all.insert(first, reference);
    Ok(all
        .iter()
        .map(|found| table::row(policies, found, mean))
        .collect())
}
