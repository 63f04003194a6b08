//! Faults of policies, schemas, entities and case files, as their authors see them.
//!
//! A [`Fault`] says what is wrong, where (file and span) and what to do. Loading never stops at the
//! first one: it gathers [`Faults`], which render through `miette` for people and through
//! [`Fault::to_json`] for programs.

mod snippet;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};

use snippet::{Snippet, floor, harmless};

use crate::base::nearest::nearest_type;

/// Bytes of a message or a help, of a label, and of a file's name as it is shown.
const LONGEST_MESSAGE: usize = 400;
const LONGEST_LABEL: usize = 80;
const LONGEST_NAME: usize = 160;
/// Places of one fault.
const MOST_PLACES: usize = 4;
/// Faults that are printed, logged or answered at once; of the others only the number is said.
pub(crate) const MOST_SHOWN: usize = 100;

/// A named text that faults point into; cloning shares the text.
#[derive(Clone)]
pub(crate) struct SourceText {
    /// The file's name as the operator knows it.
    pub(crate) name: Arc<str>,
    /// The file's whole text.
    pub(crate) text: Arc<str>,
}

/// Without the text, which may be long and is nobody's business in a log.
impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({:?}, {} bytes)", self.name, self.text.len())
    }
}

impl SourceText {
    /// Line and column (both from 1, the column in characters) of a byte offset.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let end = floor(&self.text, offset);
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

/// A place in a source text, with what there is to say about it.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) source: SourceText,
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) label: Option<String>,
}

/// One fault: a stable code, a message, where it is, and what would help.
#[derive(Debug, Clone)]
pub struct Fault {
    code: &'static str,
    message: String,
    file: Option<Arc<str>>,
    places: Vec<Location>,
    help: Option<Box<str>>,
    is_warning: bool,
    snippet: OnceLock<Option<Box<Snippet>>>,
}

/// A text of at most so many bytes, without control characters but line ends.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let tame = |character| {
        if character == '\n' {
            character
        } else {
            harmless(character)
        }
    };
    let mut short = String::new();
    for character in text.chars() {
        if short.len() + character.len_utf8() > most {
            short.push('…');
            break;
        }
        short.push(tame(character));
    }
    short
}

/// A file's name as it is shown: its end, where it is long.
fn shown_name(name: &str) -> String {
    let mut from = name.len().saturating_sub(LONGEST_NAME);
    while !name.is_char_boundary(from) {
        from += 1;
    }
    let end: String = name
        .get(from..)
        .unwrap_or_default()
        .chars()
        .map(harmless)
        .collect();
    if from > 0 { format!("…{end}") } else { end }
}

impl Fault {
    /// A fault with a stable `code` (such as `parse`) and a message in lower case, which is cut to a
    /// bounded length.
    pub(crate) fn new(code: &'static str, message: impl AsRef<str>) -> Self {
        Self {
            code,
            message: cut(message.as_ref(), LONGEST_MESSAGE),
            file: None,
            places: Vec::new(),
            help: None,
            is_warning: false,
            snippet: OnceLock::new(),
        }
    }

    /// The same as a warning: worth a look, and no reason to refuse.
    pub(crate) fn into_warning(self) -> Self {
        Self {
            is_warning: true,
            ..self
        }
    }

    /// The file that is at fault, where no span in it is known.
    pub(crate) fn in_file(mut self, file: impl Into<Arc<str>>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds a place; the first one is where the fault is.
    pub(crate) fn at(mut self, mut place: Location) -> Self {
        if self.file.is_none() {
            self.file = Some(Arc::clone(&place.source.name));
        }
        place.label = place.label.map(|label| cut(&label, LONGEST_LABEL));
        if self.places.len() < MOST_PLACES {
            self.places.push(place);
        }
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(cut(help.as_ref(), LONGEST_MESSAGE).into());
        self
    }

    /// Takes over the message chain, labels and help of a Cedar diagnostic about `source`.
    pub(crate) fn from_cedar(
        code: &'static str,
        diagnostic: &dyn Diagnostic,
        source: Option<&SourceText>,
    ) -> Self {
        Self::from_cedar_at(code, diagnostic, source, 0)
    }

    /// The same where Cedar saw `source` from an offset on.
    pub(crate) fn from_cedar_at(
        code: &'static str,
        diagnostic: &dyn Diagnostic,
        source: Option<&SourceText>,
        base: usize,
    ) -> Self {
        let mut fault = Self::new(code, chain(diagnostic));
        if let Some(source) = source {
            fault.file = Some(Arc::clone(&source.name));
            for label in diagnostic.labels().into_iter().flatten() {
                let offset = (base + label.offset()).min(source.text.len());
                fault = fault.at(Location {
                    source: source.clone(),
                    offset,
                    length: label.len().min(source.text.len() - offset),
                    label: label.label().map(str::to_owned),
                });
            }
        }
        match diagnostic.help().map(|help| help.to_string()) {
            Some(help) if !is_far_fetched(&help, &fault.message) => fault.help(help),
            _ => fault,
        }
    }

    /// A stable name for the kind of fault: `parse`, `validation`, `duplicate_id`, ...
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, in lower case and without a full stop.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file at fault, as it was named to the loader.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Line and column of the fault, both from 1, where a span is known.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let place = self.places.first()?;
        Some(place.source.position(place.offset))
    }

