//! Policies, entities and requests of one shape at any size, the same in every run.
//!
//! Benchmarks and tests include this module by path. It knows Cedar's texts and JSON and neither engine.

#![expect(
    clippy::indexing_slicing,
    reason = "a workload of its own making may stop where it is wrong"
)]
#![allow(
    dead_code,
    reason = "each benchmark and test that includes the module takes a part of it"
)]

pub(crate) mod gdrive;
pub(crate) mod github;
pub(crate) mod grow;
pub(crate) mod open;
pub(crate) mod roles;
pub(crate) mod shares;
pub(crate) mod tinytodo;

use std::collections::HashSet;

use serde_json::{Value, json};

/// What the policies look like. `size` is the number of policies of the first five, what grows of the next three, and
/// the number of entities of each kind in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Roles on folders, one policy each.
    Roles,
    /// The same as links of one template.
    RolesLinks,
    /// The same with a schema.
    RolesSchema,
    /// A document service of many tenants, with a schema.
    Shares,
    /// Open scopes, conditions on attributes.
    Open,
    /// A context of so many members.
    Context,
    /// A principal in so many groups.
    Groups,
    /// A principal under so many levels of groups.
    Depth,
    /// Documents and folders that are owned, shared, public.
    Gdrive,
    /// The same permissions, each share a link.
    GdriveTemplates,
    /// Repositories of organizations, with five roles.
    Github,
    /// The same permissions, each role assignment a link.
    GithubTemplates,
    /// Task lists with an owner, readers and editors.
    Tinytodo,
    /// The same permissions, each reader and editor a link.
    TinytodoTemplates,
}

impl Shape {
    /// Every shape.
    pub(crate) const ALL: [Self; 14] = [
        Self::Roles,
        Self::RolesLinks,
        Self::RolesSchema,
        Self::Shares,
        Self::Open,
        Self::Context,
        Self::Groups,
        Self::Depth,
        Self::Gdrive,
        Self::GdriveTemplates,
        Self::Github,
        Self::GithubTemplates,
        Self::Tinytodo,
        Self::TinytodoTemplates,
    ];

    /// The name in reports and on command lines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Roles => "roles",
            Self::RolesLinks => "roles-links",
            Self::RolesSchema => "roles-schema",
            Self::Shares => "shares",
            Self::Open => "open",
            Self::Context => "context",
            Self::Groups => "groups",
            Self::Depth => "depth",
            Self::Gdrive => "gdrive",
            Self::GdriveTemplates => "gdrive-templates",
            Self::Github => "github",
            Self::GithubTemplates => "github-templates",
            Self::Tinytodo => "tinytodo",
            Self::TinytodoTemplates => "tinytodo-templates",
        }
    }

    /// The shape of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }
}

/// What a decision point is given, and what it is asked.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Cedar text.
    pub(crate) policies: String,
    /// A JSON array of `{"template_id", "link_id", "args": {"?principal", "?resource"}}`.
    pub(crate) links: String,
    /// Cedar schema text.
    pub(crate) schema: Option<String>,
    /// Entities in Cedar's JSON, actions among them where there is no schema.
    pub(crate) entities: Vec<Value>,
    /// Bodies of `POST /authorize`, all different.
    pub(crate) requests: Vec<Value>,
}

/// The workload of a shape.
pub(crate) fn build(shape: Shape, size: usize, requests: usize) -> Workload {
    match shape {
        Shape::Roles => roles::build(size, requests, false),
        Shape::RolesLinks => roles::build(size, requests, true),
        Shape::RolesSchema => roles::build_declared(size, requests),
        Shape::Shares => shares::build(size, requests),
        Shape::Open => open::build(size, requests),
        Shape::Context => grow::build(grow::What::Context, size, requests),
        Shape::Groups => grow::build(grow::What::Groups, size, requests),
        Shape::Depth => grow::build(grow::What::Depth, size, requests),
        Shape::Gdrive => gdrive::build(size, requests, false),
        Shape::GdriveTemplates => gdrive::build(size, requests, true),
        Shape::Github => github::build(size, requests, false),
        Shape::GithubTemplates => github::build(size, requests, true),
        Shape::Tinytodo => tinytodo::build(size, requests, false),
        Shape::TinytodoTemplates => tinytodo::build(size, requests, true),
    }
}

/// A xorshift generator with a fixed seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x1234_5678_9abc_def1)
    }

    /// Evenly from `0..n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        let drawn = mixed % u64::try_from(n.max(1)).unwrap_or(1);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// True in so many of a hundred.
    fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Different numbers of `0..n`, `from` to `to` of them as far as there are so many.
    fn some(&mut self, n: usize, from: usize, to: usize) -> Vec<usize> {
        let many = from + self.below(to - from + 1);
        let mut drawn: Vec<usize> = (0..many).map(|_| self.below(n)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }
}

/// Different requests. Where a workload has too few of them, the last ones repeat earlier ones.
fn distinct(count: usize, mut draw: impl FnMut() -> Value) -> Vec<Value> {
    let mut seen = HashSet::with_capacity(count);
    let mut requests = Vec::with_capacity(count);
    let mut spare = count.saturating_mul(4).max(1_000);
    while requests.len() < count {
        let request = draw();
        if seen.insert(request.to_string()) || spare == 0 {
            requests.push(request);
        } else {
            spare -= 1;
        }
    }
    requests
}

fn uid(type_name: &str, id: &str) -> Value {
    json!({"type": type_name, "id": id})
}

/// A reference in an attribute.
fn reference(type_name: &str, id: &str) -> Value {
    json!({"__entity": {"type": type_name, "id": id}})
}

fn entity(type_name: &str, id: &str, attrs: Value, parents: Vec<Value>) -> Value {
    json!({"uid": uid(type_name, id), "attrs": attrs, "parents": parents})
}

fn request(principal: Value, action: &str, resource: Value, context: Value) -> Value {
    json!({
        "principal": principal,
        "action": uid("Action", action),
        "resource": resource,
        "context": context,
    })
}

/// A second of one year.
fn second(random: &mut Random) -> usize {
    random.below(365 * 86_400)
}

/// A links file in the making.
#[derive(Debug, Default)]
struct Links(Vec<String>);

impl Links {
    /// One link; `principal` and `resource` are a type and an id.
    fn add(&mut self, template: &str, principal: (&str, &str), resource: (&str, &str)) {
        let link = json!({
            "template_id": template,
            "link_id": format!("{template}-{}", self.0.len()),
            "args": {
                "?principal": format!("{}::\"{}\"", principal.0, principal.1),
                "?resource": format!("{}::\"{}\"", resource.0, resource.1),
            },
        });
        self.0.push(link.to_string());
    }

    fn text(&self) -> String {
        format!("[{}]", self.0.join(",\n"))
    }
}
