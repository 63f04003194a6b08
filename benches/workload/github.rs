//! The code host of "Cedar: A New Language for Expressive, Fast, Safe, and Analyzable Authorization"
//! (OOPSLA 2024), generated anew from the paper's description.
//!
//! A repository has five roles, each within the one below; an organization has three for all its
//! repositories. Users and teams hold roles, teams are in teams. The templates say a role of a
//! repository as one link.
//!
//! At 50 of each kind there are 190 links, and 52 in a hundred requests are allowed, by one or two
//! policies, or by one to four links.

use serde_json::{Value, json};

use super::gdrive::weighted;
use super::{Links, Random, Workload, distinct, entity, reference, request, second, uid};

const SCHEMA: &str = r#"
entity RepoRole in [RepoRole];
entity OrgRole in [OrgRole];
entity Organization { readers: OrgRole, writers: OrgRole, admins: OrgRole };
entity Team in [Team, RepoRole];
entity User in [Team, RepoRole, OrgRole];
entity Repository {
  owner: Organization,
  readers: RepoRole, triagers: RepoRole, writers: RepoRole, maintainers: RepoRole, admins: RepoRole,
};
action pull, triage, push, maintain, administer appliesTo {
  principal: User, resource: Repository, context: { at: Long },
};
"#;

const POLICIES: &str = r#"
@id("org-pull") permit(principal, action == Action::"pull", resource)
when { principal in resource.owner.readers };
@id("org-push") permit(principal, action in [Action::"triage", Action::"push"], resource)
when { principal in resource.owner.writers };
@id("org-administer") permit(principal, action in [Action::"maintain", Action::"administer"], resource)
when { principal in resource.owner.admins };
"#;

const BY_ROLE: &str = r#"
@id("pull") permit(principal, action == Action::"pull", resource)
when { principal in resource.readers };
@id("triage") permit(principal, action == Action::"triage", resource)
when { principal in resource.triagers };
@id("push") permit(principal, action == Action::"push", resource)
when { principal in resource.writers };
@id("maintain") permit(principal, action == Action::"maintain", resource)
when { principal in resource.maintainers };
@id("administer") permit(principal, action == Action::"administer", resource)
when { principal in resource.admins };
"#;

const TEMPLATES: &str = r#"
@id("readers") permit(principal in ?principal, action == Action::"pull", resource == ?resource);
@id("triagers") permit(principal in ?principal, action in [Action::"pull", Action::"triage"], resource == ?resource);
@id("writers") permit(principal in ?principal, action in [Action::"pull", Action::"triage", Action::"push"], resource == ?resource);
@id("maintainers") permit(
  principal in ?principal,
  action in [Action::"pull", Action::"triage", Action::"push", Action::"maintain"],
  resource == ?resource
);
@id("admins") permit(
  principal in ?principal,
  action in [Action::"pull", Action::"triage", Action::"push", Action::"maintain", Action::"administer"],
  resource == ?resource
);
"#;

/// From the weakest to the strongest; each is within the one before.
const ROLES: [&str; 5] = ["readers", "triagers", "writers", "maintainers", "admins"];
const ORG_ROLES: [&str; 3] = ["readers", "writers", "admins"];
const ACTIONS: [(&str, usize); 5] = [
    ("pull", 50),
    ("triage", 15),
    ("push", 20),
    ("maintain", 10),
    ("administer", 5),
];

pub(crate) fn build(size: usize, requests: usize, templates: bool) -> Workload {
    let mut random = Random::new();
    let size = size.max(2);
    let mut entities = Vec::new();
    let mut links = Links::default();

    let role_id = |of: &str, role: &str| format!("{of}-{role}");
    let chain = |type_name: &str, of: &str, roles: &[&str], entities: &mut Vec<Value>| {
        let mut below = Vec::new();
        let mut attrs = json!({});
        for role in roles {
            let id = role_id(of, role);
            entities.push(entity(type_name, &id, json!({}), below));
            attrs[role] = reference(type_name, &id);
            below = vec![uid(type_name, &id)];
        }
        attrs
    };
    for org in 0..size {
        let id = format!("o{org}");
        let attrs = chain("OrgRole", &id, &ORG_ROLES, &mut entities);
        entities.push(entity("Organization", &id, attrs, vec![]));
    }
    for repo in 0..size {
        let id = format!("p{repo}");
        let mut attrs = chain("RepoRole", &id, &ROLES, &mut entities);
        if templates {
            // The roles stand in the links.
            attrs = json!({});
        }
        attrs["owner"] = reference("Organization", &format!("o{}", random.below(size)));
        entities.push(entity("Repository", &id, attrs, vec![]));
    }
    let mut assign = |random: &mut Random, holder: (&str, &str), known: &mut Vec<usize>| {
        let mut parents = Vec::new();
        for repo in random.some(size, 1, 3) {
            let id = format!("p{repo}");
            let role = random.pick(&ROLES);
            parents.push(uid("RepoRole", &role_id(&id, role)));
            links.add(role, holder, ("Repository", &id));
            known.push(repo);
        }
        parents
    };
    let mut of_teams = vec![Vec::new(); size];
    for (team, known) in of_teams.iter_mut().enumerate() {
        let id = format!("t{team}");
        let mut parents = assign(&mut random, ("Team", &id), known);
        // Only in teams of smaller numbers: no circle.
        if team > 0 && random.percent(50) {
            parents.push(uid("Team", &format!("t{}", random.below(team))));
        }
        entities.push(entity("Team", &id, json!({}), parents));
    }
    let mut of_users = vec![Vec::new(); size];
    for (user, known) in of_users.iter_mut().enumerate() {
        let id = format!("u{user}");
        let mut parents = assign(&mut random, ("User", &id), known);
        for team in random.some(size, 1, 3) {
            known.extend(&of_teams[team]);
            parents.push(uid("Team", &format!("t{team}")));
        }
        for org in random.some(size, 1, 2) {
            let role = random.pick(&ORG_ROLES);
            parents.push(uid("OrgRole", &role_id(&format!("o{org}"), role)));
        }
        entities.push(entity("User", &id, json!({}), parents));
    }
    let schema = if templates {
        entities.retain(|entity| entity["uid"]["type"] != "RepoRole");
        for entity in &mut entities {
            if let Some(parents) = entity["parents"].as_array_mut() {
                parents.retain(|parent| parent["type"] != "RepoRole");
            }
        }
        SCHEMA.replace(
            "  readers: RepoRole, triagers: RepoRole, writers: RepoRole, maintainers: RepoRole, admins: RepoRole,\n",
            "",
        )
    } else {
        SCHEMA.to_owned()
    };

    let requests = distinct(requests, || {
        let user = random.below(size);
        // Three in five ask for a repository that the user or one of its teams has a role of.
        let repo = if random.percent(60) {
            random.pick(&of_users[user])
        } else {
            random.below(size)
        };
        request(
            uid("User", &format!("u{user}")),
            weighted(&mut random, &ACTIONS),
            uid("Repository", &format!("p{repo}")),
            json!({"at": second(&mut random)}),
        )
    });
    Workload {
        policies: format!("{POLICIES}{}", if templates { TEMPLATES } else { BY_ROLE }),
        links: if templates {
            links.text()
        } else {
            "[]".to_owned()
        },
        schema: Some(schema),
        entities,
        requests,
    }
}
