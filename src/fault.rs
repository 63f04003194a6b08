//! Faults of policies, schemas, entities and case files, as their authors see them.
//!
//! A [`Fault`] says what is wrong, where (file and span) and what to do. Loading never stops at the
//! first one: it gathers [`Faults`], which render through `miette` for people and through
//! [`Fault::to_json`] for programs.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};

/// A named text that faults point into; cloning shares the text.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    /// The file's name as the operator knows it.
    pub(crate) name: Arc<str>,
    /// The file's whole text.
    pub(crate) text: Arc<str>,
}

impl SourceText {
    /// Line and column (both from 1, the column in characters) of a byte offset.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

impl SourceCode for SourceText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let inner = self.text.as_ref().read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.to_string(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

/// A place in a source text, with what there is to say about it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
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
    places: Vec<Place>,
    help: Option<String>,
}

impl Fault {
    /// A fault with a stable `code` (such as `parse`) and a message in lower case.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            file: None,
            places: Vec::new(),
            help: None,
        }
    }

    /// The file that is at fault, where no span in it is known.
    pub(crate) fn in_file(mut self, file: impl Into<Arc<str>>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds a place; the first one is where the fault is.
    pub(crate) fn at(mut self, place: Place) -> Self {
        if self.file.is_none() {
            self.file = Some(Arc::clone(&place.source.name));
        }
        self.places.push(place);
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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
                fault.places.push(Place {
                    source: source.clone(),
                    offset,
                    length: label.len().min(source.text.len() - offset),
                    label: label.label().map(str::to_owned),
                });
            }
        }
        fault.help = diagnostic.help().map(|help| help.to_string());
        fault
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
        match (self.file(), self.position()) {
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
            object.insert("file".to_owned(), file.into());
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
            object.insert("help".to_owned(), help.clone().into());
        }
        serde_json::Value::Object(object)
    }
}

fn place_json(place: &Place) -> serde_json::Value {
    let (line, column) = place.source.position(place.offset);
    let mut object = serde_json::Map::new();
    object.insert("file".to_owned(), place.source.name.as_ref().into());
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
            Some(file) if self.places.is_empty() => write!(f, "{file}: {}", self.message),
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
                format!("{label}: {}:{line}:{column}", place.source.name)
            })
            .chain(self.help.clone())
            .collect();
        if elsewhere.is_empty() {
            None
        } else {
            Some(Box::new(elsewhere.join("\n")))
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.places
            .first()
            .map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let first = self.places.first()?;
        Some(Box::new(
            self.places
                .iter()
                .filter(|place| place.source.name == first.source.name)
                .map(|place| {
                    LabeledSpan::new(
                        Some(place.label.clone().unwrap_or_else(|| "here".to_owned())),
                        place.offset,
                        place.length,
                    )
                }),
        ))
    }
}

impl Fault {
    /// The places that lie in another file than the first one; a snippet can show one file only.
    fn other_files(&self) -> impl Iterator<Item = &Place> {
        let first = self
            .places
            .first()
            .map(|place| Arc::clone(&place.source.name));
        self.places
            .iter()
            .filter(move |place| Some(&place.source.name) != first.as_ref())
    }
}

/// Every fault found; never empty when it is an error.
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
            Err(self)
        }
    }

    /// The faults, in the order in which they were found.
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

    /// The first fault on one line, and how many more there are.
    #[must_use]
    pub fn summary(&self) -> String {
        match (self.0.first(), self.0.len()) {
            (None, _) => "no fault".to_owned(),
            (Some(first), 1) => first.one_line(),
            (Some(first), n) => format!("{} (and {} more)", first.one_line(), n - 1),
        }
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
            .at(Place {
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

    #[test]
    fn places_in_another_file_are_named_in_the_help() {
        let place = |name: &str| Place {
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
