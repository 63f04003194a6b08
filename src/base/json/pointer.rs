//! Pointers into JSON that stand for several places.

use serde_json::Value;

/// A JSON pointer (RFC 6901) in which a `*` stands for any member or element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Any,
    Name(String),
}

impl Pointer {
    /// From its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or("expected `/` first")?;
        let mut steps = Vec::new();
        for part in rest.split('/') {
            let mut name = String::with_capacity(part.len());
            let mut rest = part.chars();
            while let Some(c) = rest.next() {
                match (c, if c == '~' { rest.next() } else { None }) {
                    ('~', Some('0')) => name.push('~'),
                    ('~', Some('1')) => name.push('/'),
                    ('~', _) => {
                        return Err("`~` is written `~0`, and `/` in a name `~1`".to_owned());
                    }
                    (c, _) => name.push(c),
                }
            }
            steps.push(if part == "*" {
                Step::Any
            } else {
                Step::Name(name)
            });
        }
        Ok(Self(steps))
    }

    /// How many steps it has.
    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The name of its first step, if that is one.
    pub(crate) fn first(&self) -> Option<&str> {
        match self.0.first()? {
            Step::Name(name) => Some(name),
            Step::Any => None,
        }
    }

    /// Hands out each value that it points to.
    pub(crate) fn visit(&self, value: &mut Value, found: &mut dyn FnMut(&mut Value)) {
        visit(value, &self.0, found);
    }
}

fn visit(value: &mut Value, steps: &[Step], found: &mut dyn FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else {
        return found(value);
    };
    match (step, value) {
        (Step::Any, Value::Array(items)) => {
            items.iter_mut().for_each(|item| visit(item, rest, found));
        }
        (Step::Any, Value::Object(object)) => {
            object
                .values_mut()
                .for_each(|item| visit(item, rest, found));
        }
        (Step::Name(name), Value::Object(object)) => {
            if let Some(item) = object.get_mut(name) {
                visit(item, rest, found);
            }
        }
        (Step::Name(name), Value::Array(items)) => {
            let item = name.parse::<usize>().ok();
            if let Some(item) = item.and_then(|at| items.get_mut(at)) {
                visit(item, rest, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        let escaped = Pointer::parse("/request/a~1b~0").unwrap();
        assert_eq!(escaped.0.last(), Some(&Step::Name("a/b~".to_owned())));
        assert_eq!((escaped.first(), escaped.depth()), (Some("request"), 2));
        assert!(Pointer::parse("/a~2").is_err() && Pointer::parse("a").is_err());
    }
}
