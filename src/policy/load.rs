//! Sources of policies to units and compiled code: parsed and validated on all cores, compiled as they
//! come.
//!
//! Only sources that changed are read again; the others lend their unit and their code. Every fault of
//! every source is gathered; nothing is returned unless there is none. What Cedar makes of a text lives
//! only while its part of the text is looked at, so memory does not grow with the number of policies
//! that are read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use cedar_policy::{
    ParseErrors, Policy, PolicyId, PolicySet, SlotId, Template, ValidationMode, Validator,
};
use sha2::{Digest, Sha256};

use super::annotations;
use super::json::read_set;
use super::links::{self, Values};
use super::shapes::{Head, Known as KnownShape, Shape, Shapes};
use super::snapshot::Settings;
use super::table::{Table, Which};
use super::unit::{Entry, Source, Span, Unit};
use crate::base::fault::{Fault, Faults, Location};
use crate::base::hex::hex;
use crate::base::threads::spawn;
use crate::engine::{Body, Code, CompiledPolicies, Compiler, UnitCode};
use crate::entities::{EntityStore, Uid};
use crate::schema::SchemaSet;
use crate::source::nesting;
use crate::source::nesting::nesting_fault;
use crate::source::statements::statements;
use crate::source::{Form, SourceFile};

/// How policies get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ids {
    /// `@id`, JSON key or link id, else `<file>#<12 hex of the canonical text>`.
    #[default]
    Named,
    /// As Cedar counts them: `policy0`, `policy1`, ... (for Cedar's own test formats).
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "those formats are read by the command line")
    )]
    Cedar,
}

/// What policies are read against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Against<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) schema: Option<&'a SchemaSet>,
    pub(crate) store: &'a EntityStore,
    /// What was read before against the same settings, schema and store.
    pub(crate) previous: Option<(&'a Table, &'a CompiledPolicies)>,
}

/// Policies of a text that are read together.
const PART: usize = 500;
/// The code of a fault about a name that no vocabulary declares.
const UNDECLARED: &str = "undeclared_name";
/// Links that are validated together.
const LINKS: usize = 5_000;
/// Stack of a reading thread, in bytes; only what is used of it takes memory.
const STACK: usize = 64 << 20;

/// Reads the sources.
pub(crate) fn load(
    sources: Vec<Source>,
    against: &Against<'_>,
) -> Result<(Table, CompiledPolicies), Faults> {
    let previous = against
        .previous
        .filter(|(_, compiled)| !compiled.is_worn_out());
    let known = previous.map(|(table, compiled)| Known::new(table, compiled));
    let base = previous.map(|(_, compiled)| compiled);
    let validator = against
        .schema
        .filter(|_| !against.settings.lenient)
        .map(|schema| Validator::new(schema.schema.clone()));
    let reader = Reader {
        shapes: Shapes::new(against.schema.map(|schema| &schema.model)),
        settings: against.settings,
        validator: validator.as_ref(),
    };
    let (done, pins, version) = against.store.intern(|symbols| {
        let mut compiler = Compiler::begin(symbols, base);
        let mut faults = Faults::new();
        let policies = sources.into_iter().filter(
            |source| !matches!(source, Source::File(file) if file.form == Form::Vocabulary),
        );
        let (links, others): (Vec<_>, Vec<_>) = policies
            .map(|source| {
                known
                    .as_ref()
                    .map_or(SourceUnit::New(source.clone()), |k| k.find(source))
            })
            .partition(|read| read.is_links());
        let mut units = read_texts(&reader, others, &mut compiler, &mut faults);
        // Links come last: they may name templates of any source.
        // What is used twice is said of the whole table below.
        let table = Table::gather(units.iter().map(|(unit, _)| Arc::clone(unit)).collect());
        // A template may be in a text that could not be read: then nothing is said of links to it.
        let all_read = !faults
            .iter()
            .any(|fault| ["parse", "nesting"].contains(&fault.code()));
        for read in links {
            let read = read.unless(|unit| !known.as_ref().is_some_and(|k| k.keeps(unit, &table)));
            units.push(match read {
                SourceUnit::Before(unit, code) => (unit, code),
                SourceUnit::New(Source::File(file)) => read_links(
                    &reader,
                    &file,
                    (&table, all_read),
                    &mut compiler,
                    &mut faults,
                ),
                SourceUnit::New(source) => (Arc::new(Unit::new(source)), Arc::default()),
            });
        }
        let (units, codes): (Vec<_>, Vec<_>) = units.into_iter().unzip();
        let table = Table::new(units);
        let table = match (table, faults.is_empty()) {
            (Ok(table), true) => table,
            (table, _) => {
                faults.extend(table.err().unwrap_or_default());
                return Err(faults.merged(UNDECLARED));
            }
        };
        let rows = rows(&table, &codes);
        Ok((table, compiler.finish(codes, rows)))
    });
    let (table, compiled) = done?;
    Ok((table, compiled.bound(&version, pins)))
}

