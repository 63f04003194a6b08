//! The task lists of "Cedar: A New Language for Expressive, Fast, Safe, and Analyzable Authorization"
//! (OOPSLA 2024), generated anew from the paper's description.
//!
//! A list has an owner, a team of readers and a team of editors; users and teams are in these teams.
//! The templates say a reader or an editor as one link.
//!
//! At 50 of each kind there are 346 links, and 57 in a hundred requests are allowed, by one to three
//! policies.

use serde_json::{Value, json};

use super::gdrive::weighted;
use super::{Links, Random, Workload, distinct, entity, reference, request, second, uid};

const SCHEMA: &str = r#"
entity Application;
entity Team in [Team];
entity User in [Team];
entity List in [Application] { owner: User, readers: Team, editors: Team };
action createList, getLists appliesTo {
  principal: User, resource: Application, context: { at: Long },
};
action getList, updateList, deleteList, createTask, updateTask, deleteTask, editShares appliesTo {
  principal: User, resource: List, context: { at: Long },
};
"#;

const POLICIES: &str = r#"
@id("anyone") permit(principal, action in [Action::"createList", Action::"getLists"], resource == Application::"todo");
@id("owner") permit(principal, action, resource is List)
when { resource.owner == principal };
@id("admins") permit(principal in Team::"admins", action, resource in Application::"todo");
@id("interns") forbid(principal in Team::"interns", action == Action::"createList", resource == Application::"todo");
"#;

const BY_TEAM: &str = r#"
@id("read") permit(principal, action == Action::"getList", resource is List)
when { principal in resource.readers || principal in resource.editors };
@id("edit") permit(
  principal,
  action in [Action::"updateList", Action::"createTask", Action::"updateTask", Action::"deleteTask"],
  resource is List
)
when { principal in resource.editors };
"#;

const TEMPLATES: &str = r#"
@id("reader") permit(principal in ?principal, action == Action::"getList", resource == ?resource);
@id("editor") permit(
  principal in ?principal,
  action in [
    Action::"getList", Action::"updateList", Action::"createTask", Action::"updateTask", Action::"deleteTask"
  ],
  resource == ?resource
);
"#;

const ACTIONS: [(&str, usize); 9] = [
    ("getList", 45),
    ("updateTask", 15),
    ("createTask", 10),
    ("deleteTask", 5),
    ("updateList", 5),
    ("deleteList", 5),
    ("editShares", 5),
    ("getLists", 5),
    ("createList", 5),
];

pub(crate) fn build(size: usize, requests: usize, templates: bool) -> Workload {
    let mut random = Random::new();
    let size = size.max(2);
    let mut entities = Vec::new();
    let mut links = Links::default();

    let mut users = vec![Vec::new(); size];
    let mut teams = vec![Vec::new(); size];
    for (user, parents) in users.iter_mut().enumerate() {
        for team in random.some(size, 1, 3) {
            parents.push(uid("Team", &format!("t{team}")));
        }
        if user % 20 == 1 {
            parents.push(uid("Team", "admins"));
        }
        if user % 10 == 7 {
            parents.push(uid("Team", "interns"));
        }
    }
    for (team, parents) in teams.iter_mut().enumerate() {
        // Only in teams of smaller numbers: no circle.
        if team > 0 && random.percent(50) {
            parents.push(uid("Team", &format!("t{}", random.below(team))));
        }
    }
    let mut lists = Vec::with_capacity(size);
    let mut owners = Vec::with_capacity(size);
    for list in 0..size {
        let id = format!("l{list}");
        for (role, plural) in [("reader", "readers"), ("editor", "editors")] {
            let of = uid("Team", &format!("{id}-{plural}"));
            for user in random.some(size, 1, 3) {
                users[user].push(of.clone());
                links.add(role, ("User", &format!("u{user}")), ("List", &id));
            }
            for team in random.some(size, 1, 2) {
                teams[team].push(of.clone());
                links.add(role, ("Team", &format!("t{team}")), ("List", &id));
            }
            if !templates {
                let id = format!("{id}-{plural}");
                entities.push(entity("Team", &id, json!({}), vec![]));
            }
        }
        let owner = random.below(size);
        owners.push(owner);
        let mut attrs = json!({"owner": reference("User", &format!("u{owner}"))});
        if !templates {
            attrs["readers"] = reference("Team", &format!("{id}-readers"));
            attrs["editors"] = reference("Team", &format!("{id}-editors"));
        }
        let within = vec![uid("Application", "todo")];
        lists.push(entity("List", &id, attrs, within));
    }
    entities.push(entity("Application", "todo", json!({}), vec![]));
    for team in ["admins", "interns"] {
        entities.push(entity("Team", team, json!({}), vec![]));
    }
    let kept = |parents: Vec<Value>| -> Vec<Value> {
        let of_a_list = |parent: &Value| parent["id"].as_str().is_some_and(|id| id.contains('-'));
        parents
            .into_iter()
            .filter(|parent| !templates || !of_a_list(parent))
            .collect()
    };
    for (user, parents) in users.into_iter().enumerate() {
        entities.push(entity(
            "User",
            &format!("u{user}"),
            json!({}),
            kept(parents),
        ));
    }
    for (team, parents) in teams.into_iter().enumerate() {
        entities.push(entity(
            "Team",
            &format!("t{team}"),
            json!({}),
            kept(parents),
        ));
    }
    entities.append(&mut lists);

    let requests = distinct(requests, || {
        let action = weighted(&mut random, &ACTIONS);
        let list = random.below(size);
        // Two in five ask for a list of their own.
        let user = if random.percent(40) {
            owners[list]
        } else {
            random.below(size)
        };
        let resource = match action {
            "getLists" | "createList" => uid("Application", "todo"),
            _ => uid("List", &format!("l{list}")),
        };
        request(
            uid("User", &format!("u{user}")),
            action,
            resource,
            json!({"at": second(&mut random)}),
        )
    });
    let schema = if templates {
        SCHEMA.replace(", readers: Team, editors: Team", "")
    } else {
        SCHEMA.to_owned()
    };
    Workload {
        policies: format!("{POLICIES}{}", if templates { TEMPLATES } else { BY_TEAM }),
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
