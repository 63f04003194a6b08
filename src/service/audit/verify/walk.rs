//! The walk through the records.

use std::path::PathBuf;

use serde::Deserialize;

use super::files::{Line, Lines, LogFiles};
use super::{Bad, By, Report, Wanted, Wrong};
use crate::base::hex::hex;
use crate::service::audit::canonical::from_hex;
use crate::service::audit::chain::{Link, Sealed, unseal};
use crate::service::audit::head::{Head, checkpoint_message};
use crate::service::audit::{LONGEST_LINE, Meta};

/// Records that may begin the first file of a log.
const BEGINNINGS: &[&str] = &["started", "rotated", "reopened"];

/// Where a record stands.
#[derive(Debug, Clone)]
struct Position {
    file: PathBuf,
    line: u64,
    sequence: Option<u64>,
}

impl Position {
    fn bad(self, wrong: Wrong, detail: impl Into<String>) -> Bad {
        Bad {
            file: self.file,
            line: self.line,
            sequence: self.sequence,
            wrong,
            detail: detail.into(),
        }
    }
}

/// Why the walk ends early.
enum Stop {
    Bad(Bad),
    Failed(String),
}

struct Walk<'a> {
    lines: Lines,
    wanted: &'a Wanted,
    head: Option<(PathBuf, Head)>,
    report: Report,
    /// The last good record.
    before: Option<(Link, Position)>,
    /// The last record that the log says was removed.
    removed: u64,
    log: Option<String>,
}