/// What each policy is compiled to, in the order of ids: its body's code, and the entities of its slots.
fn rows(table: &Table, codes: &[Arc<UnitCode>]) -> Vec<(Code, Uid, Uid)> {
    let policies = table.iter().map(|(unit, which, template)| {
        let code = codes.get(unit)?;
        match which {
            Which::Static(at) => Some((code.statics.get(at)?.clone(), Uid::NONE, Uid::NONE)),
            Which::Link(at) => {
                let template = template?;
                let body = codes.get(template.unit as usize)?;
                let body = body.templates.get(template.entry as usize)?.clone();
                let (principal, resource) = *code.links.get(at)?;
                Some((body, principal, resource))
            }
        }
    });
    // INVARIANT: every unit of the table has its code, and links whose template is missing are faults.
    policies.flatten().collect()
}

/// The units that were read before.
struct Known<'a> {
    table: &'a Table,
    compiled: &'a CompiledPolicies,
    by_name: HashMap<String, Vec<usize>>,
}

fn name(source: &Source) -> String {
    match source {
        Source::File(file) => file.source.name.to_string(),
        Source::Set(n, _) => n.to_string(),
    }
}

impl<'a> Known<'a> {
    fn new(table: &'a Table, compiled: &'a CompiledPolicies) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, unit) in table.units.iter().enumerate() {
            by_name.entry(name(&unit.source)).or_default().push(n);
        }
        Self {
            table,
            compiled,
            by_name,
        }
    }

    fn find(&self, source: Source) -> SourceUnit {
        let same = self.by_name.get(&name(&source)).into_iter().flatten();
        for n in same {
            if let (Some(unit), Some(code)) = (self.table.units.get(*n), self.compiled.unit(*n))
                && unit.source.says_the_same(&source)
            {
                return SourceUnit::Before(Arc::clone(unit), Arc::clone(code));
            }
        }
        SourceUnit::New(source)
    }

    /// Whether the templates that the links of a unit name are all as they were.
    fn keeps(&self, unit: &Unit, table: &Table) -> bool {
        unit.linked.iter().all(|id| {
            let (now, before) = (table.find_template(id), self.table.find_template(id));
            let of = |table: &Table, at: Option<super::table::At>| {
                at.and_then(|at| table.units.get(at.unit as usize).map(Arc::as_ptr))
            };
            let now = of(table, now);
            now.is_some() && now == of(self.table, before)
        })
    }
}

/// A source: read before, or to be read.
enum SourceUnit {
    Before(Arc<Unit>, Arc<UnitCode>),
    New(Source),
}

impl SourceUnit {
    fn is_links(&self) -> bool {
        let source = match self {
            Self::Before(unit, _) => &unit.source,
            Self::New(source) => source,
        };
        matches!(source, Source::File(file) if file.form == Form::Links)
    }

    fn unless(self, outdated: impl Fn(&Unit) -> bool) -> Self {
        match self {
            Self::Before(unit, _) if outdated(&unit) => Self::New(unit.source.clone()),
            other => other,
        }
    }
}

/// A part of a source that is read in one go.
struct Task {
    unit: usize,
    source: Source,
    /// Bytes of a text, and how many policies stand before them.
    part: (Span, usize),
}

/// The result of a part.
#[derive(Default)]
struct Parsed {
    statics: Vec<(Entry, Body)>,
    templates: Vec<(Entry, Body)>,
    links: Vec<(PolicyId, PolicyId, Span, Values)>,
    faults: Faults,
    warnings: Vec<Fault>,
}

type Units = Vec<(Arc<Unit>, Arc<UnitCode>)>;

