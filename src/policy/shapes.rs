//! Policies that differ only in their `@id` and in the ids of the entities that their scope names.
//!
//! Programs write policies by the million, and those are of few shapes. The first policy of a shape is read and
//! validated by Cedar; what it became serves the others, with their own id and their own entities. A text is only
//! taken apart where that cannot change what Cedar would say of it:
//! - what is blanked are the contents of string literals without escapes, in ASCII, so the tokens stay the same;
//! - the entities are of types whose ids the schema does not list, and are no actions, so validation cannot depend
//!   on their ids;
//! - a policy of which Cedar or the annotations say anything, be it a warning, lends nothing to others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use cedar_policy::{Effect, PolicyId};

use super::unit::{Annotations, Entry, Span};
use crate::base::lock::lock;
use crate::engine::Body;
use crate::policy::Meaning;
use crate::schema::Model;

/// Shapes that are kept; policies of further ones are read one by one.
const MOST: usize = 65_536;
/// Longer statements are read one by one.
const LONGEST: usize = 16 << 10;
/// One of so many policies of a shape is read by Cedar all the same, and compared.
const CHECKED: u32 = 1_000;

/// A statement taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head<'t> {
    /// The text without what is blanked.
    pub(super) key: String,
    pub(super) id: &'t str,
    pub(super) principal: Option<&'t str>,
    pub(super) resource: Option<&'t str>,
}

/// What policies of a shape have in common.
#[derive(Debug)]
pub(super) struct Shape {
    effect: Effect,
    meaning: Meaning,
    annotations: Annotations,
    body: Body,
    used: AtomicU32,
}

/// What is known of a shape.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// No policy of it was read yet.
    New,
    /// Policies of it are read one by one.
    Alone,
    Shared(Arc<Shape>),
}

/// The shapes that were met while sources are read; shared by the reading threads.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    model: Option<&'a Model>,
    known: Mutex<HashMap<String, Option<Arc<Shape>>>>,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(model: Option<&'a Model>) -> Self {
        Self {
            model,
            known: Mutex::default(),
        }
    }

    /// Takes a statement apart; `None` for one that is read alone.
    pub(super) fn head<'t>(&self, statement: &'t str) -> Option<Head<'t>> {
        if statement.len() > LONGEST {
            return None;
        }
        let head = Scanner::new(statement).head(|ty| self.is_open(ty))?;
        Some(head)
    }

    /// Whether entities of this type may have any id.
    fn is_open(&self, ty: &str) -> bool {
        let is_action = ty.rsplit("::").next() == Some("Action");
        let entity = self.model.and_then(|model| model.entity(ty));
        !is_action && entity.is_none_or(|entity| entity.ids.is_none())
    }

    /// What is known of a shape.
    pub(super) fn find(&self, key: &str) -> Known {
        match lock(&self.known).get(key) {
            None => Known::New,
            Some(None) => Known::Alone,
            Some(Some(shape)) => Known::Shared(Arc::clone(shape)),
        }
    }

    /// Keeps what the first policy of a shape became; `None` where it lends nothing.
    pub(super) fn keep(&self, key: String, shape: Option<Shape>) {
        let mut known = lock(&self.known);
        if known.len() < MOST {
            known.entry(key).or_insert_with(|| shape.map(Arc::new));
        }
    }
}

impl Shape {
    /// The shape of a policy that was read.
    pub(super) fn of(entry: &Entry, body: &Body) -> Self {
        Self {
            effect: entry.effect,
            meaning: entry.meaning().clone(),
            annotations: entry.annotations().clone(),
            body: body.clone(),
            used: AtomicU32::new(0),
        }
    }

    /// Whether this use of the shape is one that is checked.
    pub(super) fn is_checked(&self) -> bool {
        self.used.fetch_add(1, Ordering::Relaxed) % CHECKED == CHECKED - 1
    }

    /// The policy of this shape with the parts of `head`.
    pub(super) fn policy(&self, head: &Head<'_>, span: Span) -> (Entry, Body) {
        let entry = Entry::new(
            PolicyId::new(head.id),
            self.effect,
            (false, false),
            span,
            self.meaning.clone(),
            self.annotations.clone(),
        );
        let body = self.body.with(head.id, head.principal, head.resource);
        (entry, body)
    }

    /// Whether a policy that was read by itself is what this shape would have made of it.
    pub(super) fn agrees(&self, head: &Head<'_>, entry: &Entry, body: &Body) -> bool {
        let (made, with) = self.policy(head, entry.span);
        made.id == entry.id
            && made.effect == entry.effect
            && made.meaning() == entry.meaning()
            && made.annotations() == entry.annotations()
            && with.says_the_same(body)
    }
}

