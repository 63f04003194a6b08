//! The part of a source text that a fault shows: a few lines around its place, each of bounded width,
//! without characters that a terminal would obey.
//!
//! A file may hold all of its entities in one line, or escape sequences in its strings. Whoever prints a
//! fault sees this excerpt and never the text itself.

use std::sync::Arc;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Location;

/// Characters of a line before and after the place that are shown.
const BEFORE: usize = 40;
const AFTER: usize = 60;
/// Lines of a place that spans many.
const LINES: usize = 4;
/// Places beside the first that are shown in the same excerpt.
const PLACES: usize = 4;

/// An excerpt of a text.
#[derive(Debug, Clone)]
pub(super) struct Snippet {
    name: Arc<str>,
    text: String,
    /// The number of the first line of the excerpt, from 0.
    first_line: usize,
    /// Where the fault begins in the whole text, from 0.
    column: usize,
    /// Offset, length and text of each label in the excerpt.
    labels: Vec<(usize, usize, String)>,
}

/// A place within the bounds of its text.
struct Spot<'a> {
    begin: usize,
    end: usize,
    label: &'a str,
}

impl<'a> Spot<'a> {
    fn of(place: &'a Location, text: &str) -> Self {
        let begin = floor(text, place.offset);
        Self {
            begin,
            end: floor(text, begin.saturating_add(place.length)),
            label: place.label.as_deref().unwrap_or("here"),
        }
    }
}

impl Snippet {
    /// The excerpt around the first place; others of the same file are shown where they are within it.
    pub(super) fn of(places: &[Location]) -> Option<Self> {
        let first = places.first()?;
        let text: &str = &first.source.text;
        let at = floor(text, first.offset);
        let (line, column) = first.source.position(at);
        let mut snippet = Self {
            name: Arc::clone(&first.source.name),
            text: String::new(),
            first_line: line - 1,
            column: column - 1,
            labels: Vec::new(),
        };
        let mut start = line_start(text, at);
        if start > 0 {
            start = line_start(text, start - 1);
            snippet.first_line -= 1;
        }
        let shown: Vec<Spot<'_>> = places
            .iter()
            .filter(|place| place.source.name == first.source.name)
            .take(PLACES)
            .map(|place| Spot::of(place, text))
            .collect();
        let last = shown.first().map_or(at, |spot| spot.end);
        let mut below = 0;
        for number in 0.. {
            if number > 0 {
                snippet.text.push('\n');
            }
            let end = text.get(start..).and_then(|rest| rest.find('\n'));
            let end = end.map_or(text.len(), |length| start + length);
            snippet.line(text.get(start..end).unwrap_or_default(), start, &shown);
            // One line after the last one of the place.
            below += usize::from(end >= last);
            if below > 1 || number > LINES || end >= text.len() {
                break;
            }
            start = end + 1;
        }
        Some(snippet)
    }

    /// Adds a line that begins at an offset of the text, cut to what is around the places in it.
    fn line(&mut self, line: &str, start: usize, spots: &[Spot<'_>]) {
        let inside = |spot: &&Spot<'_>| (start..=start + line.len()).contains(&spot.begin);
        let around = spots.iter().filter(inside).map(|spot| spot.begin - start);
        let around = around.min().unwrap_or(0);
        let (before, after) = line.split_at(floor(line, around));
        let from = before.char_indices().rev().take(BEFORE).last();
        let from = from.map_or(before.len(), |(at, _)| at);
        let to = after.char_indices().nth(AFTER);
        let to = to.map_or(line.len(), |(at, _)| before.len() + at);
        if from > 0 {
            self.text.push('…');
        }
        // Where each character of the window stands in the excerpt, and its end.
        let mut stands = Vec::new();
        for (at, character) in line.get(from..to).unwrap_or_default().char_indices() {
            stands.push((start + from + at, self.text.len()));
            self.text.push(harmless(character));
        }
        let end = self.text.len();
        if to < line.len() {
            self.text.push('…');
        }
        let stands_at = |offset: usize| {
            let found = stands.iter().find(|(at, _)| *at >= offset);
            found.map_or(end, |(_, here)| *here)
        };
        for spot in spots.iter().filter(inside) {
            let begin = stands_at(spot.begin);
            let length = stands_at(spot.end).saturating_sub(begin);
            self.labels.push((begin, length, spot.label.to_owned()));
        }
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = LabeledSpan> {
        let labels = self.labels.iter();
        labels
            .map(|(offset, length, label)| LabeledSpan::new(Some(label.clone()), *offset, *length))
    }
}

impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        // Without context it is the place in the heading that is asked for.
        let column = if before == 0 && after == 0 {
            self.column
        } else {
            inner.column()
        };
        Ok(Box::new(MietteSpanContents::new_named(
            super::shown_name(&self.name),
            inner.data(),
            *inner.span(),
            self.first_line + inner.line(),
            column,
            inner.line_count(),
        )))
    }
}

/// The nearest boundary of a character at or before an offset.
pub(super) fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

/// The character, or what stands in for one that a terminal would obey or that turns the direction of text.
pub(super) fn harmless(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{61c}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{e0000}'..='\u{e007f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => char::REPLACEMENT_CHARACTER,
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}