fn read_texts(
    reader: &Reader<'_>,
    reads: Vec<SourceUnit>,
    compiler: &mut Compiler<'_>,
    faults: &mut Faults,
) -> Units {
    let mut tasks = Vec::new();
    for (unit, read) in reads.iter().enumerate() {
        if let SourceUnit::New(source) = read {
            reader.split(unit, source, &mut tasks, faults);
        }
    }
    let mut parts: Vec<Vec<(usize, Unit, UnitCode, Faults)>> = Vec::new();
    parts.resize_with(reads.len(), Vec::new);
    reader.run(&tasks, |n, parsed| {
        let Some(task) = tasks.get(n) else { return };
        if let Some(parts) = parts.get_mut(task.unit) {
            let (unit, code, found) = compile(task.source.clone(), parsed, compiler);
            parts.push((n, unit, code, found));
        }
    });
    let mut units = Units::new();
    for (read, mut parts) in reads.into_iter().zip(parts) {
        let source = match read {
            SourceUnit::Before(unit, code) => {
                units.push((unit, code));
                continue;
            }
            SourceUnit::New(source) => source,
        };
        parts.sort_by_key(|(n, ..)| *n);
        let (mut unit, mut code) = (Unit::new(source), UnitCode::default());
        for (_, part, part_code, found) in parts {
            unit.take(part);
            code.take(part_code);
            faults.extend(found);
        }
        if reader.settings.ids == Ids::Named {
            number_repeats(&mut unit);
        }
        unit.shrink();
        units.push((Arc::new(unit), Arc::new(code)));
    }
    units
}

/// Policies without a name that print alike have one id: the second is told apart by `.2`, and so on in the
/// order of the text.
fn number_repeats(unit: &mut Unit) {
    let Source::File(file) = &unit.source else {
        return;
    };
    let prefix = format!("{}#", file.relative);
    let mut seen: HashMap<PolicyId, usize> = HashMap::new();
    let entries = unit.statics.iter_mut().chain(&mut unit.templates);
    for entry in entries {
        let is_derived = entry.is_unnamed && (entry.id.as_ref() as &str).starts_with(&prefix);
        if !is_derived {
            continue;
        }
        let times = seen.entry(entry.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            entry.id = PolicyId::new(format!("{}.{times}", entry.id));
        }
    }
}

fn compile(
    source: Source,
    parsed: Parsed,
    compiler: &mut Compiler<'_>,
) -> (Unit, UnitCode, Faults) {
    let mut unit = Unit::new(source);
    let mut code = UnitCode::default();
    let mut faults = parsed.faults;
    let mut bodies = |of: Vec<(Entry, Body)>, entries: &mut Vec<Entry>, codes: &mut Vec<Code>| {
        for (entry, body) in of {
            match compiler.body(&body) {
                Ok(code) => codes.push(code),
                Err(error) => faults.push(Fault::new("compile", error.to_string())),
            }
            entries.push(entry);
        }
    };
    bodies(parsed.statics, &mut unit.statics, &mut code.statics);
    bodies(parsed.templates, &mut unit.templates, &mut code.templates);
    for (id, template, span, values) in parsed.links {
        unit.link(id, &template, span);
        code.links.push(values.numbers(compiler));
    }
    unit.warnings = parsed.warnings;
    (unit, code, faults)
}

fn read_links(
    reader: &Reader<'_>,
    file: &SourceFile,
    (table, all_read): (&Table, bool),
    compiler: &mut Compiler<'_>,
    faults: &mut Faults,
) -> (Arc<Unit>, Arc<UnitCode>) {
    let mut unit = Unit::new(Source::File(file.clone()));
    let mut code = UnitCode::default();
    let mut templates = links::Templates::new(table);
    let mut set = PolicySet::new();
    let mut pending = 0;
    let check = |set: &mut PolicySet, unit: &mut Unit, faults: &mut Faults| {
        let mut parsed = Parsed::default();
        let place = |id: &PolicyId| {
            let link = unit.links.iter().find(|link| link.id == *id)?;
            unit.place(link.span)
        };
        reader.validate(set, None, &place, &mut parsed);
        unit.warnings.extend(parsed.warnings);
        faults.extend(parsed.faults);
        *set = PolicySet::new();
    };
    links::read(file, |link| match link {
        Ok(link) => match templates.fits(&link) {
            Ok(()) => {
                if reader.validator.is_some() {
                    templates.link(&mut set, &link);
                    pending += 1;
                }
                unit.link(link.id, &link.template, link.span);
                code.links.push(link.values.numbers(compiler));
                if pending >= LINKS {
                    check(&mut set, &mut unit, faults);
                    pending = 0;
                }
            }
            Err(fault) if fault.code() == links::NO_TEMPLATE && !all_read => {}
            Err(fault) => faults.push(match unit.place(link.span) {
                Some(place) => fault.at(place),
                None => fault,
            }),
        },
        Err(fault) => faults.push(fault),
    });
    if pending > 0 {
        check(&mut set, &mut unit, faults);
    }
    unit.shrink();
    (Arc::new(unit), Arc::new(code))
}

/// Reads parts of sources; shared by the reading threads.
struct Reader<'a> {
    shapes: Shapes<'a>,
    settings: &'a Settings,
    validator: Option<&'a Validator>,
}