#[derive(Deserialize)]
struct Checkpoint {
    log: String,
    time: String,
    head: CheckpointHead,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct CheckpointHead {
    sequence: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
struct Until {
    to: u64,
}

#[derive(Deserialize)]
struct Began {
    log: String,
}

pub(super) fn walk(
    files: LogFiles,
    wanted: &Wanted,
    head: Option<(PathBuf, Head)>,
) -> Result<Report, String> {
    let base = files.base.clone();
    let fail = |error: std::io::Error| format!("`{}`: {error}", base.display());
    let mut walk = Walk {
        lines: Lines::open(files).map_err(fail)?,
        wanted,
        head,
        report: Report {
            base: base.clone(),
            files: 0,
            records: 0,
            decisions: 0,
            dropped: 0,
            first: 0,
            last: None,
            checked: match (wanted.keys.has_shared(), wanted.keys.has_public()) {
                (true, _) => "MACs",
                (false, true) => "signatures",
                (false, false) => "nothing",
            },
            anchor: None,
            bad: None,
            notes: Vec::new(),
        },
        before: None,
        removed: 0,
        log: None,
    };
    match walk.all() {
        Ok(()) => {}
        Err(Stop::Bad(bad)) => walk.report.bad = Some(bad),
        Err(Stop::Failed(message)) => return Err(message),
    }
    walk.report.files = walk.lines.files;
    walk.report.last = walk.before.as_ref().map(|(link, _)| *link);
    walk.notes();
    Ok(walk.report)
}

impl Walk<'_> {
    fn all(&mut self) -> Result<(), Stop> {
        self.check_head()?;
        while let Some(line) = self.next()? {
            self.line(line)?;
        }
        self.end()
    }

    fn next(&mut self) -> Result<Option<Line>, Stop> {
        let line = self.lines.next();
        line.map_err(|error| {
            let path = self.lines.path.display();
            Stop::Failed(format!("`{path}`: {error}"))
        })
    }

    fn place(&self, sequence: Option<u64>) -> Position {
        Position {
            file: self.lines.path.clone(),
            line: self.lines.line,
            sequence,
        }
    }

    /// A head that somebody else sealed is not an anchor but a forgery.
    fn check_head(&mut self) -> Result<(), Stop> {
        let keys = &self.wanted.keys;
        if let Some((path, head)) = &self.head
            && (keys.has_shared() || keys.has_public())
            && !head.is_sealed_by(keys)
        {
            let place = Position {
                file: path.clone(),
                line: 0,
                sequence: Some(head.sequence),
            };
            let detail = "the head was not sealed with any of the keys given";
            return Err(Stop::Bad(place.bad(Wrong::Changed, detail)));
        }
        Ok(())
    }

    fn line(&mut self, line: Line) -> Result<(), Stop> {
        let expected = self.before.as_ref().map(|(link, _)| link.sequence + 1);
        let here = self.place(expected);
        let stop =
            |place: Position, wrong, detail: String| Err(Stop::Bad(place.bad(wrong, detail)));
        match line {
            Line::Whole => {}
            Line::Torn => {
                let detail = if self.lines.is_last_file() {
                    "the last record was never finished; the next start of the log cuts it off"
                } else {
                    "the file ends within a record"
                };
                return stop(here, Wrong::TornTail, detail.to_owned());
            }
            Line::TooLong => {
                let detail = format!("longer than {LONGEST_LINE} bytes");
                return stop(here, Wrong::Changed, detail);
            }
        }
        let text = std::mem::take(&mut self.lines.text);
        let read = unseal(&text).zip(serde_json::from_slice::<Meta<'_>>(&text).ok());
        let Some((sealed, meta)) = read else {
            return stop(here, Wrong::Changed, "is not a sealed record".to_owned());
        };
        let here = self.place(Some(meta.sequence));
        let keys = &self.wanted.keys;
        if keys.has_shared() {
            let holds = sealed.mac.map(|(of, mac)| keys.verifies_mac(&of, &mac));
            let detail = match holds {
                Some(true) => None,
                Some(false) => Some("its MAC was made with none of the keys given"),
                None => Some("has no MAC"),
            };
            if let Some(detail) = detail {
                return stop(
                    self.place(expected.or(Some(meta.sequence))),
                    Wrong::Changed,
                    detail.to_owned(),
                );
            }
        }
        self.link(&sealed, &meta, here.clone())?;
        let link = Link {
            sequence: meta.sequence,
            hash: sealed.hash,
        };
        self.against_anchors(link, &here)?;
        self.content(&text, &sealed, &meta, &here)?;
        self.report.records += 1;
        self.before = Some((link, here));
        // The room is used again.
        self.lines.text = text;
        Ok(())
    }

    /// Whether the record follows the one before.
    fn link(&mut self, sealed: &Sealed, meta: &Meta<'_>, here: Position) -> Result<(), Stop> {
        let Some((last, place)) = self.before.clone() else {
            self.report.first = meta.sequence;
            return first(sealed, meta, here);
        };
        let expected = last.sequence + 1;
        let in_place = sealed.prev == last.hash;
        let bad = match (in_place, meta.sequence.cmp(&expected)) {
            (true, std::cmp::Ordering::Equal) => return Ok(()),
            (true, _) => {
                let detail = format!("its number was {expected}");
                let place = Position {
                    sequence: Some(expected),
                    ..here
                };
                place.bad(Wrong::Changed, detail)
            }
            (false, std::cmp::Ordering::Equal) => {
                // Either of the two was changed: the record behind them tells.
                if self.next_follows(meta.sequence, sealed)? {
                    place.bad(Wrong::Changed, "the record after it has another hash of it")
                } else {
                    here.bad(
                        Wrong::Changed,
                        "it and the record after it, or its hash of the one before, were changed",
                    )
                }
            }
            (false, std::cmp::Ordering::Greater) => {
                let to = meta.sequence - 1;
                let place = Position {
                    sequence: Some(expected),
                    ..here.clone()
                };
                if self.comes_later(expected)? {
                    let detail = format!("stands where record {expected} was");
                    here.bad(Wrong::Reordered, detail)
                } else {
                    place.bad(Wrong::Missing, numbers(expected, to))
                }
            }
            (false, std::cmp::Ordering::Less) => {
                let detail = format!("stands where record {expected} was, or a second time");
                here.bad(Wrong::Reordered, detail)
            }
        };
        Err(Stop::Bad(bad))
    }

    /// Whether what comes after a record has its hash. Without a record after it, an anchor may know.
    fn next_follows(&mut self, sequence: u64, sealed: &Sealed) -> Result<bool, Stop> {
        if let Some(Line::Whole) = self.next()? {
            let next = unseal(&self.lines.text);
            return Ok(next.is_some_and(|next| next.prev == sealed.hash));
        }
        let head = self.head.as_ref().and_then(|(_, head)| head.link());
        let head = head.map(|link| (link.sequence, Some(link.hash)));
        let known = [head, self.wanted.expect].into_iter().flatten();
        let mut known = known.filter(|(at, _)| *at == sequence);
        Ok(known.all(|(_, hash)| hash.is_none_or(|hash| hash == sealed.hash)))
    }

    fn comes_later(&mut self, sequence: u64) -> Result<bool, Stop> {
        while let Some(line) = self.next()? {
            let meta = serde_json::from_slice::<Meta<'_>>(&self.lines.text);
            if line == Line::Whole && meta.is_ok_and(|meta| meta.sequence == sequence) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares with the head and with what is expected.
    fn against_anchors(&mut self, link: Link, here: &Position) -> Result<(), Stop> {
        if let Some((_, head)) = &self.head
            && head.sequence == link.sequence
        {
            if head.link() != Some(link) {
                let detail = "the head has another hash of it";
                return Err(Stop::Bad(here.clone().bad(Wrong::Changed, detail)));
            }
            let keys = &self.wanted.keys;
            let sealed = keys.has_shared() || keys.has_public();
            let by = if sealed { By::SealedHead } else { By::Head };
            self.anchor(link.sequence, by);
        }
        match self.wanted.expect {
            Some((sequence, hash)) if sequence == link.sequence => {
                if hash.is_some_and(|hash| hash != link.hash) {
                    let detail = format!("its hash is {}, another is expected", hex(&link.hash));
                    return Err(Stop::Bad(here.clone().bad(Wrong::Changed, detail)));
                }
                self.anchor(link.sequence, By::Expectation);
            }
            _ => {}
        }
        Ok(())
    }

    fn anchor(&mut self, sequence: u64, by: By) {
        if self.report.anchor.is_none_or(|(known, _)| known < sequence) {
            self.report.anchor = Some((sequence, by));
        }
    }

    fn content(
        &mut self,
        text: &[u8],
        sealed: &Sealed,
        meta: &Meta<'_>,
        here: &Position,
    ) -> Result<(), Stop> {
        match meta.kind.as_ref() {
            "decision" | "oversized" => self.report.decisions += 1,
            "dropped" => {
                let count = serde_json::from_slice(text).map_or(0, |Count { count }| count);
                self.report.dropped = self.report.dropped.saturating_add(count);
            }
            "removed" => {
                let to = serde_json::from_slice(text).map_or(0, |Until { to }| to);
                self.removed = self.removed.max(to);
            }
            "checkpoint" if self.wanted.keys.has_public() => {
                let signed = serde_json::from_slice::<Checkpoint>(text)
                    .ok()
                    .is_some_and(|checkpoint| self.is_signed(&checkpoint, sealed, meta));
                if !signed {
                    let detail = "its signature was made with none of the keys given";
                    return Err(Stop::Bad(here.clone().bad(Wrong::Changed, detail)));
                }
                self.anchor(meta.sequence, By::Checkpoint);
            }
            "started" | "rotated" | "reopened" => {
                let log = serde_json::from_slice(text).map(|Began { log }| log).ok();
                if let (Some(known), Some(log)) = (&self.log, &log)
                    && known != log
                {
                    let note = format!("the log has another id from record {} on", meta.sequence);
                    self.report.notes.push(note);
                }
                self.log = log.or(self.log.take());
            }
            _ => {}
        }
        Ok(())
    }

    fn is_signed(&self, checkpoint: &Checkpoint, sealed: &Sealed, meta: &Meta<'_>) -> bool {
        let Checkpoint {
            log,
            time,
            head,
            signature,
        } = checkpoint;
        let message = checkpoint_message(log, head.sequence, &head.hash, time);
        let signature = signature.as_deref().unwrap_or_default();
        head.sequence.checked_add(1) == Some(meta.sequence)
            && from_hex(&head.hash) == Some(sealed.prev)
            && self
                .wanted
                .keys
                .verifies_signature(message.as_bytes(), signature)
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some((last, place)) = self.before.clone() else {
            let path = self.report.base.display();
            return Err(Stop::Failed(format!("`{path}`: there is no record")));
        };
        let headed = self.head.as_ref().map(|(_, head)| head.sequence);
        let expected = self.wanted.expect.map(|(sequence, _)| sequence);
        let known = headed.into_iter().chain(expected).max().unwrap_or(0);
        if known > last.sequence {
            let place = Position {
                line: place.line + 1,
                sequence: Some(last.sequence + 1),
                ..place
            };
            let detail = numbers(last.sequence + 1, known);
            let detail = format!("the end was cut off: {detail}");
            return Err(Stop::Bad(place.bad(Wrong::Missing, detail)));
        }
        if self.wanted.keys.has_public()
            && !matches!(
                self.report.anchor,
                Some((_, By::Checkpoint | By::SealedHead))
            )
        {
            let detail = "no checkpoint of it is signed";
            return Err(Stop::Bad(place.bad(Wrong::Changed, detail)));
        }
        if self.wanted.complete && self.report.first != 1 {
            let place = Position {
                file: self.report.base.clone(),
                line: 0,
                sequence: Some(1),
            };
            let detail = numbers(1, self.report.first - 1);
            return Err(Stop::Bad(place.bad(Wrong::Missing, detail)));
        }
        Ok(())
    }

    fn notes(&mut self) {
        let report = &mut self.report;
        let mut notes = Vec::new();
        if report.first > 1 {
            let before = report.first - 1;
            notes.push(if self.removed >= before {
                format!("records up to {before} were removed, as the log itself says")
            } else {
                format!("records up to {before} are not here, and nothing here says where they are")
            });
        }
        if report.dropped > 0 {
            let dropped = report.dropped;
            notes.push(format!(
                "{dropped} decisions were not recorded, as the log itself says"
            ));
        }
        if report.checked == "nothing" {
            notes.push(
                "without a key only the chain was checked: anyone who can write the file can make another"
                    .to_owned(),
            );
        }
        report.notes.extend(notes);
    }
}

/// Whether a log may begin with this record.
fn first(sealed: &Sealed, meta: &Meta<'_>, here: Position) -> Result<(), Stop> {
    let begins = sealed.prev == [0; 32];
    if begins != (meta.sequence == 1) {
        let here = Position {
            sequence: if begins { Some(1) } else { here.sequence },
            ..here
        };
        let detail = "its number or its hash of the one before is wrong";
        return Err(Stop::Bad(here.bad(Wrong::Changed, detail)));
    }
    if !BEGINNINGS.contains(&meta.kind.as_ref()) {
        let detail =
            "the file begins with a record that no file begins with: those before are gone";
        return Err(Stop::Bad(here.bad(Wrong::Missing, detail)));
    }
    Ok(())
}

fn numbers(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} is not there")
    } else {
        format!("records {from} to {to} are not there")
    }
}
