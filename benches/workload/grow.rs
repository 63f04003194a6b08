//! Ten policies with a schema, and one thing of a request that grows: the members of its context, the groups of its
//! principal, or the levels above these groups.
//!
//! A thousand users belong to twenty teams, whose members have the same groups; no policy reads the further members
//! of the context. Of 10,000 requests, half are allowed.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Random, Workload, distinct, entity, request, second, uid};

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Context,
    Groups,
    Depth,
}

const POLICIES: usize = 10;
const TEAMS: usize = 20;
const USERS: usize = 1_000;
const DOCUMENTS: usize = 1_000;

pub(crate) fn build(what: What, size: usize, requests: usize) -> Workload {
    let mut random = Random::new();
    let of = |wanted, otherwise| if what == wanted { size } else { otherwise };
    let (members, groups, depth) = (
        of(What::Context, 2),
        of(What::Groups, 1),
        of(What::Depth, 1),
    );

    let mut policies = String::new();
    for n in 0..POLICIES {
        let _ = writeln!(
            policies,
            "@id(\"p{n}\") permit(principal in Role::\"r{n}\", action == Action::\"view\", resource) when \
             {{ context.mfa && resource.level <= principal.clearance }};"
        );
    }
    let mut declared = String::new();
    for n in 2..members {
        let _ = write!(declared, ", m{n}?: String");
    }
    let schema = format!(
        "entity Role in [Role]; entity User in [Role] = {{clearance: Long}}; entity Doc = {{level: Long}};\n\
         action view, edit appliesTo {{ principal: User, resource: Doc, context: {{mfa: Bool, at: Long{declared}}} }};"
    );

    // Each team has a role of its own at the top of the chain, and further groups.
    let mut entities = Vec::new();
    for team in 0..TEAMS {
        let role = format!("r{}", team % POLICIES);
        for level in 0..depth {
            let above = match level {
                0 => vec![uid("Role", &role)],
                _ => vec![uid("Role", &format!("t{team}-{}", level - 1))],
            };
            entities.push(entity(
                "Role",
                &format!("t{team}-{level}"),
                json!({}),
                above,
            ));
        }
        for group in 1..groups {
            entities.push(entity(
                "Role",
                &format!("g{team}-{group}"),
                json!({}),
                vec![],
            ));
        }
    }
    for n in 0..POLICIES {
        entities.push(entity("Role", &format!("r{n}"), json!({}), vec![]));
    }
    for user in 0..USERS {
        let team = user % TEAMS;
        let mut parents = vec![uid("Role", &format!("t{team}-{}", depth - 1))];
        parents.extend((1..groups).map(|group| uid("Role", &format!("g{team}-{group}"))));
        let attrs = json!({"clearance": 2 + user / TEAMS % 5});
        entities.push(entity("User", &format!("u{user}"), attrs, parents));
    }
    for document in 0..DOCUMENTS {
        let attrs = json!({"level": document % 6});
        entities.push(entity("Doc", &format!("d{document}"), attrs, vec![]));
    }

    let requests = distinct(requests, || {
        let mut context = Map::new();
        context.insert("mfa".to_owned(), (!random.percent(20)).into());
        context.insert("at".to_owned(), second(&mut random).into());
        for n in 2..members {
            let text = format!("value {}", random.below(1_000_000));
            context.insert(format!("m{n}"), text.into());
        }
        request(
            uid("User", &format!("u{}", random.below(USERS))),
            if random.percent(85) { "view" } else { "edit" },
            uid("Doc", &format!("d{}", random.below(DOCUMENTS))),
            Value::Object(context),
        )
    });
    Workload {
        policies,
        links: "[]".to_owned(),
        schema: Some(schema),
        entities,
        requests,
    }
}