/// A part of a text, statement by statement.
struct Part<'a> {
    file: &'a SourceFile,
    text: &'a str,
    /// Where it begins in the file.
    start: usize,
    /// How many statements stand before it.
    before: usize,
    spans: Vec<Range<usize>>,
    /// The statements taken apart, where that can be done.
    heads: Vec<Option<Head<'a>>>,
}

impl Part<'_> {
    /// Where a statement stands in the file.
    fn span(&self, number: usize) -> Span {
        let span = self.spans.get(number);
        span.map_or(Span::default(), |span| {
            Span::new(self.start + span.start, span.len())
        })
    }

    /// The text with these statements alone, each where it was.
    fn only(&self, numbers: &[usize]) -> Cow<'_, str> {
        if numbers.len() == self.spans.len() {
            return Cow::Borrowed(self.text);
        }
        let mut text = String::with_capacity(self.text.len());
        for number in numbers {
            let Some(span) = self.spans.get(*number) else {
                continue;
            };
            text.extend(std::iter::repeat_n(
                ' ',
                span.start.saturating_sub(text.len()),
            ));
            text.push_str(self.text.get(span.clone()).unwrap_or_default());
        }
        Cow::Owned(text)
    }
}

impl Reader<'_> {
    /// The parts of a source; a text that nests too deeply has none.
    fn split(&self, unit: usize, source: &Source, tasks: &mut Vec<Task>, faults: &mut Faults) {
        let whole = |tasks: &mut Vec<Task>| {
            tasks.push(Task {
                unit,
                source: source.clone(),
                part: (Span::default(), 0),
            });
        };
        let Source::File(file) = source else {
            return whole(tasks);
        };
        if file.form != Form::Cedar {
            return whole(tasks);
        }
        if let Some(fault) = nesting_fault(file, nesting::too_deep, nesting::POLICY) {
            return faults.push(fault);
        }
        let text = &file.source.text;
        let all = statements(text);
        let (mut start, mut first) = (0, 0);
        while first == 0 || first < all.len() {
            let next = (first + PART).min(all.len());
            // A part ends behind its last statement; what follows the last one belongs to it.
            let end = match next.checked_sub(1).and_then(|last| all.get(last)) {
                Some(last) if next < all.len() => last.end,
                _ => text.len(),
            };
            tasks.push(Task {
                unit,
                source: source.clone(),
                part: (Span::new(start, end - start), first),
            });
            start = end;
            first = next.max(1);
        }
    }

    /// Reads all tasks and hands on each result as it comes, by the task's number.
    fn run(&self, tasks: &[Task], mut take: impl FnMut(usize, Parsed)) {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = cores.min(tasks.len());
        if threads <= 1 {
            for (n, task) in tasks.iter().enumerate() {
                take(n, self.read(task));
            }
            return;
        }
        let next = AtomicUsize::new(0);
        let (results, received) = sync_channel(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let results: SyncSender<(usize, Parsed)> = results.clone();
                let next = &next;
                let work = move || {
                    while let n = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(task) = tasks.get(n)
                        && results.send((n, self.read(task))).is_ok()
                    {}
                };
                // Fewer threads read as well; without any, the loop below ends at once.
                let _ = spawn(scope, "deodar-read", STACK, work);
            }
            drop(results);
            for (n, parsed) in received {
                take(n, parsed);
            }
        });
        while let n = next.fetch_add(1, Ordering::Relaxed)
            && let Some(task) = tasks.get(n)
        {
            take(n, self.read(task));
        }
    }

    fn read(&self, task: &Task) -> Parsed {
        let mut parsed = Parsed::default();
        match &task.source {
            Source::Set(_, set) => self.set(set, &|_| None, &mut parsed),
            Source::File(file) if file.form == Form::Cedar => {
                self.text(file, task.part, &mut parsed);
            }
            Source::File(file) => self.json(file, &mut parsed),
        }
        parsed
    }

    /// Reads a part of a text. Policies of a shape that was read before take what it became.
    fn text(&self, file: &SourceFile, (span, before): (Span, usize), parsed: &mut Parsed) {
        let start = span.start as usize;
        let text = file.source.text.get(start..start + span.length as usize);
        let text = text.unwrap_or_default();
        let spans = statements(text);
        let part = Part {
            file,
            text,
            start,
            before,
            heads: match self.settings.ids {
                Ids::Named => {
                    let heads = spans
                        .iter()
                        .map(|span| self.shapes.head(text.get(span.clone())?));
                    heads.collect()
                }
                Ids::Cedar => vec![None; spans.len()],
            },
            spans,
        };
        // The first statement of each shape is read now, and the others of it once that is known.
        let (mut now, mut later) = (Vec::new(), Vec::new());
        let mut first: HashSet<&str> = HashSet::new();
        for (number, head) in part.heads.iter().enumerate() {
            match head {
                Some(head) => match self.shapes.find(&head.key) {
                    KnownShape::New if first.insert(&head.key) => now.push(number),
                    KnownShape::Alone => now.push(number),
                    KnownShape::New | KnownShape::Shared(_) => later.push(number),
                },
                None => now.push(number),
            }
        }
        if let Err(faults) = self.statements(&part, &now, parsed) {
            // All of them may be faulty.
            let whole = PolicySet::from_str(text).err();
            let all = whole.map(|errors| parse_faults(&errors, file, start));
            return parsed.faults.extend(all.unwrap_or(faults));
        }
        let mut alone = Vec::new();
        for number in later {
            let head = part.heads.get(number).and_then(Option::as_ref);
            match head.map(|head| (head, self.shapes.find(&head.key))) {
                Some((head, KnownShape::Shared(shape))) if !shape.is_checked() => {
                    parsed.statics.push(shape.policy(head, part.span(number)));
                }
                _ => alone.push(number),
            }
        }
        if let Err(faults) = self.statements(&part, &alone, parsed) {
            parsed.faults.extend(faults);
        }
        parsed.statics.sort_by_key(|(entry, _)| entry.span.start);
    }

    /// Reads these statements of a part by Cedar.
    fn statements(
        &self,
        part: &Part<'_>,
        numbers: &[usize],
        parsed: &mut Parsed,
    ) -> Result<(), Faults> {
        let Part { file, start, .. } = *part;
        if numbers.is_empty() && !part.heads.is_empty() {
            return Ok(());
        }
        let set = PolicySet::from_str(&part.only(numbers));
        let set = set.map_err(|errors| parse_faults(&errors, file, start))?;
        let number_of = |id: &PolicyId| {
            let order = order(id);
            numbers.get(order).copied().unwrap_or(order)
        };
        let mut named = PolicySet::new();
        let mut names: HashMap<PolicyId, Span> = HashMap::new();
        // Cedar counts in text order; its own iteration order is random.
        let mut templates: Vec<_> = set.templates().collect();
        templates.sort_by_key(|template| order(template.id()));
        for template in templates {
            let number = number_of(template.id());
            let canonical = || canonical_template(template);
            let id = self.name(
                template.annotation("id"),
                part.before + number,
                file,
                canonical,
            );
            let template = template.new_id(id.clone());
            names.insert(id, part.span(number));
            self.template(&template, part.span(number), file, parsed);
            if let Some((entry, _)) = parsed.templates.last_mut() {
                entry.is_unnamed = !has_name(template.annotation("id"));
            }
            // A second one of the same id is a fault of the table.
            let _ = named.add_template(template);
        }
        let mut read = Vec::with_capacity(numbers.len());
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by_key(|policy| order(policy.id()));
        for policy in policies {
            let number = number_of(policy.id());
            let canonical = || canonical_policy(policy);
            let id = self.name(
                policy.annotation("id"),
                part.before + number,
                file,
                canonical,
            );
            let policy = policy.new_id(id.clone());
            names.insert(id, part.span(number));
            let said = (parsed.faults.len(), parsed.warnings.len());
            self.policy(&policy, part.span(number), Some(file), parsed);
            if let Some((entry, _)) = parsed.statics.last_mut() {
                entry.is_unnamed = !has_name(policy.annotation("id"));
            }
            let is_clean = said == (parsed.faults.len(), parsed.warnings.len());
            read.push((number, parsed.statics.len().checked_sub(1), is_clean));
            let _ = named.add(policy);
        }
        let place = |id: &PolicyId| names.get(id).and_then(|span| place(file, *span));
        let blamed = self.validate(&named, Some((file, start)), &place, parsed);
        for (number, at, is_clean) in read {
            let head = part.heads.get(number).and_then(Option::as_ref);
            let entry = at.and_then(|at| parsed.statics.get(at));
            let (Some(head), Some((entry, body))) = (head, entry) else {
                continue;
            };
            match self.shapes.find(&head.key) {
                KnownShape::New => {
                    let is_clean = is_clean && !blamed.contains(&entry.id);
                    let shape = is_clean.then(|| Shape::of(entry, body));
                    self.shapes.keep(head.key.clone(), shape);
                }
                KnownShape::Shared(shape) if !shape.agrees(head, entry, body) => {
                    let message = format!(
                        "policy `{}` is not what others of the same form are; this is a defect of Deodar",
                        entry.id
                    );
                    parsed.faults.push(Fault::new("shape", message));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn name(
        &self,
        annotation: Option<&str>,
        number: usize,
        file: &SourceFile,
        canonical: impl FnOnce() -> String,
    ) -> PolicyId {
        match (self.settings.ids, annotation) {
            (Ids::Cedar, _) => PolicyId::new(format!("policy{number}")),
            (Ids::Named, Some(id)) if !id.is_empty() => PolicyId::new(id),
            (Ids::Named, _) => {
                let digest = Sha256::digest(canonical().as_bytes());
                let hash = hex(digest.iter().take(6));
                PolicyId::new(format!("{}#{hash}", file.relative))
            }
        }
    }

    fn json(&self, file: &SourceFile, parsed: &mut Parsed) {
        match read_set(file) {
            Ok(set) => {
                let span = |id: &PolicyId| {
                    let key = serde_json::to_string(id.as_ref() as &str).ok()?;
                    let offset = file.source.text.find(&key)?;
                    Some(Span::new(offset, key.len()))
                };
                self.set_in(&set, &span, Some(file), parsed);
            }
            Err(fault) => parsed.faults.push(fault),
        }
    }

    fn set(&self, set: &PolicySet, span: &dyn Fn(&PolicyId) -> Option<Span>, parsed: &mut Parsed) {
        self.set_in(set, span, None, parsed);
    }

    /// A whole set under its own ids.
    fn set_in(
        &self,
        set: &PolicySet,
        span: &dyn Fn(&PolicyId) -> Option<Span>,
        file: Option<&SourceFile>,
        parsed: &mut Parsed,
    ) {
        let span_of = |id: &PolicyId| span(id).unwrap_or_default();
        for template in set.templates() {
            let entry = self.entry(
                template.id(),
                template.effect(),
                slots(template),
                span_of(template.id()),
                template.annotations(),
                file,
                parsed,
            );
            match Body::of_template(template) {
                Ok(body) => parsed.templates.push((entry, body)),
                Err(error) => parsed.faults.push(Fault::new("compile", error.to_string())),
            }
        }
        for policy in set.policies() {
            match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(values)) => parsed.links.push((
                    policy.id().clone(),
                    template.clone(),
                    span_of(policy.id()),
                    Values::of(&values),
                )),
                _ => self.policy(policy, span_of(policy.id()), file, parsed),
            }
        }
        let place = |id: &PolicyId| file.and_then(|file| place(file, span(id)?));
        let _ = self.validate(set, None, &place, parsed);
    }

    fn template(&self, template: &Template, span: Span, file: &SourceFile, parsed: &mut Parsed) {
        let entry = self.entry(
            template.id(),
            template.effect(),
            slots(template),
            span,
            template.annotations(),
            Some(file),
            parsed,
        );
        match Body::of_template(template) {
            Ok(body) => parsed.templates.push((entry, body)),
            Err(error) => parsed.faults.push(Fault::new("compile", error.to_string())),
        }
    }

    fn policy(&self, policy: &Policy, span: Span, file: Option<&SourceFile>, parsed: &mut Parsed) {
        let entry = self.entry(
            policy.id(),
            policy.effect(),
            (false, false),
            span,
            policy.annotations(),
            file,
            parsed,
        );
        match Body::of_policy(policy) {
            Ok(body) => parsed.statics.push((entry, body)),
            Err(error) => parsed.faults.push(Fault::new("compile", error.to_string())),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what Cedar gives by one method each, for policies and templates alike"
    )]
    fn entry<'t>(
        &self,
        id: &PolicyId,
        effect: cedar_policy::Effect,
        slots: (bool, bool),
        span: Span,
        found: impl Iterator<Item = (&'t str, &'t str)>,
        file: Option<&SourceFile>,
        parsed: &mut Parsed,
    ) -> Entry {
        let mut all: Vec<(&str, &str)> = found.collect();
        all.sort_unstable();
        let rest = all.iter().filter(|(name, _)| *name != "id");
        let kept = rest.map(|(name, value)| (Box::from(*name), Box::from(*value)));
        let kept = kept.collect();
        let found = all.into_iter();
        let read = match self.settings.ids {
            Ids::Cedar => annotations::ParsedAnnotations::default(),
            Ids::Named => {
                let prefix = &self.settings.annotation_prefix;
                annotations::read(found, effect, &self.settings.vocabulary, prefix)
            }
        };
        let placed = |fault: Fault| match file.and_then(|file| place(file, span)) {
            Some(place) => fault.at(place),
            None => fault,
        };
        for (message, help) in read.faults {
            let message = format!("policy `{id}`: {message}");
            let fault = Fault::new("annotation", message).help(help);
            parsed.faults.push(placed(fault));
        }
        for (message, help) in read.undeclared {
            // The same name in many policies is one fault: see `Faults::merged`.
            let fault = Fault::new(UNDECLARED, message).help(help);
            parsed.faults.push(placed(fault));
        }
        for (message, help) in read.warnings {
            let message = format!("policy `{id}`: {message}");
            let fault = Fault::new("annotation", message).help(help).into_warning();
            parsed.warnings.push(placed(fault));
        }
        Entry::new(id.clone(), effect, slots, span, read.meaning, kept)
    }

    /// Validates a set; its text, if it has one, begins at an offset of a file. The policies that something is said
    /// of.
    fn validate(
        &self,
        set: &PolicySet,
        text: Option<(&SourceFile, usize)>,
        place: &dyn Fn(&PolicyId) -> Option<Location>,
        parsed: &mut Parsed,
    ) -> HashSet<PolicyId> {
        let mut blamed = HashSet::new();
        let Some(validator) = self.validator else {
            return blamed;
        };
        let result = validator.validate(set, ValidationMode::Strict);
        let fault = |code, id: &PolicyId, found: &dyn miette::Diagnostic| {
            let (source, base) = match text {
                Some((file, base)) => (Some(&file.source), base),
                None => (None, 0),
            };
            let fault = Fault::from_cedar_at(code, found, source, base);
            match (place(id), fault.position()) {
                (Some(place), None) => fault.at(place),
                _ => fault,
            }
        };
        let mut errors: Vec<_> = result.validation_errors().collect();
        errors.sort_by(|a, b| (a.policy_id(), a.to_string()).cmp(&(b.policy_id(), b.to_string())));
        for error in errors {
            blamed.insert(error.policy_id().clone());
            let fault = fault("validation", error.policy_id(), error);
            parsed.faults.push(fault);
        }
        for warning in result.validation_warnings() {
            blamed.insert(warning.policy_id().clone());
            let fault = fault("warning", warning.policy_id(), warning);
            parsed.warnings.push(fault.into_warning());
        }
        blamed
    }
}

