//! Units back to Cedar's policy set: for the reference, and for callers that ask for Cedar's form.

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, SlotId, Template};

use super::json::read_set;
use super::links::{read_one, template_of};
use super::table::{Table, Which};
use super::unit::{Source, Unit};
use crate::source::Form;

/// The policies of all units under their ids. The units were read from the same sources before, so
/// nothing here can be at fault; what Cedar should refuse all the same is left out.
pub(crate) fn policy_set(table: &Table) -> PolicySet {
    let mut all = PolicySet::new();
    for unit in &table.units {
        match &unit.source {
            Source::Set(_, set) => templates(set, &mut all),
            Source::File(file) => match file.form {
                Form::Cedar => text(unit, &file.source.text, &mut all),
                Form::PolicySetJson => {
                    if let Ok(set) = read_set(file) {
                        templates(&set, &mut all);
                    }
                }
                _ => {}
            },
        }
    }
    for unit in &table.units {
        match &unit.source {
            Source::Set(_, set) => policies(set, &mut all),
            Source::File(file) => match file.form {
                Form::PolicySetJson => {
                    if let Ok(set) = read_set(file) {
                        policies(&set, &mut all);
                    }
                }
                Form::Links => links(unit, &mut all),
                _ => {}
            },
        }
    }
    all
}

/// The policy at a place of the table, alone in a set; a link with its template.
pub(crate) fn alone(table: &Table, place: usize) -> Option<PolicySet> {
    let (unit, which, template) = table.at(place)?;
    let unit = table.units.get(unit)?;
    let mut alone = PolicySet::new();
    let mut whole = |set: &PolicySet, id: &PolicyId| -> Option<()> {
        let policy = set.policy(id)?;
        match (policy.template_id(), policy.template_links()) {
            (Some(template), Some(values)) => {
                alone.add_template(set.template(template)?.clone()).ok()?;
                alone.link(template.clone(), id.clone(), values).ok()
            }
            _ => alone.add(policy.clone()).ok(),
        }
    };
    let id = table.policy(place)?.id;
    match (&unit.source, which) {
        (Source::Set(_, set), _) => whole(set, id)?,
        (Source::File(file), _) if file.form == Form::PolicySetJson => {
            whole(&read_set(file).ok()?, id)?;
        }
        (Source::File(_), Which::Static(at)) => {
            let text = unit.text(unit.statics.get(at)?.span)?;
            alone
                .add(Policy::parse(Some(id.clone()), text).ok()?)
                .ok()?;
        }
        (Source::File(_), Which::Link(at)) => {
            let span = unit.links.get(at)?.span;
            let read = read_one(unit.text(span)?, span).ok()?;
            let (home, entry) = table.template(template?)?;
            let template = template_of(home, &entry.id, entry.span)?;
            alone.add_template(template).ok()?;
            alone
                .link(entry.id.clone(), id.clone(), read.values.map())
                .ok()?;
        }
    }
    Some(alone)
}

fn text(unit: &Unit, text: &str, all: &mut PolicySet) {
    let Ok(set) = PolicySet::from_str(text) else {
        return;
    };
    // Cedar counts policies and templates of a text together.
    let number = |id: &PolicyId| {
        let id: &str = id.as_ref();
        id.strip_prefix("policy")?.parse::<usize>().ok()
    };
    let mut templates: Vec<&Template> = set.templates().collect();
    templates.sort_by_key(|template| number(template.id()));
    for (template, entry) in templates.into_iter().zip(&unit.templates) {
        let _ = all.add_template(template.new_id(entry.id.clone()));
    }
    let mut policies: Vec<&Policy> = set.policies().collect();
    policies.sort_by_key(|policy| number(policy.id()));
    for (policy, entry) in policies.into_iter().zip(&unit.statics) {
        let _ = all.add(policy.new_id(entry.id.clone()));
    }
}

fn templates(set: &PolicySet, all: &mut PolicySet) {
    for template in set.templates() {
        let _ = all.add_template(template.clone());
    }
}

fn policies(set: &PolicySet, all: &mut PolicySet) {
    for policy in set.policies() {
        match (policy.template_id(), policy.template_links()) {
            (Some(template), Some(values)) => link(template, policy.id(), values, all),
            _ => {
                let _ = all.add(policy.clone());
            }
        }
    }
}

fn links(unit: &Unit, all: &mut PolicySet) {
    for known in &unit.links {
        let text = unit.text(known.span).unwrap_or_default();
        if let Ok(read) = read_one(text, known.span) {
            link(&read.template, &read.id, read.values.map(), all);
        }
    }
}

fn link(
    template: &PolicyId,
    id: &PolicyId,
    values: HashMap<SlotId, EntityUid>,
    all: &mut PolicySet,
) {
    let _ = all.link(template.clone(), id.clone(), values);
}