/// Goes through a statement as far as its scope.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Where what is not in `key` yet begins.
    from: usize,
    key: String,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            from: 0,
            key: String::with_capacity(text.len()),
        }
    }

    fn head(mut self, is_open: impl Fn(&str) -> bool) -> Option<Head<'t>> {
        let mut id = None;
        while self.next()? == b'@' {
            self.at += 1;
            let name = self.word();
            self.expect(b'(')?;
            if name != "id" {
                self.string()?;
            } else if id.replace(self.blank()?).is_some() {
                return None;
            }
            self.expect(b')')?;
        }
        let id = id.filter(|id| !id.is_empty())?;
        if !matches!(self.word(), "permit" | "forbid") {
            return None;
        }
        self.expect(b'(')?;
        let principal = self.entity("principal", b',', &is_open)?;
        self.actions()?;
        let resource = self.entity("resource", b')', &is_open)?;
        self.key.push_str(self.text.get(self.from..)?);
        Some(Head {
            key: self.key,
            id,
            principal,
            resource,
        })
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !byte.is_ascii_whitespace() {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.next()?;
        self.at += 1;
        (found == byte).then_some(())
    }

    fn word(&mut self) -> &'t str {
        let _ = self.next();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A string without escapes: where its content stands.
    fn string(&mut self) -> Option<(usize, usize)> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..)?;
        let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        self.at = start + len + 1;
        (rest.get(len) == Some(&b'"')).then_some((start, start + len))
    }

    /// A string whose content is left out of the key.
    fn blank(&mut self) -> Option<&'t str> {
        let (start, end) = self.string()?;
        let content = self.text.get(start..end)?;
        if !content.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return None;
        }
        self.key.push_str(self.text.get(self.from..start)?);
        self.from = end;
        Some(content)
    }

    /// The part of the scope about `variable`, up to `end`: the id of the entity that it names, if it names one.
    fn entity(
        &mut self,
        variable: &str,
        end: u8,
        is_open: &impl Fn(&str) -> bool,
    ) -> Option<Option<&'t str>> {
        if self.word() != variable {
            return None;
        }
        let mut id = None;
        loop {
            match self.next()? {
                byte if byte == end => break,
                b'"' => {
                    let before = self.text.get(..self.at)?.strip_suffix("::")?;
                    let is_part = |c: char| c == '_' || c == ':' || c.is_ascii_alphanumeric();
                    let ty = before.rsplit(|c| !is_part(c)).next()?;
                    if ty.is_empty() || !is_open(ty) || id.replace(self.blank()?).is_some() {
                        return None;
                    }
                }
                b'_' | b':' | b'=' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => self.at += 1,
                // Slots, comments, and whatever else is rare.
                _ => return None,
            }
        }
        self.at += 1;
        Some(id)
    }

    /// The part of the scope about the action, and the comma behind it.
    fn actions(&mut self) -> Option<()> {
        if self.word() != "action" {
            return None;
        }
        let mut depth = 0_u32;
        loop {
            match self.next()? {
                b',' if depth == 0 => break,
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' => depth += 1,
                b']' => depth = depth.checked_sub(1)?,
                b',' | b'_' | b':' | b'=' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
                _ => return None,
            }
            self.at += 1;
        }
        self.at += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Option<Head<'_>> {
        Shapes::new(None).head(text)
    }

    #[test]
    fn ids_and_entities_of_the_scope_are_blanked_and_nothing_else() {
        let text = "@id(\"a b\")\n@advice(\"x\") permit(principal in Role::\"r1\", action in [Action::\"view\", \
                    Action::\"edit\"], resource is A::Doc in A::Folder::\"f\") when { principal.x == \"y\" };";
        let found = head(text).unwrap();
        assert_eq!(
            found,
            Head {
                key: text
                    .replace("a b", "")
                    .replace("r1", "")
                    .replace("\"f\"", "\"\""),
                id: "a b",
                principal: Some("r1"),
                resource: Some("f"),
            }
        );
        let any = head("@id(\"x\")permit(principal,action,resource);").unwrap();
        assert_eq!((any.id, any.principal, any.resource), ("x", None, None));
    }

    #[test]
    fn what_is_rare_is_read_alone() {
        for text in [
            "permit(principal, action, resource);",
            "@id(\"\") permit(principal, action, resource);",
            "@id(\"a\") @id(\"b\") permit(principal, action, resource);",
            "@id(\"a\\n\") permit(principal, action, resource);",
            "@id(\"é\") permit(principal, action, resource);",
            "@id permit(principal, action, resource);",
            "@id(\"a\") allow(principal, action, resource);",
            "@id(\"a\") permit(principal == ?principal, action, resource);",
            "@id(\"a\") permit(principal == User::\"a\\\"\", action, resource);",
            "@id(\"a\") permit(principal == Action::\"a\", action, resource);",
            "@id(\"a\") permit(principal == User::\"a\" == User::\"b\", action, resource);",
            "@id(\"a\") permit(principal /* x */, action, resource);",
            "@id(\"a\") permit(principal // x\n, action, resource);",
            "@id(\"a\") permit(principal, action in [Action::\"a\", resource);",
            "@id(\"a\") permit(principal, action, resource,);",
            "@id(\"a\") permit(action, principal, resource);",
            "@id(\"a\") permit(principal == \"a\", action, resource);",
            "@id(\"a\") permit(principal",
            "@id(\"a",
        ] {
            assert_eq!(head(text), None, "{text}");
        }
    }
}
