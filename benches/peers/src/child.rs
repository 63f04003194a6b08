//! What the program of a peer with a process of its own does: it is told Cedar's answers and says what
//! was found.

use std::io::stdin;

use crate::given::{Given, Result};
use crate::line;
use crate::measure::{Peer, measure};

/// Arguments of the program: policies, requests, seconds.
pub fn run<P: Peer>(lock: &'static str, build: fn(&Given) -> Result<P>) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policies, requests, seconds] = arguments.as_slice() else {
        return Err("arguments: policies, requests, seconds".into());
    };
    let mut answers = String::new();
    stdin().read_line(&mut answers)?;
    let answers: Vec<bool> = answers.trim().chars().map(|answer| answer == '1').collect();
    let mut peer = build(&Given::build(lock, policies.parse()?, requests.parse()?)?)?;
    let found = measure(&mut peer, &answers, seconds.parse()?);
    println!("{}", line::write(&found));
    Ok(())
}
