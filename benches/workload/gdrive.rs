//! The document drive of "Cedar: A New Language for Expressive, Fast, Safe, and Analyzable
//! Authorization" (OOPSLA 2024), generated anew from the paper's description.
//!
//! Users are in groups, documents and folders in folders. What is shared with a user or a group is on
//! its shelf; a group's shelf is on the shelf of each member. The templates say a share as one link.
//!
//! At 50 of each kind there are 299 links, and 54 in a hundred requests are allowed, by one to three
//! policies.

use serde_json::{Value, json};

use super::{Links, Random, Workload, distinct, entity, reference, request, second, uid};

const SCHEMA: &str = r#"
entity Group;
entity Shelf in [Shelf];
entity User in [Group] { shelf: Shelf, folders: Set<Folder> };
entity Folder in [Folder, Shelf] { owner: User };
entity Document in [Folder, Shelf] { owner: User, isPublic: Bool };
action read, write, share, changeOwner appliesTo {
  principal: User, resource: Document, context: { at: Long },
};
action createDocument appliesTo {
  principal: User, resource: Folder, context: { at: Long },
};
"#;

const POLICIES: &str = r#"
@id("owner")
permit(principal, action in [Action::"read", Action::"write", Action::"share", Action::"changeOwner"], resource is Document)
when { resource.owner == principal };
@id("folder-owner")
permit(principal, action == Action::"createDocument", resource is Folder)
when { resource.owner == principal };
@id("own-folder")
permit(principal, action in [Action::"read", Action::"write"], resource is Document)
when { resource in principal.folders };
@id("public")
permit(principal, action == Action::"read", resource is Document)
when { resource.isPublic };
"#;

const SHARED: &str = r#"
@id("shared")
permit(principal, action == Action::"read", resource is Document)
when { resource in principal.shelf };
"#;

const TEMPLATE: &str = r#"
@id("share")
permit(principal in ?principal, action == Action::"read", resource in ?resource);
"#;

const ACTIONS: [(&str, usize); 5] = [
    ("read", 60),
    ("write", 15),
    ("share", 10),
    ("changeOwner", 5),
    ("createDocument", 10),
];

pub(crate) fn build(size: usize, requests: usize, templates: bool) -> Workload {
    let mut random = Random::new();
    let size = size.max(2);
    let mut entities = Vec::new();
    let mut links = Links::default();

    let mut members = vec![Vec::new(); size];
    let mut groups = Vec::with_capacity(size);
    for user in 0..size {
        let of = random.some(size, 1, 3);
        for group in &of {
            members[*group].push(user);
        }
        groups.push(of);
    }
    let folder_owners: Vec<usize> = (0..size).map(|_| random.below(size)).collect();

    for (group, members) in members.iter().enumerate() {
        entities.push(entity("Group", &format!("g{group}"), json!({}), vec![]));
        let shelves = members
            .iter()
            .map(|user| uid("Shelf", &format!("u{user}")))
            .collect();
        entities.push(entity("Shelf", &format!("g{group}"), json!({}), shelves));
    }
    for (user, groups) in groups.iter().enumerate() {
        let id = format!("u{user}");
        let folders: Vec<Value> = (0..size)
            .filter(|folder| folder_owners[*folder] == user)
            .map(|folder| reference("Folder", &format!("o{folder}")))
            .collect();
        let attrs = json!({"shelf": reference("Shelf", &id), "folders": folders});
        let parents = groups
            .iter()
            .map(|group| uid("Group", &format!("g{group}")))
            .collect();
        entities.push(entity("User", &id, attrs, parents));
        entities.push(entity("Shelf", &id, json!({}), vec![]));
    }

    let mut shared = |random: &mut Random, resource: (&str, &str), parents: &mut Vec<Value>| {
        for user in random.some(size, 1, 3) {
            let id = format!("u{user}");
            parents.push(uid("Shelf", &id));
            links.add("share", ("User", &id), resource);
        }
        for group in random.some(size, 0, 2) {
            let id = format!("g{group}");
            parents.push(uid("Shelf", &id));
            links.add("share", ("Group", &id), resource);
        }
    };
    for (folder, owner) in folder_owners.iter().enumerate() {
        let id = format!("o{folder}");
        let mut parents = Vec::new();
        // Only in folders of smaller numbers: no circle.
        if folder > 0 && random.percent(60) {
            parents.push(uid("Folder", &format!("o{}", random.below(folder))));
        }
        shared(&mut random, ("Folder", &id), &mut parents);
        let owner = reference("User", &format!("u{owner}"));
        entities.push(entity("Folder", &id, json!({"owner": owner}), parents));
    }
    let mut owners = Vec::with_capacity(size);
    for document in 0..size {
        let id = format!("d{document}");
        let mut parents: Vec<Value> = random
            .some(size, 0, 2)
            .into_iter()
            .map(|folder| uid("Folder", &format!("o{folder}")))
            .collect();
        shared(&mut random, ("Document", &id), &mut parents);
        let owner = random.below(size);
        owners.push(owner);
        let owner = reference("User", &format!("u{owner}"));
        let attrs = json!({"owner": owner, "isPublic": random.percent(20)});
        entities.push(entity("Document", &id, attrs, parents));
    }
    if templates {
        for entity in &mut entities {
            if let Some(parents) = entity["parents"].as_array_mut() {
                parents.retain(|parent| parent["type"] != "Shelf");
            }
        }
    }

    let requests = distinct(requests, || {
        let action = weighted(&mut random, &ACTIONS);
        let place = random.below(size);
        let (resource, owner) = if action == "createDocument" {
            (uid("Folder", &format!("o{place}")), folder_owners[place])
        } else {
            (uid("Document", &format!("d{place}")), owners[place])
        };
        // Two in five ask for what they own.
        let user = if random.percent(40) {
            owner
        } else {
            random.below(size)
        };
        request(
            uid("User", &format!("u{user}")),
            action,
            resource,
            json!({"at": second(&mut random)}),
        )
    });
    Workload {
        policies: format!("{POLICIES}{}", if templates { TEMPLATE } else { SHARED }),
        links: if templates {
            links.text()
        } else {
            "[]".to_owned()
        },
        schema: Some(SCHEMA.to_owned()),
        entities,
        requests,
    }
}

/// One of the names, each so many times of a hundred.
pub(super) fn weighted(random: &mut Random, shares: &[(&'static str, usize)]) -> &'static str {
    let mut drawn = random.below(100);
    for (name, share) in shares {
        if drawn < *share {
            return name;
        }
        drawn -= share;
    }
    shares[0].0
}
