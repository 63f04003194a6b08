//! All policies of a snapshot by id: which unit each stands in.

use cedar_policy::{Effect, PolicyId};
use std::sync::Arc;

use super::annotations::Meaning;
use super::unit::{Annotations, Entry, Link, Span, Unit};
use crate::base::fault::{Fault, Faults};
use crate::trust::model::Score;

/// Where a policy or template stands: the number of its unit, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) unit: u32,
    pub(crate) entry: u32,
}

const LINK: u32 = 1 << 31;

impl At {
    fn new(unit: usize, entry: usize) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            unit: number(unit),
            entry: number(entry),
        }
    }
}

/// Which of its unit's policies a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Static(usize),
    Link(usize),
}

/// A policy that can determine a decision: static or linked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyInfo<'a> {
    pub(crate) id: &'a PolicyId,
    pub(crate) effect: Effect,
    pub(crate) meaning: &'a Meaning,
    pub(crate) annotations: &'a Annotations,
}

/// The policies of all units.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) units: Vec<Arc<Unit>>,
    /// Static policies and links by id.
    policies: Vec<At>,
    /// Templates by id.
    templates: Vec<At>,
    /// For each unit, where the templates are that its links name.
    linked: Vec<Box<[Option<At>]>>,
    /// One bit for each policy in the order of ids: whether its annotations mean anything.
    meaningful: Vec<u64>,
}

impl Table {
    /// Gathers the units; an id that is used twice is a fault that names both places.
    pub(crate) fn new(units: Vec<Arc<Unit>>) -> Result<Self, Faults> {
        let table = Self::gather(units);
        table.duplicates().or(table)
    }

    /// Gathers the units, whatever their ids.
    pub(crate) fn gather(units: Vec<Arc<Unit>>) -> Self {
        let mut table = Self {
            units,
            ..Self::default()
        };
        for (n, unit) in table.units.iter().enumerate() {
            let statics = (0..unit.statics.len()).map(|entry| At::new(n, entry));
            table.policies.extend(statics);
            let links = (0..unit.links.len()).map(|link| {
                let at = At::new(n, link);
                At {
                    entry: at.entry | LINK,
                    ..at
                }
            });
            table.policies.extend(links);
            let templates = (0..unit.templates.len()).map(|entry| At::new(n, entry));
            table.templates.extend(templates);
        }
        let mut policies = std::mem::take(&mut table.policies);
        policies.sort_by(|a, b| table.id(*a).cmp(&table.id(*b)));
        policies.shrink_to_fit();
        table.policies = policies;
        let mut templates = std::mem::take(&mut table.templates);
        templates.sort_by(|a, b| table.template_id(*a).cmp(&table.template_id(*b)));
        table.templates = templates;
        let linked = table.units.iter().map(|unit| {
            let templates = unit.linked.iter();
            templates.map(|id| table.find_template(id)).collect()
        });
        let linked: Vec<_> = linked.collect();
        table.linked = linked;
        let mut meaningful = vec![0_u64; table.policies.len().div_ceil(64)];
        for (place, word) in (0..).step_by(64).zip(&mut meaningful) {
            for bit in 0..64 {
                let policy = table.policy(place + bit);
                let means = policy.is_some_and(|policy| !policy.meaning.is_empty());
                *word |= u64::from(means) << bit;
            }
        }
        table.meaningful = meaningful;
        table
    }

    /// Whether the annotations of the policy at a place mean anything.
    #[inline]
    pub(crate) fn is_meaningful(&self, place: usize) -> bool {
        let word = self.meaningful.get(place / 64);
        word.is_none_or(|word| word >> (place % 64) & 1 == 1)
    }

    fn duplicates(&self) -> Faults {
        let mut faults = Faults::new();
        let mut twice = |id: Option<&PolicyId>, places: [Option<(&Unit, Span)>; 2]| {
            let Some(id) = id else { return };
            let mut fault = Fault::new("duplicate_id", format!("policy id `{id}` is used twice"))
                .help("give one of them another `@id(\"..\")`");
            let mut places: Vec<_> = places.into_iter().flatten().collect();
            // The units are in the order of reading.
            let order = |unit: &Unit| self.units.iter().position(|u| std::ptr::eq(&**u, unit));
            places.sort_by_key(|(unit, span)| std::cmp::Reverse((order(unit), span.start)));
            for ((unit, span), label) in places.into_iter().zip(["second use", "first use"]) {
                if let Some(mut place) = unit.place(span) {
                    place.label = Some(label.to_owned());
                    fault = fault.at(place);
                }
            }
            faults.push(fault);
        };
        for pair in self.policies.windows(2) {
            if let [a, b] = pair
                && self.id(*a) == self.id(*b)
            {
                twice(self.id(*a), [self.spot(*a), self.spot(*b)]);
            }
        }
        for pair in self.templates.windows(2) {
            if let [a, b] = pair
                && self.template_id(*a) == self.template_id(*b)
            {
                let spots = [self.template_spot(*a), self.template_spot(*b)];
                twice(self.template_id(*a), spots);
            }
        }
        for at in &self.templates {
            let Some(id) = self.template_id(*at) else {
                continue;
            };
            if let Some(policy) = self.position(id).and_then(|n| self.policies.get(n)) {
                twice(Some(id), [self.spot(*policy), self.template_spot(*at)]);
            }
        }
        faults
    }

    fn unit(&self, at: At) -> Option<&Unit> {
        self.units.get(at.unit as usize).map(|unit| &**unit)
    }

    fn link(&self, at: At) -> Option<&Link> {
        let links = &self.unit(at)?.links;
        links.get((at.entry & !LINK) as usize)
    }

    fn entry(&self, at: At) -> Option<&Entry> {
        self.unit(at)?.statics.get(at.entry as usize)
    }