    /// The fault on one line: `file:line:column: message`.
    #[must_use]
    pub fn one_line(&self) -> String {
        let message = self.message.replace('\n', " ");
        match (self.file().map(shown_name), self.position()) {
            (Some(file), Some((line, column))) => format!("{file}:{line}:{column}: {message}"),
            (Some(file), None) => format!("{file}: {message}"),
            _ => message,
        }
    }

    /// The fault as a JSON object: `code`, `message`, `file`, `line`, `column`, `span {offset,
    /// length}` in bytes, `label`, `help` and `related` places; members without a value are left out.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("code".to_owned(), self.code.into());
        object.insert("message".to_owned(), self.message.clone().into());
        if let Some(file) = self.file() {
            object.insert("file".to_owned(), shown_name(file).into());
        }
        let mut places = self.places.iter().map(place_json);
        if let Some(serde_json::Value::Object(first)) = places.next() {
            object.extend(first);
        }
        let related: Vec<_> = places.collect();
        if !related.is_empty() {
            object.insert("related".to_owned(), related.into());
        }
        if let Some(help) = &self.help {
            object.insert("help".to_owned(), help.to_string().into());
        }
        serde_json::Value::Object(object)
    }
}

fn place_json(place: &Location) -> serde_json::Value {
    let (line, column) = place.source.position(place.offset);
    let mut object = serde_json::Map::new();
    object.insert("file".to_owned(), shown_name(&place.source.name).into());
    object.insert("line".to_owned(), line.into());
    object.insert("column".to_owned(), column.into());
    object.insert(
        "span".to_owned(),
        serde_json::json!({"offset": place.offset, "length": place.length}),
    );
    if let Some(label) = &place.label {
        object.insert("label".to_owned(), label.clone().into());
    }
    serde_json::Value::Object(object)
}

/// The message of an error followed by those of its sources, without repetition.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = cause.source();
    }
    message
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(file) if self.places.is_empty() => {
                write!(f, "{}: {}", shown_name(file), self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl Error for Fault {}

impl Diagnostic for Fault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let elsewhere: Vec<String> = self
            .other_files()
            .map(|place| {
                let (line, column) = place.source.position(place.offset);
                let label = place.label.as_deref().unwrap_or("see also");
                format!(
                    "{label}: {}:{line}:{column}",
                    shown_name(&place.source.name)
                )
            })
            .chain(self.help.as_deref().map(str::to_owned))
            .collect();
        if elsewhere.is_empty() {
            None
        } else {
            Some(Box::new(elsewhere.join("\n")))
        }
    }

    fn severity(&self) -> Option<Severity> {
        Some(if self.is_warning {
            Severity::Warning
        } else {
            Severity::Error
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippet().map(|snippet| snippet as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.snippet()?.labels()))
    }
}

impl Fault {
    /// What is shown of the text.
    fn snippet(&self) -> Option<&Snippet> {
        let snippet = self
            .snippet
            .get_or_init(|| Snippet::of(&self.places).map(Box::new));
        snippet.as_deref()
    }

    /// Whether it is a warning only.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.is_warning
    }

    /// What orders faults: the file, then the place in it.
    fn order(&self) -> (Option<&str>, usize) {
        (
            self.file(),
            self.places.first().map_or(0, |place| place.offset),
        )
    }

    /// The places that lie in another file than the first one; a snippet can show one file only.
    fn other_files(&self) -> impl Iterator<Item = &Location> {
        let first = self
            .places
            .first()
            .map(|place| Arc::clone(&place.source.name));
        self.places
            .iter()
            .filter(move |place| Some(&place.source.name) != first.as_ref())
    }
}

