//! Random sets of policies and entities, and requests to them: a seed is a set, a seed and a number a request.

use serde_json::{Value, json};

use crate::cedar::{self, Cedar};
use crate::differential::{Answer, Document, Texts};

#[path = "../../src/pdp/evaluate/tests/generate.rs"]
#[allow(dead_code)]
mod generate;

use generate::Gen;

/// One expression in this many is of a type that nobody asked for.
const WILD: u64 = 10;

/// The policies, links and entities of a seed, without the policies that Cedar cannot parse.
pub(crate) struct Set {
    seed: u64,
    policies: String,
    links: Vec<Value>,
    /// Those that are stored, and some that come with requests alone.
    entities: Vec<Value>,
    /// Policies that were left out.
    pub(crate) unreadable: u64,
    cedar: Cedar,
}

impl Set {
    pub(crate) fn new(seed: u64) -> Self {
        let mut g = Gen::new(seed, WILD);
        g.open = g.one_in(3);
        let count = g.pick(&[1, 2, 5, 12, 40]);
        let depth = g.pick(&[1, 2, 3]);
        let mut cedar = Cedar::default();
        let (mut policies, mut links, mut unreadable) = (String::new(), Vec::new(), 0);
        for n in 0..count {
            let template = g.one_in(4);
            let text = g.policy(template, depth);
            let linked = if template {
                links_to(&mut g, n, &text)
            } else {
                Vec::new()
            };
            let id = format!("p{n}");
            // One policy that Cedar cannot parse would cost the whole set.
            if cedar.take(&id, &text, &linked) {
                policies.push_str(&format!("@id(\"{id}\") {text}\n"));
                links.extend(linked);
            } else {
                unreadable += 1;
            }
        }
        let entities = g.entities();
        cedar.store(stored(&entities));
        Self {
            seed,
            policies,
            links,
            entities,
            unreadable,
            cedar,
        }
    }

    /// A request to the set; it follows from the set and this number alone.
    pub(crate) fn request(&self, number: u64) -> Ask {
        let mut g = self.g(2 * number);
        let action = g.pick(&["read", "write", "all"]);
        Ask {
            principal: g.uid_text(),
            action: format!("Action::\"{action}\""),
            resource: g.uid_text(),
        }
    }

    /// What is around a request; it follows from the set and the request's number alone.
    pub(crate) fn around(&self, number: u64) -> Around {
        let number = number / SHARED;
        let mut g = self.g(2 * number + 1);
        let context = g.json_record(2);
        let mut entities: Vec<Value> = Vec::new();
        if g.one_in(3) && !self.entities.is_empty() {
            for _ in 0..g.pick(&[1, 1, 2, 4]) {
                entities.extend(self.inline(&mut g, &entities));
            }
        }
        let stored = |uid: &Value| stored(&self.entities).find(|entity| entity["uid"] == *uid);
        Around {
            number,
            cedar: self.cedar.around(&context, &entities, stored),
            has_entities: !entities.is_empty(),
            text: format!(
                "\"context\":{context},\"entities\":{}",
                Value::Array(entities)
            ),
        }
    }

    fn g(&self, number: u64) -> Gen {
        Gen::new(mix(self.seed ^ mix(number)), WILD)
    }

    /// An entity to come with a request that has these already: as it is stored, or with attributes, tags and
    /// parents of another. Actions cannot come.
    fn inline(&self, g: &mut Gen, given: &[Value]) -> Option<Value> {
        let at = g.below(self.entities.len());
        // Parents stand behind their children, so that none of another's from here on closes a cycle.
        let from = if g.one_in(2) {
            at + g.below(self.entities.len() - at)
        } else {
            at
        };
        let (named, like) = (&self.entities[at], &self.entities[from]);
        let is_given = given.iter().any(|given| given["uid"] == named["uid"]);
        if is_given || named["uid"]["type"] == "Action" {
            return None;
        }
        let mut entity = like.clone();
        entity["uid"] = named["uid"].clone();
        Some(entity)
    }

    /// Policies, links and entities as the engines read them.
    pub(crate) fn texts(&self) -> Texts<'_> {
        let text = serde_json::to_string(&stored(&self.entities).collect::<Vec<_>>());
        Texts {
            policies: &self.policies,
            links: Value::from(self.links.clone()).to_string(),
            schema: None,
            entities: text.expect("values have a text"),
        }
    }

    /// What Cedar says to a request.
    pub(crate) fn cedars(&self, ask: &Ask, around: &Around) -> Answer {
        self.cedar.decide(ask, &around.cedar)
    }

    /// The set with these requests, as a seed file holds it.
    pub(crate) fn document(&self, requests: Vec<Value>) -> Document {
        Document {
            policies: self.policies.clone(),
            links: self.links.clone(),
            schema: None,
            entities: stored(&self.entities).cloned().collect(),
            requests,
        }
    }
}

/// Requests that follow each other share what is around them: making and reading that costs more than deciding.
const SHARED: u64 = 4;

/// Who asks for what, in Cedar's syntax.
pub(crate) struct Ask {
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// Context and entities of requests.
pub(crate) struct Around {
    number: u64,
    text: String,
    pub(crate) has_entities: bool,
    cedar: cedar::Around,
}

impl Around {
    /// Whether the request of this number has them.
    pub(crate) fn is_of(&self, number: u64) -> bool {
        self.number == number / SHARED
    }

    /// The body of a request that has them.
    pub(crate) fn body(&self, ask: &Ask) -> String {
        let [principal, action, resource] =
            [&ask.principal, &ask.action, &ask.resource].map(|text| Value::from(text.as_str()));
        format!(
            "{{\"principal\":{principal},\"action\":{action},\"resource\":{resource},{}}}",
            self.text
        )
    }
}

/// The entities that do not come with requests alone.
fn stored(entities: &[Value]) -> impl Iterator<Item = &Value> {
    let entities = entities.iter();
    entities.filter(|entity| entity["uid"]["id"] != "5")
}

fn links_to(g: &mut Gen, n: usize, template: &str) -> Vec<Value> {
    (0..g.below(3))
        .map(|link| {
            let mut args = serde_json::Map::new();
            for slot in ["?principal", "?resource"] {
                if template.contains(slot) {
                    args.insert(slot.to_owned(), g.uid_text().into());
                }
            }
            json!({"template_id": format!("p{n}"), "link_id": format!("p{n}-{link}"), "args": args})
        })
        .collect()
}

/// Spreads numbers that follow each other (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
