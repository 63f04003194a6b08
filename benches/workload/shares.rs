//! A document service of many tenants, with a schema.
//!
//! A tenant has fifty policies of ten kinds. Its groups are three deep (division, departments, teams),
//! its folders too (root, areas, leaves). The first ten policies of a tenant reach far, the others near.
//!
//! Of 10,000 requests, 63 in a hundred are allowed at 10 policies, 69 to 71 at 100 to 10,000; forbids deny
//! 4 to 6. One to five policies are satisfied by more than 90 in a hundred of what is allowed, at every
//! size; the rest satisfies six to eight.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::gdrive::weighted;
use super::{Random, Workload, distinct, entity, reference, request, uid};

const SCHEMA: &str = r#"
entity Tenant;
entity Group in [Group];
entity User in [Group] { tenant: Tenant, email: String, clearance: Long, devices: Set<String> };
entity Folder in [Folder];
entity Doc in [Folder] {
  tenant: Tenant, owner: User, kind: String, level: Long, reviewer?: User,
} tags String;
action read;
action view, comment in [read] appliesTo {
  principal: User, resource: Doc,
  context: { ip: ipaddr, channel: String, agent: String, mfa: Bool, hour: Long, ticket?: String },
};
action edit, share, delete appliesTo {
  principal: User, resource: Doc,
  context: { ip: ipaddr, channel: String, agent: String, mfa: Bool, hour: Long, ticket?: String },
};
"#;

/// Policies of one tenant.
const PER_TENANT: usize = 50;
const ACTIONS: [(&str, usize); 5] = [
    ("view", 55),
    ("comment", 15),
    ("edit", 15),
    ("share", 10),
    ("delete", 5),
];
const CHANNELS: [&str; 5] = ["web", "web", "mobile", "desktop", "api"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "app/4.2 (mobile)",
    "app/4.2 (desktop)",
    "crawler-bot/1.0",
];
const KINDS: [&str; 4] = ["note", "plan", "report", "contract"];

pub(crate) fn build(size: usize, requests: usize) -> Workload {
    let mut random = Random::new();
    let tenants = size.div_ceil(PER_TENANT).max(1);
    let users = (240 / tenants).max(12);
    let documents = (480 / tenants).max(16);

    let mut policies = String::new();
    for n in 0..size {
        let (tenant, place) = (n / PER_TENANT, n % PER_TENANT);
        let (head, body) = policy(tenant, place, users, documents);
        let _ = writeln!(policies, "@id(\"p{n}\") {head} {body};");
    }

    let mut entities = Vec::new();
    for tenant in 0..tenants {
        structure(tenant, &mut entities);
        people(tenant, users, &mut random, &mut entities);
        content(tenant, users, documents, &mut random, &mut entities);
    }

    let requests = distinct(requests, || {
        let tenant = random.below(tenants);
        // One in twenty asks for a document of another tenant.
        let home = if random.percent(5) {
            random.below(tenants)
        } else {
            tenant
        };
        let user = uid("User", &format!("t{home}-u{}", random.below(users)));
        let document = uid("Doc", &format!("t{tenant}-d{}", random.below(documents)));
        let host = 1 + random.below(254);
        let ip = if random.percent(85) {
            format!("{}.{host}", network(home))
        } else {
            format!("203.0.{}.{host}", 112 + random.below(4))
        };
        let mut context = json!({
            "ip": {"__extn": {"fn": "ip", "arg": ip}},
            "channel": random.pick(&CHANNELS),
            "agent": random.pick(&AGENTS),
            "mfa": !random.percent(20),
            "hour": random.below(24),
        });
        if random.percent(20) {
            context["ticket"] = json!(format!("T-{}", random.below(10_000)));
        }
        request(user, weighted(&mut random, &ACTIONS), document, context)
    });
    Workload {
        policies,
        links: "[]".to_owned(),
        schema: Some(SCHEMA.to_owned()),
        entities,
        requests,
    }
}

/// The first three bytes of a tenant's addresses.
fn network(tenant: usize) -> String {
    format!("10.{}.{}", (tenant / 256) % 256, tenant % 256)
}