fn has_name(id: Option<&str>) -> bool {
    id.is_some_and(|id| !id.is_empty())
}

fn slots(template: &Template) -> (bool, bool) {
    let has = |slot: &SlotId| template.slots().any(|known| known == slot);
    (has(&SlotId::principal()), has(&SlotId::resource()))
}

fn place(file: &SourceFile, span: Span) -> Option<Location> {
    (span.length > 0).then(|| Location {
        source: file.source.clone(),
        offset: span.start as usize,
        length: span.length as usize,
        label: None,
    })
}

fn parse_faults(errors: &ParseErrors, file: &SourceFile, base: usize) -> Faults {
    let mut faults = Faults::new();
    for error in errors.iter() {
        faults.push(Fault::from_cedar_at(
            "parse",
            error,
            Some(&file.source),
            base,
        ));
    }
    faults
}

fn order(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

/// Cedar's own rendering: independent of layout and comments.
fn canonical_policy(policy: &Policy) -> String {
    policy
        .to_json()
        .ok()
        .and_then(|json| Policy::from_json(None, json).ok()?.to_cedar())
        .unwrap_or_else(|| policy.to_string())
}

fn canonical_template(template: &Template) -> String {
    template
        .to_json()
        .ok()
        .and_then(|json| Some(Template::from_json(None, json).ok()?.to_cedar()))
        .unwrap_or_else(|| template.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile::new(name, name, text, Form::of_file(Kind::Policies, name))
    }

    fn load(files: &[SourceFile], ids: Ids) -> Result<Table, Faults> {
        let settings = Settings {
            ids,
            ..Settings::default()
        };
        let against = Against {
            settings: &settings,
            schema: None,
            store: &EntityStore::new(),
            previous: None,
        };
        let sources = files.iter().cloned().map(Source::File).collect();
        super::load(sources, &against).map(|(table, _)| table)
    }

    fn ids(table: &Table) -> Vec<String> {
        (0..table.len())
            .map(|n| table.policy(n).unwrap().id.to_string())
            .collect()
    }

    const TEMPLATE: &str =
        "@id(\"share\") permit(principal == ?principal, action, resource in ?resource);";

    #[test]
    fn ids_come_from_annotations_keys_links_or_the_text() {
        let json = r#"{"staticPolicies":{"from-key":{"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]}},"templates":{},"templateLinks":[]}"#;
        let links = r#"[{"template_id":"share","link_id":"l1","args":{"?principal":"U::\"a\"","?resource":"D::\"d\""}}]"#;
        let files = [
            file("x.links.json", links),
            file(
                "a.cedar",
                "@id(\"named\") permit(principal, action, resource);\npermit(principal,action,resource) when { 1 == 1 };",
            ),
            file("t.cedar", TEMPLATE),
            file("s.json", json),
        ];
        let loaded = load(&files, Ids::Named).unwrap();
        let got = ids(&loaded);
        assert_eq!(got.len(), 4);
        assert!(got[0].starts_with("a.cedar#") && got[0].len() == "a.cedar#".len() + 12);
        assert_eq!(got[1..], ["from-key", "l1", "named"]);

        let other_layout = file(
            "a.cedar",
            "permit ( principal, action, resource )\n// note\nwhen { 1==1 };",
        );
        let again = load(&[other_layout], Ids::Named).unwrap();
        assert_eq!(ids(&again)[0], got[0]);
    }

    #[test]
    fn a_duplicate_names_both_places() {
        let text = "@id(\"x\") permit(principal, action, resource);";
        let faults = load(
            &[file("a.cedar", text), file("b.cedar", &format!("\n{text}"))],
            Ids::Named,
        )
        .unwrap_err();
        let json = faults.iter().next().unwrap().to_json();
        assert_eq!(
            (json["file"].as_str(), json["line"].as_u64()),
            (Some("b.cedar"), Some(2))
        );
        assert_eq!(json["related"][0]["file"], "a.cedar");
    }

    #[test]
    fn every_fault_of_every_file_is_reported() {
        let files = [
            file(
                "a.cedar",
                "@obligation(\"x\") permit(principal, action, resource);",
            ),
            file(
                "c.links.json",
                r#"[{"template_id":"shar","link_id":"l","args":{}}, {"template":1}]"#,
            ),
            file("t.cedar", TEMPLATE),
        ];
        let faults = load(&files, Ids::Named).unwrap_err();
        let lines: Vec<_> = faults.iter().map(Fault::one_line).collect();
        for start in [
            "a.cedar:",
            "c.links.json:1:2: there is no template `shar`",
            "c.links.json:1:",
        ] {
            assert!(
                lines.iter().any(|line| line.starts_with(start)),
                "{start} in {lines:?}"
            );
        }
    }

    /// The template may be in the text that cannot be read.
    #[test]
    fn links_to_a_template_in_a_broken_text_are_no_faults_of_their_own() {
        let links: Vec<_> = (0..50)
            .map(|n| format!(r#"{{"template_id":"share","link_id":"l{n}","args":{{}}}}"#))
            .collect();
        let files = [
            file(
                "a.cedar",
                &format!("permit(principal, action, resource)\n{TEMPLATE}"),
            ),
            file("c.links.json", &format!("[{}]", links.join(","))),
        ];
        let faults = load(&files, Ids::Named).unwrap_err();
        let codes: Vec<_> = faults.iter().map(Fault::code).collect();
        assert_eq!(codes, ["parse"], "{faults:?}");
    }

    #[test]
    fn unnamed_policies_that_print_alike_are_numbered() {
        let text = "permit(principal, action, resource);\n".repeat(1_200);
        let loaded = load(&[file("a.cedar", &text)], Ids::Named).unwrap();
        let mut got = ids(&loaded);
        got.sort_by_key(|id| (id.len(), id.clone()));
        assert_eq!(got.len(), 1_200);
        assert_eq!(got[1], format!("{}.2", got[0]));
        assert_eq!(got[1_199], format!("{}.1200", got[0]));
    }

    #[test]
    fn one_policy_or_template_stands_alone_in_json() {
        let one = r#"{"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[],"annotations":{"id":"readers"}}"#;
        let template = r#"{"effect":"permit","principal":{"op":"==","slot":"?principal"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]}"#;
        let links = r#"[{"template_id":"t.json","link_id":"l1","args":{"?principal":"U::\"a\""}}]"#;
        let files = [
            file("one.json", one),
            file("t.json", template),
            file("x.links.json", links),
        ];
        assert_eq!(ids(&load(&files, Ids::Named).unwrap()), ["l1", "readers"]);
        let typo = one.replace("effect", "efect");
        assert!(load(&[file("one.json", &typo)], Ids::Named).is_err());
    }

    #[test]
    fn an_undeclared_name_is_one_fault_however_many_use_it() {
        let text = "@obligation(\"log\") permit(principal, action, resource);\n".repeat(30);
        let faults = load(&[file("a.cedar", &text)], Ids::Named).unwrap_err();
        assert_eq!(faults.len(), 1);
        let message = faults.iter().next().unwrap().message();
        assert!(
            message.contains("`log`") && message.contains("30 policies"),
            "{message}"
        );
    }

    #[test]
    fn cedar_ids_are_kept_for_cedars_formats() {
        let loaded = load(
            &[file(
                "a.cedar",
                "@id(\"x\") permit(principal, action, resource);",
            )],
            Ids::Cedar,
        )
        .unwrap();
        assert_eq!(ids(&loaded), ["policy0"]);
    }
}
