//! A peer in a process of its own: it is told Cedar's answers and says what was found.

use std::io::stdin;

use crate::given::{Given, Result};
use crate::measure::{Found, Peer, Times, measure};

/// What a peer's own program does. Its arguments: policies, requests, seconds.
pub fn run<P: Peer>(lock: &'static str, build: fn(&Given) -> Result<P>) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policies, requests, seconds] = arguments.as_slice() else {
        return Err("arguments: policies, requests, seconds".into());
    };
    let mut answers = String::new();
    stdin().read_line(&mut answers)?;
    let answers: Vec<bool> = answers.trim().chars().map(|answer| answer == '1').collect();
    let mut peer = build(&Given::build(lock, policies.parse()?, requests.parse()?)?)?;
    println!(
        "{}",
        to_line(&measure(&mut peer, &answers, seconds.parse()?))
    );
    Ok(())
}

fn to_line(found: &Found) -> String {
    let times = found
        .times
        .map_or(String::new(), |t| format!("{} {} {}", t.p50, t.p99, t.mean));
    let (agreed, asked) = (found.agreed.to_string(), found.asked.to_string());
    [
        &*found.name,
        &found.version,
        &found.note,
        &agreed,
        &asked,
        &times,
    ]
    .join("\t")
}

/// What [`run`] printed.
pub fn from_line(line: &str) -> Option<Found> {
    let mut parts = line.trim_end().split('\t');
    let mut next = || parts.next().map(str::to_owned);
    let (name, version, note) = (next()?, next()?, next()?);
    let (agreed, asked) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let times = next()?;
    let mut times = times.split(' ').map(str::parse);
    let mut time = || times.next()?.ok();
    let times = Some(Times {
        p50: time()?,
        p99: time()?,
        mean: time()?,
    });
    Some(Found {
        name,
        version,
        note,
        agreed,
        asked,
        times,
    })
}