/// Whether Cedar's hint names something that nobody can have meant: it takes the nearest name, however far that is.
fn is_far_fetched(help: &str, message: &str) -> bool {
    let Some(hint) = help.strip_prefix("did you mean `") else {
        return false;
    };
    let hint = hint.trim_end_matches(['?', '`']);
    let quoted = message.split('`').skip(1).step_by(2);
    quoted
        .into_iter()
        .all(|name| nearest_type(name, [hint]).is_none())
}

/// Every fault found; never empty when it is an error.
///
/// ```
/// use deodar::{BuildError, Pdp};
///
/// let text = "permit(principal, action, resource);\npermit(principal, action);";
/// let Err(BuildError::Sources(faults)) = Pdp::builder().policies_text("p.cedar", text).build() else {
///     panic!("the second policy has no resource");
/// };
/// let fault = faults.iter().next().unwrap();
/// assert_eq!((fault.file(), fault.position().map(|(line, _)| line)), (Some("p.cedar"), Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn extend(&mut self, faults: Self) {
        self.0.extend(faults.0);
    }

    /// `Ok` with the value when there is no fault.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.sorted())
        }
    }

    /// The same with one fault in place of all of this code that say the same: it names the places and how
    /// many there are.
    pub(crate) fn merged(self, code: &str) -> Self {
        let mut merged: Vec<(Fault, usize)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for fault in self.sorted().0 {
            if fault.code != code {
                merged.push((fault, 1));
                continue;
            }
            let at = known.get(&fault.message).copied();
            match at.and_then(|at| merged.get_mut(at)) {
                Some((first, times)) => {
                    *times += 1;
                    let room = MOST_PLACES.saturating_sub(first.places.len());
                    first.places.extend(fault.places.into_iter().take(room));
                }
                None => {
                    known.insert(fault.message.clone(), merged.len());
                    merged.push((fault, 1));
                }
            }
        }
        let merged = merged.into_iter().map(|(mut fault, times)| {
            if times > 1 {
                fault.message = format!("{} ({times} policies)", fault.message);
            }
            fault
        });
        Self(merged.collect())
    }

    /// The same in the order of files and of places in them.
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| a.order().cmp(&b.order()));
        self
    }

    /// The faults, by file and by place in it.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults as JSON: at most [`MOST_SHOWN`], then how many more there are.
    #[cfg(feature = "server")]
    pub(crate) fn to_json(&self) -> Vec<serde_json::Value> {
        let shown = self.0.iter().take(MOST_SHOWN).map(Fault::to_json);
        let more = self
            .0
            .len()
            .checked_sub(MOST_SHOWN)
            .filter(|more| *more > 0);
        let more = more
            .map(|more| serde_json::json!({"code": "more", "message": format!("and {more} more")}));
        shown.chain(more).collect()
    }

    /// The first five faults on one line each, and how many more there are.
    pub(crate) fn named(&self) -> String {
        first_of(self.0.iter().map(Fault::one_line), 5)
    }

    /// Whether the others are the same faults at the same places.
    pub(crate) fn say_the_same(&self, others: &Self) -> bool {
        let lines = |faults: &Self| faults.0.iter().map(Fault::one_line).collect::<Vec<_>>();
        self.0.len() == others.0.len() && lines(self) == lines(others)
    }

    /// The first fault on one line, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.is_empty() {
            true => "no fault".to_owned(),
            false => first_of(self.0.iter().map(Fault::one_line), 1),
        }
    }
}

/// The first `most` of these, and how many more there are.
pub(crate) fn first_of(
    items: impl ExactSizeIterator<Item = impl AsRef<str>>,
    most: usize,
) -> String {
    let more = items.len().saturating_sub(most);
    let mut text = String::new();
    for item in items.take(most) {
        text.push_str(if text.is_empty() { "" } else { "; " });
        text.push_str(item.as_ref());
    }
    if more > 0 {
        text.push_str(&format!(" (and {more} more)"));
    }
    text
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self(faults.into_iter().collect())
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}

impl Error for Faults {}