    pub(crate) fn template(&self, at: At) -> Option<(&Unit, &Entry)> {
        let unit = self.unit(at)?;
        Some((unit, unit.templates.get(at.entry as usize)?))
    }

    fn id(&self, at: At) -> Option<&PolicyId> {
        if at.entry & LINK == 0 {
            self.entry(at).map(|entry| &entry.id)
        } else {
            self.link(at).map(|link| &link.id)
        }
    }

    fn spot(&self, at: At) -> Option<(&Unit, Span)> {
        let span = if at.entry & LINK == 0 {
            self.entry(at)?.span
        } else {
            self.link(at)?.span
        };
        Some((self.unit(at)?, span))
    }

    fn template_id(&self, at: At) -> Option<&PolicyId> {
        self.template(at).map(|(_, entry)| &entry.id)
    }

    fn template_spot(&self, at: At) -> Option<(&Unit, Span)> {
        self.template(at).map(|(unit, entry)| (unit, entry.span))
    }

    /// How many policies there are.
    pub(crate) fn len(&self) -> usize {
        self.policies.len()
    }

    /// How many of them forbid.
    pub(crate) fn forbids(&self) -> usize {
        let policies = (0..self.len()).filter_map(|place| self.policy(place));
        policies
            .filter(|policy| policy.effect == Effect::Forbid)
            .count()
    }

    /// Whether a permit requires anything of trust or authentication.
    pub(crate) fn requires_trust(&self) -> bool {
        let mut policies = (0..self.len()).filter_map(|place| self.policy(place));
        policies.any(|policy| policy.meaning.requires())
    }

    /// The permits that require more trust than the best possible request has.
    pub(crate) fn out_of_reach(&self, best: Score) -> Faults {
        let mut faults = Faults::new();
        for policy in (0..self.len()).filter_map(|place| self.policy(place)) {
            if let Some(required) = policy.meaning.requires_trust.filter(|score| *score > best) {
                let message = format!(
                    "policy `{}`: `@requires_trust` is {required}, and the best possible request reaches {best}",
                    policy.id
                );
                let fault = Fault::new("annotation", message);
                faults.push(fault.help("lower it, or change `[trust.model]`"));
            }
        }
        faults
    }

    /// How many ids are here and not in `other`, and how many there and not here.
    pub(crate) fn differences(&self, other: &Self) -> (usize, usize) {
        let (mut here, mut there) = (self.ids().peekable(), other.ids().peekable());
        let (mut gone, mut new) = (0, 0);
        loop {
            match (here.peek(), there.peek()) {
                (None, None) => return (gone, new),
                (Some(a), Some(b)) if a == b => {
                    here.next();
                    there.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    gone += 1;
                    here.next();
                }
                _ => {
                    new += 1;
                    there.next();
                }
            }
        }
    }

    fn ids(&self) -> impl Iterator<Item = &PolicyId> {
        self.policies.iter().filter_map(|at| self.id(*at))
    }

    /// The ids of the templates, in order.
    pub(crate) fn template_ids(&self) -> impl Iterator<Item = &PolicyId> {
        self.templates.iter().filter_map(|at| self.template_id(*at))
    }

    /// The template of this id.
    pub(crate) fn find_template(&self, id: &PolicyId) -> Option<At> {
        let found = self
            .templates
            .binary_search_by(|at| self.template_id(*at).cmp(&Some(id)))
            .ok()?;
        self.templates.get(found).copied()
    }

    /// The place of a policy in the order of ids.
    pub(crate) fn position(&self, id: &PolicyId) -> Option<usize> {
        self.policies
            .binary_search_by(|at| self.id(*at).cmp(&Some(id)))
            .ok()
    }

    /// The policy at a place in the order of ids.
    pub(crate) fn policy(&self, place: usize) -> Option<PolicyInfo<'_>> {
        let at = *self.policies.get(place)?;
        if at.entry & LINK == 0 {
            let entry = self.entry(at)?;
            return Some(PolicyInfo {
                id: &entry.id,
                effect: entry.effect,
                meaning: entry.meaning(),
                annotations: entry.annotations(),
            });
        }
        let link = self.link(at)?;
        let (_, template) = self.template(self.template_of(at.unit, link)?)?;
        Some(PolicyInfo {
            id: &link.id,
            effect: template.effect,
            meaning: template.meaning(),
            annotations: template.annotations(),
        })
    }

    /// Where the template of a link of a unit is.
    fn template_of(&self, unit: u32, link: &Link) -> Option<At> {
        *self
            .linked
            .get(unit as usize)?
            .get(link.template as usize)?
    }

    /// The policies in the order of ids: unit, which of its policies, and the template of a link.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Which, Option<At>)> {
        (0..self.len()).filter_map(|place| self.at(place))
    }

    /// The policy at a place in the order of ids: unit, which of its policies, and the template of a link.
    pub(crate) fn at(&self, place: usize) -> Option<(usize, Which, Option<At>)> {
        let at = *self.policies.get(place)?;
        let unit = at.unit as usize;
        if at.entry & LINK == 0 {
            return Some((unit, Which::Static(at.entry as usize), None));
        }
        let which = Which::Link((at.entry & !LINK) as usize);
        let template = self
            .link(at)
            .and_then(|link| self.template_of(at.unit, link));
        Some((unit, which, template))
    }

    /// Where the policy or template of this id stands.
    #[cfg(feature = "server")]
    pub(crate) fn place(&self, id: &PolicyId) -> Option<crate::base::fault::Location> {
        let policy = self.position(id).and_then(|n| self.policies.get(n));
        let spot = match policy {
            Some(at) => self.spot(*at),
            None => self.template_spot(self.find_template(id)?),
        };
        let (unit, span) = spot?;
        unit.place(span)
    }
}
