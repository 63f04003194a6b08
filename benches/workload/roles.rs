//! Grants of a role on a folder, and one forbid, without a schema.
//!
//! Grants come in bundles of one to four: of a role on a folder, of the role on the folder around it,
//! of the role above on the folder, of the role above on the folder around it. Each user has one or two
//! roles, each document one folder.
//!
//! Of 10,000 requests, 76 in a hundred are allowed at 10 policies, 78 at 100, 73 at 1,000, 72 at 10,000; the
//! forbid denies 3. One to five policies are satisfied by all that is allowed at 10, by 77 in a hundred at
//! 100 and by 88 at 1,000 and more; the rest satisfies six to ten.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Links, Random, Workload, distinct, entity, request, second, uid};

const ACTIONS: [&str; 4] = ["view", "edit", "comment", "delete"];
const SCOPE: &str = "action in [Action::\"view\", Action::\"edit\"]";
const CONDITION: &str = "context.mfa && resource.level <= principal.clearance";
/// Roles under one role, folders in one folder.
const WITHIN: usize = 4;

/// Role and folder of each bundle, and how many grants it has.
struct Bundle {
    role: usize,
    folder: usize,
    grants: usize,
}

/// The declarations of the same, for the shape that has a schema.
const SCHEMA: &str = r#"
entity Role in [Role];
entity User in [Role] = {clearance: Long};
entity Folder in [Folder];
entity Doc in [Folder] = {level: Long};
action view, edit, comment, "delete" appliesTo {
    principal: User,
    resource: Doc,
    context: {mfa: Bool, at: Long, blocked?: Bool},
};
"#;

/// The workload with a schema, which declares the actions.
pub(crate) fn build_declared(size: usize, requests: usize) -> Workload {
    let mut workload = build(size, requests, false);
    let is_action = |entity: &Value| entity["uid"]["type"] == "Action";
    workload.entities.retain(|entity| !is_action(entity));
    workload.schema = Some(SCHEMA.to_owned());
    workload
}

pub(crate) fn build(size: usize, requests: usize, links: bool) -> Workload {
    sized(size, None, requests, links)
}

/// The workload with about so many entities: users and documents make up the number.
pub(crate) fn sized(
    size: usize,
    entities: Option<usize>,
    requests: usize,
    as_links: bool,
) -> Workload {
    let mut random = Random::new();
    let roles = (size / 10).max(10);
    let folders = (size / 5).max(20);
    let structure =
        ACTIONS.len() + roles + roles.div_ceil(WITHIN) + folders + folders.div_ceil(WITHIN);
    let each = entities.map_or(1_000, |count| count.saturating_sub(structure) / 2);
    let (users, documents) = (roles.max(each), folders.max(each));

    let bundles = bundles(size, roles, folders);
    let (policies, links) = policies(&bundles, as_links);

    let mut entities: Vec<Value> = ACTIONS
        .iter()
        .map(|action| entity("Action", action, json!({}), vec![]))
        .collect();
    for role in 0..roles.div_ceil(WITHIN) {
        entities.push(entity("Role", &format!("R{role}"), json!({}), vec![]));
    }
    for role in 0..roles {
        let above = uid("Role", &format!("R{}", role / WITHIN));
        entities.push(entity("Role", &format!("r{role}"), json!({}), vec![above]));
    }
    for folder in 0..folders.div_ceil(WITHIN) {
        entities.push(entity("Folder", &format!("F{folder}"), json!({}), vec![]));
    }
    for folder in 0..folders {
        let around = uid("Folder", &format!("F{}", folder / WITHIN));
        entities.push(entity(
            "Folder",
            &format!("f{folder}"),
            json!({}),
            vec![around],
        ));
    }
    let mut holders = vec![Vec::new(); roles];
    for user in 0..users {
        let (first, second) = (user % roles, random.below(roles));
        let mut parents = vec![uid("Role", &format!("r{first}"))];
        holders[first].push(user);
        if user % 2 == 0 && second != first {
            parents.push(uid("Role", &format!("r{second}")));
        }
        let attrs = json!({"clearance": 4 + user % 5});
        entities.push(entity("User", &format!("u{user}"), attrs, parents));
    }
    let mut content = vec![Vec::new(); folders];
    for document in 0..documents {
        let folder = document % folders;
        content[folder].push(document);
        let attrs = json!({"level": (document / folders + document) % 6});
        let parents = vec![uid("Folder", &format!("f{folder}"))];
        entities.push(entity("Doc", &format!("d{document}"), attrs, parents));
    }

    let requests = distinct(requests, || {
        let (user, action, document) = if random.percent(80) {
            let bundle = &bundles[random.below(bundles.len())];
            let user = random.pick(&holders[bundle.role]);
            (
                user,
                random.pick(&ACTIONS[..2]),
                random.pick(&content[bundle.folder]),
            )
        } else {
            (
                random.below(users),
                random.pick(&ACTIONS),
                random.below(documents),
            )
        };
        let mut context = json!({"mfa": !random.percent(5), "at": second(&mut random)});
        if random.percent(10) {
            context["blocked"] = json!(random.percent(30));
        }
        request(
            uid("User", &format!("u{user}")),
            action,
            uid("Doc", &format!("d{document}")),
            context,
        )
    });
    Workload {
        policies,
        links,
        schema: None,
        entities,
        requests,
    }
}

fn bundles(size: usize, roles: usize, folders: usize) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    let mut left = size;
    while left > 0 {
        let n = bundles.len();
        let grants = (1 + n % 4).min(left);
        left -= grants;
        bundles.push(Bundle {
            role: n % roles,
            folder: (n * 7 + n / roles) % folders,
            grants,
        });
    }
    bundles
}

fn policies(bundles: &[Bundle], as_links: bool) -> (String, String) {
    let mut text = String::from(
        "@id(\"blocked\") forbid(principal, action, resource) when { context has blocked && context.blocked };\n",
    );
    if as_links {
        let _ = writeln!(
            text,
            "@id(\"grant\") permit(principal in ?principal, {SCOPE}, resource in ?resource) when {{ {CONDITION} }};"
        );
    }
    let mut links = Links::default();
    let mut count = 0;
    for bundle in bundles {
        for grant in 0..bundle.grants {
            let role = match grant {
                0 | 1 => format!("r{}", bundle.role),
                _ => format!("R{}", bundle.role / WITHIN),
            };
            let folder = match grant {
                0 | 2 => format!("f{}", bundle.folder),
                _ => format!("F{}", bundle.folder / WITHIN),
            };
            if as_links {
                links.add("grant", ("Role", &role), ("Folder", &folder));
            } else {
                let _ = writeln!(
                    text,
                    "@id(\"p{count}\") permit(principal in Role::\"{role}\", {SCOPE}, resource in Folder::\"{folder}\") when {{ {CONDITION} }};"
                );
            }
            count += 1;
        }
    }
    (text, links.text())
}