#[cfg(test)]
mod tests {
    #[test]
    fn hints_that_nobody_can_have_meant_are_left_out() {
        let far = |help: &str, message: &str| super::is_far_fetched(help, message);
        let missing = "for policy `p`, attribute `readProfil` on entity type `Doc` not found";
        assert!(far("did you mean `safe`?", missing));
        assert!(!far("did you mean `readProfile`?", missing));
        let action = r#"for policy `p`, unrecognized action `Action::"readProfil"`"#;
        assert!(!far(r#"did you mean `Action::"readProfile"`?"#, action));
        assert!(!far(
            r#"did you mean `Shop::Action::"readProfil"`?"#,
            action
        ));
        assert!(!far("try adding a scope", missing));
    }

    use super::*;

    fn source(name: &str, text: &str) -> SourceText {
        SourceText {
            name: name.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_fault_says_where_in_one_line_and_in_json() {
        let text = source("a.cedar", "permit(\n  é oops);");
        let offset = text.text.find("oops").unwrap();
        let fault = Fault::new("parse", "unexpected token `oops`")
            .at(Location {
                source: text,
                offset,
                length: 4,
                label: Some("expected `,`".to_owned()),
            })
            .help("remove it");
        assert_eq!(fault.one_line(), "a.cedar:2:5: unexpected token `oops`");
        let json = fault.to_json();
        assert_eq!(json["line"], 2);
        assert_eq!(json["span"]["offset"], offset);
        assert_eq!(json["help"], "remove it");
    }

    /// The text as the command line prints it.
    #[cfg(feature = "cli")]
    fn rendered(fault: &Fault) -> String {
        let mut text = String::new();
        let theme = miette::GraphicalTheme::unicode_nocolor();
        miette::GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_context_lines(1)
            .render_report(&mut text, fault)
            .unwrap();
        text
    }

    #[cfg(feature = "cli")]
    fn at(text: &str, offset: usize, length: usize) -> Fault {
        Fault::new("parse", "wrong").at(Location {
            source: source("a.json", text),
            offset,
            length,
            label: None,
        })
    }

    /// One line of a megabyte, the place anywhere in it: little is printed, and the place is right.
    #[cfg(feature = "cli")]
    #[test]
    fn a_window_is_cut_out_of_long_lines() {
        for filler in ["x", "é", "\u{1f600}", "\t", "\u{1b}[31m"] {
            let long = filler.repeat(300_000);
            let text = format!("first\r\n{long}HERE{long}\r\nlast");
            let offset = text.find("HERE").unwrap();
            let printed = rendered(&at(&text, offset, 4));
            assert!(printed.len() < 2_000, "{} bytes", printed.len());
            assert!(
                printed.contains("HERE") && !printed.contains('\u{1b}'),
                "{printed}"
            );
            let column = filler.chars().count() * 300_000 + 1;
            assert!(
                printed.contains(&format!("[a.json:2:{column}]")),
                "{printed}"
            );
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn every_offset_and_length_renders() {
        let text = "a\n\né\tb\r\n\u{202e}c\u{0}d\n";
        for offset in 0..=text.len() + 2 {
            for length in [0, 1, 3, 100, usize::MAX - 1000] {
                let printed = rendered(&at(text, offset, length.min(1 << 40)));
                assert!(
                    printed.contains("wrong") && !printed.contains('\u{0}'),
                    "{printed}"
                );
            }
        }
        assert!(rendered(&at("", 0, 0)).contains("wrong"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_place_of_many_lines_shows_the_first_ones() {
        let text = "line\n".repeat(10_000);
        let printed = rendered(&at(&text, 5, 40_000));
        assert!(printed.len() < 1_000, "{printed}");
        assert!(printed.contains("a.json:2:1"), "{printed}");
    }

    #[test]
    fn messages_are_bounded_and_harmless() {
        let fault = Fault::new("parse", "\u{1b}[2J".repeat(10_000)).help("y".repeat(10_000));
        let json = fault.to_json().to_string();
        assert!(json.len() < 3_000 && !json.contains("u001b"), "{json}");
    }

    #[test]
    fn faults_are_sorted_by_file_and_place() {
        let mut faults = Faults::new();
        for (name, offset) in [("b", 1), ("a", 7), ("a", 2)] {
            faults.push(Fault::new("parse", "wrong").at(Location {
                source: source(name, "0123456789"),
                offset,
                length: 1,
                label: None,
            }));
        }
        let sorted = faults.or(()).unwrap_err();
        let lines: Vec<_> = sorted.iter().map(Fault::one_line).collect();
        assert_eq!(lines, ["a:1:3: wrong", "a:1:8: wrong", "b:1:2: wrong"]);
    }

    #[test]
    fn places_in_another_file_are_named_in_the_help() {
        let place = |name: &str| Location {
            source: source(name, "permit;"),
            offset: 0,
            length: 6,
            label: Some("first defined here".to_owned()),
        };
        let fault = Fault::new("duplicate_id", "policy id `x` is used twice")
            .at(place("b.cedar"))
            .at(place("a.cedar"));
        let help = Diagnostic::help(&fault).unwrap().to_string();
        assert_eq!(help, "first defined here: a.cedar:1:1");
        assert_eq!(fault.labels().unwrap().count(), 1);
        assert_eq!(fault.to_json()["related"][0]["file"], "a.cedar");
    }
}
