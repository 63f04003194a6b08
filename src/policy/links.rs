//! Links files: which template, which entities in its slots, under which id.

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy::{EntityUid, PolicyId, PolicySet, SlotId, Template};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::read_set;
use super::table::Table;
use super::unit::{Source, Span, Unit};
use crate::base::fault::{Fault, Location};
use crate::engine::Compiler;
use crate::entities::Uid;
use crate::source::SourceFile;
use crate::source::json::{json_fault, offset_in};

const HELP: &str = "a links file is [{\"template_id\", \"link_id\", \"args\": \
                    {\"?principal\": \"User::\\\"x\\\"\"}}]";

/// The code of a fault about a link whose template is not there.
pub(crate) const NO_TEMPLATE: &str = "no_template";

/// What fills the slots of a template.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    principal: Option<EntityUid>,
    resource: Option<EntityUid>,
}

impl Values {
    pub(crate) fn of(values: &HashMap<SlotId, EntityUid>) -> Self {
        Self {
            principal: values.get(&SlotId::principal()).cloned(),
            resource: values.get(&SlotId::resource()).cloned(),
        }
    }

    fn slots(&self) -> (bool, bool) {
        (self.principal.is_some(), self.resource.is_some())
    }

    pub(crate) fn map(&self) -> HashMap<SlotId, EntityUid> {
        let principal = self.principal.iter().map(|uid| (SlotId::principal(), uid));
        let resource = self.resource.iter().map(|uid| (SlotId::resource(), uid));
        principal
            .chain(resource)
            .map(|(slot, uid)| (slot, uid.clone()))
            .collect()
    }

    /// Their numbers in the store; none for a slot that is not filled.
    pub(crate) fn numbers(&self, compiler: &mut Compiler<'_>) -> (Uid, Uid) {
        let mut number = |uid: &Option<EntityUid>| {
            uid.as_ref().map_or(Uid::NONE, |uid| {
                compiler.entity(&uid.type_name().to_string(), uid.id().unescaped())
            })
        };
        (number(&self.principal), number(&self.resource))
    }
}

/// A link that was read.
#[derive(Debug)]
pub(crate) struct ReadLink {
    pub(crate) id: PolicyId,
    pub(crate) template: PolicyId,
    pub(crate) span: Span,
    pub(crate) values: Values,
}

/// Reads every link of a file.
pub(crate) fn read(file: &SourceFile, mut take: impl FnMut(Result<ReadLink, Fault>)) {
    let text = &file.source.text;
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => return take(Err(json_fault("parse", &error, file).help(HELP))),
    };
    for item in items {
        let offset = offset_in(text, item.get());
        let read = read_one(item.get(), Span::new(offset, item.get().len()));
        take(read.map_err(|message| {
            let place = Location {
                source: file.source.clone(),
                offset,
                length: item.get().len(),
                label: None,
            };
            Fault::new("link", message).at(place).help(HELP)
        }));
    }
}

/// Reads a link from its text.
pub(crate) fn read_one(text: &str, span: Span) -> Result<ReadLink, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        template_id: String,
        link_id: String,
        args: Args,
    }
    /// As members of a struct, a slot given twice is refused.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Args {
        #[serde(rename = "?principal")]
        principal: Option<String>,
        #[serde(rename = "?resource")]
        resource: Option<String>,
    }
    let wire: Wire = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let uid = |text: Option<String>| {
        let text = text.as_deref();
        text.map(|text| {
            EntityUid::from_str(text)
                .map_err(|_| format!("`{text}` is not an entity such as `User::\"alice\"`"))
        })
        .transpose()
    };
    Ok(ReadLink {
        id: PolicyId::new(wire.link_id),
        template: PolicyId::new(wire.template_id),
        span,
        values: Values {
            principal: uid(wire.args.principal)?,
            resource: uid(wire.args.resource)?,
        },
    })
}

/// Cedar's form of a template of a unit.
pub(crate) fn template_of(unit: &Unit, id: &PolicyId, span: Span) -> Option<Template> {
    match &unit.source {
        Source::Set(_, set) => set.template(id).cloned(),
        Source::File(file) if file.form == crate::source::Form::Cedar => {
            Template::parse(Some(id.clone()), unit.text(span)?).ok()
        }
        Source::File(file) => {
            let set = read_set(file).ok()?;
            set.template(id).cloned()
        }
    }
}

/// The templates that links may name.
pub(crate) struct Templates<'a> {
    table: &'a Table,
    parsed: HashMap<PolicyId, Option<Template>>,
}

impl<'a> Templates<'a> {
    pub(crate) fn new(table: &'a Table) -> Self {
        Self {
            table,
            parsed: HashMap::new(),
        }
    }

    fn parsed(&mut self, id: &PolicyId) -> Option<&Template> {
        if !self.parsed.contains_key(id) {
            let found = self.table.find_template(id);
            let found = found.and_then(|at| self.table.template(at));
            let template = found.and_then(|(unit, entry)| template_of(unit, id, entry.span));
            self.parsed.insert(id.clone(), template);
        }
        self.parsed.get(id)?.as_ref()
    }

    /// Whether the template is there and its slots are those that the link fills.
    pub(crate) fn fits(&mut self, link: &ReadLink) -> Result<(), Fault> {
        let id = &link.template;
        let found = self.table.find_template(id);
        let Some((_, entry)) = found.and_then(|at| self.table.template(at)) else {
            let known = self.table.template_ids();
            let near = crate::base::nearest::nearest(id.as_ref(), known.map(AsRef::as_ref));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a link names the id of a template of the same policies".to_owned(),
            };
            return Err(Fault::new(NO_TEMPLATE, format!("there is no template `{id}`")).help(help));
        };
        if entry.slots == link.values.slots() {
            return Ok(());
        }
        // Cedar says it best.
        let mut set = PolicySet::new();
        let refused = self.link(&mut set, link);
        Err(match refused {
            Some(fault) => fault,
            None => Fault::new("policy_set", "the slots of the template differ"),
        })
    }

    /// Links in a set of Cedar's; the fault if Cedar refuses.
    pub(crate) fn link(&mut self, set: &mut PolicySet, link: &ReadLink) -> Option<Fault> {
        let template = self.parsed(&link.template)?;
        if set.template(&link.template).is_none() {
            set.add_template(template.clone()).ok()?;
        }
        let values = link.values.map();
        let linked = set.link(link.template.clone(), link.id.clone(), values);
        let error = linked.err()?;
        Some(Fault::from_cedar("policy_set", &error, None))
    }
}
