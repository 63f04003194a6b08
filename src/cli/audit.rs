//! `deodar audit`.

use serde_json::Value;

use super::args::{Audit, AuditVerify};
use super::output::Output;
use super::{Done, Exit, Failure};
use crate::service::audit::CheckKeys;
use crate::service::audit::verify::{Bad, Report, Wanted, gather, verify as check};

/// Longest key file that is read.
const LONGEST_KEY: u64 = 64 << 10;

pub(super) fn run(command: &Audit, output: Output) -> Done {
    match command {
        Audit::Verify(command) => verify(command, output),
    }
}

fn verify(command: &AuditVerify, output: Output) -> Done {
    let mut keys = CheckKeys::default();
    for path in &command.key_file {
        let added = read(path).and_then(|text| keys.add_shared(&text));
        added.map_err(|message| could_not(&path.display().to_string(), &message))?;
    }
    for path in &command.public_key {
        let added = read(path).and_then(|text| keys.add_public(&String::from_utf8_lossy(&text)));
        added.map_err(|message| could_not(&path.display().to_string(), &message))?;
    }
    let hash = match &command.expect_hash {
        Some(text) => Some(hash(text).ok_or_else(|| {
            Failure::CouldNotRun("`--expect-hash`: expected 64 hexadecimal digits".to_owned())
        })?),
        None => None,
    };
    let wanted = Wanted {
        keys,
        head: command.head.clone(),
        expect: command.expect_sequence.map(|sequence| (sequence, hash)),
        complete: command.complete,
    };
    let logs = gather(&command.paths).map_err(Failure::CouldNotRun)?;
    if logs.len() > 1 && (wanted.head.is_some() || wanted.expect.is_some()) {
        return Err(Failure::CouldNotRun(
            "`--head` and `--expect-sequence` are about one log, and there are several".to_owned(),
        ));
    }
    let mut reports = Vec::new();
    for log in logs {
        reports.push(check(log, &wanted).map_err(Failure::CouldNotRun)?);
    }
    if output.is_json() {
        let list: Vec<Value> = reports.iter().map(Report::to_json).collect();
        output
            .value(&serde_json::json!({"holds": reports.iter().all(Report::holds), "logs": list}));
    } else {
        reports.iter().for_each(|report| say(report, output));
    }
    Ok(if reports.iter().all(Report::holds) {
        Exit::Holds
    } else {
        Exit::DoesNotHold
    })
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    crate::base::files::read(path, LONGEST_KEY).map_err(|error| error.to_string())
}

fn could_not(what: &str, message: &str) -> Failure {
    Failure::CouldNotRun(format!("`{what}`: {message}"))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    crate::service::audit::from_hex(&text.to_ascii_lowercase())
}

fn say(report: &Report, output: Output) {
    let name = report.base.display();
    let Report {
        files,
        records,
        decisions,
        ..
    } = report;
    let count = format!("{records} records ({decisions} decisions) in {files} files");
    match &report.bad {
        None => output.line(&format!("{name}: holds: {count}")),
        Some(bad) => {
            output.line(&format!("{name}: does not hold, after {count}"));
            output.line(&format!("  {}", describe(bad)));
        }
    }
    let keys = match report.checked {
        "nothing" => "not authenticated: no key was given".to_owned(),
        checked => format!("authenticated by {checked}"),
    };
    output.line(&format!("  {keys}"));
    let last = report.last_sequence();
    output.line(&match report.anchor {
        Some((sequence, by)) => format!(
            "  the end is anchored up to record {sequence} ({}); {} records after it are not",
            by.as_str(),
            report.after_anchor()
        ),
        None => format!(
            "  the end is not anchored: records after {last} could have been cut off unseen"
        ),
    });
    for note in &report.notes {
        output.line(&format!("  {note}"));
    }
}

/// Where it is, and what is wrong.
fn describe(bad: &Bad) -> String {
    let mut place = bad.file.display().to_string();
    if bad.line > 0 {
        place.push_str(&format!(":{}", bad.line));
    }
    let sequence = bad.sequence.map(|sequence| format!("record {sequence}: "));
    format!(
        "{place}: {}{}: {}",
        sequence.unwrap_or_default(),
        bad.wrong.as_str(),
        bad.detail
    )
}