/// Scope and conditions of one of a tenant's policies.
fn policy(tenant: usize, place: usize, users: usize, documents: usize) -> (String, String) {
    let t = format!("t{tenant}");
    let round = place / 10;
    let user = format!("User::\"{t}-u{}\"", (place * 7) % users);
    let document = format!("Doc::\"{t}-d{}\"", (place * 5) % documents);
    let (wide, narrow, folder) = if round == 0 {
        ("division".to_owned(), "dept0".to_owned(), "root".to_owned())
    } else {
        (
            format!("dept{}", round % 2),
            format!("team{}", round % 4),
            format!("area{}", (round + 1) % 2),
        )
    };
    let leaf = if round == 0 {
        "area0".to_owned()
    } else {
        format!("leaf{}", round % 4)
    };
    let (wide, narrow) = (
        format!("Group::\"{t}-{wide}\""),
        format!("Group::\"{t}-{narrow}\""),
    );
    let (folder, leaf) = (
        format!("Folder::\"{t}-{folder}\""),
        format!("Folder::\"{t}-{leaf}\""),
    );
    let net = network(tenant);
    let (head, body) = match place % 10 {
        0 => (
            format!(
                "permit(principal == {user}, action in [Action::\"view\", Action::\"edit\"], resource is Doc in {folder})"
            ),
            "when { context.mfa }".to_owned(),
        ),
        1 => (
            format!("permit(principal in {narrow}, action in Action::\"read\", resource is Doc in {folder})"),
            "when { [\"web\", \"mobile\"].contains(context.channel) }".to_owned(),
        ),
        2 => (
            format!(
                "permit(principal in {wide}, action in [Action::\"edit\", Action::\"comment\"], resource is Doc in {folder})"
            ),
            "when { resource.kind == \"note\" || resource.owner == principal || context has ticket }".to_owned(),
        ),
        3 => (
            format!("forbid(principal, action, resource is Doc in {leaf})"),
            format!(
                "when {{ context.channel == \"api\" && resource.level >= 3 }} unless {{ context.ip.isInRange(ip(\"{net}.0/24\")) && context.mfa }}"
            ),
        ),
        4 => (
            format!(
                "permit(principal == {user}, action in [Action::\"view\", Action::\"edit\", Action::\"share\"], resource == {document})"
            ),
            "unless { context.agent like \"*bot*\" }".to_owned(),
        ),
        5 => (
            format!("permit(principal in {wide}, action == Action::\"view\", resource is Doc in {leaf})"),
            "when { resource.hasTag(\"class\") && resource.getTag(\"class\") == \"open\" } unless { context.agent like \"*bot*\" }"
                .to_owned(),
        ),
        6 => (
            format!("permit(principal is User in {wide}, action == Action::\"view\", resource is Doc in {folder})"),
            format!(
                "when {{ context.ip.isInRange(ip(\"{net}.0/24\")) && context.hour >= 7 && context.hour < 19 }}"
            ),
        ),
        7 => (
            format!(
                "forbid(principal in Group::\"{t}-guests\", action in [Action::\"share\", Action::\"delete\"], resource is Doc in {folder})"
            ),
            "unless { resource has reviewer && resource.reviewer == principal }".to_owned(),
        ),
        8 => (
            format!("permit(principal, action == Action::\"view\", resource is Doc in {leaf})"),
            format!(
                "when {{ resource.tenant == principal.tenant && principal.email like \"*@{t}.example\" && principal.devices.contains(context.channel) }}"
            ),
        ),
        _ => (
            format!(
                "permit(principal in {wide}, action in [Action::\"share\", Action::\"delete\"], resource is Doc in {folder})"
            ),
            "when { resource.level <= principal.clearance }".to_owned(),
        ),
    };
    (head, body)
}

fn structure(tenant: usize, entities: &mut Vec<Value>) {
    let t = format!("t{tenant}");
    let mut add = |kind: &str, name: String, parent: Option<String>| {
        let parents = parent
            .map(|parent| uid(kind, &format!("{t}-{parent}")))
            .into_iter()
            .collect();
        entities.push(entity(kind, &format!("{t}-{name}"), json!({}), parents));
    };
    add("Group", "division".to_owned(), None);
    add("Group", "guests".to_owned(), None);
    add("Folder", "root".to_owned(), None);
    for half in 0..2 {
        add("Group", format!("dept{half}"), Some("division".to_owned()));
        add("Folder", format!("area{half}"), Some("root".to_owned()));
    }
    for quarter in 0..4 {
        let half = quarter / 2;
        add(
            "Group",
            format!("team{quarter}"),
            Some(format!("dept{half}")),
        );
        add(
            "Folder",
            format!("leaf{quarter}"),
            Some(format!("area{half}")),
        );
    }
    entities.push(entity("Tenant", &t, json!({}), vec![]));
}

fn people(tenant: usize, users: usize, random: &mut Random, entities: &mut Vec<Value>) {
    let t = format!("t{tenant}");
    for user in 0..users {
        let mut parents = vec![uid("Group", &format!("{t}-team{}", user % 4))];
        if user % 6 == 5 {
            parents.push(uid("Group", &format!("{t}-guests")));
        }
        let devices = match random.below(3) {
            0 => json!(["web"]),
            1 => json!(["web", "mobile"]),
            _ => json!(["web", "mobile", "desktop"]),
        };
        let attrs = json!({
            "tenant": reference("Tenant", &t),
            "email": format!("u{user}@{t}.example"),
            "clearance": 1 + random.below(5),
            "devices": devices,
        });
        entities.push(entity("User", &format!("{t}-u{user}"), attrs, parents));
    }
}

fn content(
    tenant: usize,
    users: usize,
    documents: usize,
    random: &mut Random,
    entities: &mut Vec<Value>,
) {
    let t = format!("t{tenant}");
    for document in 0..documents {
        let mut attrs = json!({
            "tenant": reference("Tenant", &t),
            "owner": reference("User", &format!("{t}-u{}", random.below(users))),
            "kind": random.pick(&KINDS),
            "level": random.below(6),
        });
        if random.percent(40) {
            attrs["reviewer"] = reference("User", &format!("{t}-u{}", random.below(users)));
        }
        let parents = vec![uid("Folder", &format!("{t}-leaf{}", document % 4))];
        let mut document = entity("Doc", &format!("{t}-d{document}"), attrs, parents);
        if random.percent(70) {
            document["tags"] = json!({"class": random.pick(&["open", "open", "inner"])});
        }
        entities.push(document);
    }
}
