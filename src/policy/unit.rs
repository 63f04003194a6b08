//! The policies of one source: read once, and shared by every snapshot whose source says the same.
//!
//! A unit keeps what decisions and messages need (ids, effects, annotations, places) and nothing that
//! can be read from the text again.

use std::sync::Arc;

use cedar_policy::{Effect, PolicyId, PolicySet};

use super::annotations::Meaning;
use crate::base::fault::{Fault, Location};
use crate::source::SourceFile;

/// Where policies come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(SourceFile),
    /// A set that was handed over parsed: which of them.
    Set(usize, Arc<PolicySet>),
}

impl Source {
    /// Whether both hold the same policies under the same names.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => {
                a.form == b.form
                    && a.relative == b.relative
                    && a.source.name == b.source.name
                    && (Arc::ptr_eq(&a.source.text, &b.source.text)
                        || a.source.text == b.source.text)
            }
            (Self::Set(a, one), Self::Set(b, other)) => a == b && Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Bytes of a source's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

impl Span {
    pub(crate) fn new(start: usize, length: usize) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: number(start),
            length: number(length),
        }
    }
}

/// A static policy or a template.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: PolicyId,
    pub(crate) effect: Effect,
    /// Whether it has a slot for principal and for resource.
    pub(crate) slots: (bool, bool),
    pub(crate) span: Span,
    /// Whether its id is derived from its text.
    pub(crate) is_unnamed: bool,
    meaning: Option<Box<Meaning>>,
    annotations: Annotations,
}

/// What is annotated to a policy apart from `@id`: names and values, in the order of names.
pub(crate) type Annotations = Box<[(Box<str>, Box<str>)]>;

/// What most policies mean beyond their effect.
static NO_MEANING: Meaning = Meaning {
    obligations: Vec::new(),
    advice: Vec::new(),
    on_error: None,
    requires_trust: None,
    requires_level: None,
};

impl Entry {
    pub(crate) fn new(
        id: PolicyId,
        effect: Effect,
        slots: (bool, bool),
        span: Span,
        meaning: Meaning,
        annotations: Annotations,
    ) -> Self {
        Self {
            id,
            effect,
            slots,
            span,
            is_unnamed: false,
            meaning: (meaning != NO_MEANING).then(|| Box::new(meaning)),
            annotations,
        }
    }

    /// Its annotations apart from `@id`, by name.
    pub(crate) fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    pub(crate) fn meaning(&self) -> &Meaning {
        self.meaning.as_deref().unwrap_or(&NO_MEANING)
    }
}

/// A template link; effect and annotations are its template's.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: PolicyId,
    /// Position in [`Unit::linked`].
    pub(crate) template: u32,
    pub(crate) span: Span,
}

/// The policies of one source.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) source: Source,
    pub(crate) statics: Vec<Entry>,
    pub(crate) templates: Vec<Entry>,
    pub(crate) links: Vec<Link>,
    /// The ids of the templates that `links` name.
    pub(crate) linked: Vec<PolicyId>,
    /// What validation found worth a look.
    pub(crate) warnings: Vec<Fault>,
}

impl Unit {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            statics: Vec::new(),
            templates: Vec::new(),
            links: Vec::new(),
            linked: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds the policies of a part of the same source.
    pub(crate) fn take(&mut self, part: Self) {
        let first = self.linked.len();
        self.statics.extend(part.statics);
        self.templates.extend(part.templates);
        self.linked.extend(part.linked);
        self.links.extend(part.links.into_iter().map(|link| Link {
            template: u32::try_from(first + link.template as usize).unwrap_or(u32::MAX),
            ..link
        }));
        self.warnings.extend(part.warnings);
    }

    /// Adds a link.
    pub(crate) fn link(&mut self, id: PolicyId, template: &PolicyId, span: Span) {
        // The links of a template mostly follow each other.
        let known = self.linked.iter().rposition(|known| known == template);
        let at = known.unwrap_or_else(|| {
            self.linked.push(template.clone());
            self.linked.len() - 1
        });
        self.links.push(Link {
            id,
            template: u32::try_from(at).unwrap_or(u32::MAX),
            span,
        });
    }

    /// Gives spare room back.
    pub(crate) fn shrink(&mut self) {
        self.statics.shrink_to_fit();
        self.templates.shrink_to_fit();
        self.links.shrink_to_fit();
        self.linked.shrink_to_fit();
    }

    /// Where something of it stands, if it came from a file.
    pub(crate) fn place(&self, span: Span) -> Option<Location> {
        match &self.source {
            Source::File(file) if span.length > 0 => Some(Location {
                source: file.source.clone(),
                offset: span.start as usize,
                length: span.length as usize,
                label: None,
            }),
            _ => None,
        }
    }

    /// The text of a policy or link.
    pub(crate) fn text(&self, span: Span) -> Option<&str> {
        let Source::File(file) = &self.source else {
            return None;
        };
        let start = span.start as usize;
        file.source.text.get(start..start + span.length as usize)
    }
}
