//! Printing: plain text or JSON on standard output, faults for people on standard error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use super::Failure;
use crate::base::fault::{Faults, MOST_SHOWN, cut};

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Prints as it is. A reader that went away (`| head`) is not a failure.
    pub(super) fn text(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(visible(text).as_bytes());
        let _ = out.flush();
    }

    /// Prints a line.
    pub(super) fn line(self, text: &str) {
        self.text(&format!("{text}\n"));
    }

    /// Says something beside what was asked for, on standard error.
    pub(super) fn note(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{}", visible(text));
        }
    }

    /// Prints one JSON document.
    pub(super) fn value(self, value: &Value) {
        self.line(&format!("{value:#}"));
    }

    /// Says why a command ended early.
    pub(super) fn failure(self, failure: &Failure) {
        if self.json {
            return self.value(&json!({"error": failure_json(failure)}));
        }
        match failure {
            Failure::CouldNotRun(message) => complain(message),
            Failure::Faulty(faults) | Failure::Invalid(faults) => report(faults),
            Failure::Request(error) if error.faults().is_empty() => complain(&error.to_string()),
            Failure::Request(error) => {
                complain("the request cannot be decided");
                for fault in error.faults() {
                    complain_more(&fault.to_string());
                }
            }
        }
    }
}

fn failure_json(failure: &Failure) -> Value {
    match failure {
        Failure::CouldNotRun(message) => json!({"code": "could_not_run", "message": message}),
        Failure::Faulty(faults) => json!({"code": "faulty", "faults": faults.to_json()}),
        Failure::Invalid(faults) => json!({"code": "invalid", "faults": faults.to_json()}),
        Failure::Request(error) => json!({
            "code": error.code(),
            "message": error.to_string(),
            "errors": error.faults().iter()
                .map(|fault| json!({"pointer": fault.pointer, "detail": fault.detail}))
                .collect::<Vec<_>>(),
        }),
    }
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "deodar: {message}");
}

fn complain_more(message: &str) {
    let _ = writeln!(std::io::stderr(), "  {message}");
}

/// Every fault with its place in the text.
pub(super) fn report(faults: &Faults) {
    let terminal = std::io::stderr().is_terminal();
    let coloured = terminal && std::env::var_os("NO_COLOR").is_none();
    let theme = if coloured {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_context_lines(1);
    for fault in faults.iter().take(MOST_SHOWN) {
        let mut text = String::new();
        let rendered = handler.render_report(&mut text, fault);
        if rendered.is_err() || text.len() > LONGEST_REPORT {
            text = cut(&fault.one_line(), LONGEST_REPORT);
        }
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    if faults.len() > MOST_SHOWN {
        complain(&format!("and {} more", faults.len() - MOST_SHOWN));
    }
    let warnings = faults.iter().filter(|fault| fault.is_warning()).count();
    let errors = faults.len() - warnings;
    let counts: Vec<_> = [(errors, "fault"), (warnings, "warning")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| count(n, what))
        .collect();
    if faults.len() > 1 || warnings > 0 {
        complain(&counts.join(", "));
    }
}

/// Bytes that are printed for one fault at most.
const LONGEST_REPORT: usize = 2_000;

/// The text with escapes for what a terminal would obey or hide, such as control characters in what a server or a
/// file says. The escapes are JSON's, so that JSON stays what it is.
fn visible(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| match c {
        '\n' | '\t' | '\u{200d}' => true,
        c => !(c.is_control() || is_format(c)),
    };
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown.into()
}

/// Characters that change the direction of text around them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number of things: `1 fault`, `2 faults`, `2 policies`, `2 entities`.
pub(super) fn count(n: usize, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {one}s"),
    }
}
