//! Entity types: whether the schema that decides knows the type of a subject.
//!
//! What is said of a subject whose type is misspelt would never be asked for, so it is refused where there is
//! a schema to tell.

use crate::base::entity_ref::EntityRef;
use crate::base::json::{InputFault, shown};
use crate::base::nearest::nearest_type;
use crate::service::http::app::App;
use crate::service::http::problem::Problem;

/// What is wrong with the type of a subject; `None` where it is known, or where there is no schema.
pub(crate) fn unknown_type(app: &App, user: &EntityRef) -> Option<String> {
    let state = app.pdp()?.state();
    let model = &state.snapshot().schema_set()?.model;
    let name = user.type_name();
    if model.has_entity_type(name) {
        return None;
    }
    let near = nearest_type(name, model.entity_types());
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "give the type of an entity that the schema declares".to_owned(),
    };
    let name = shown(name);
    Some(format!("the schema has no entity type `{name}`; {hint}"))
}

/// Refuses a subject of a body, which stands at `pointer`, when its type is not known.
pub(super) fn check(app: &App, user: Option<&EntityRef>, pointer: &str) -> Result<(), Problem> {
    match user.and_then(|user| unknown_type(app, user)) {
        Some(detail) => Err(super::fields::problem(vec![InputFault::new(
            pointer, detail,
        )])),
        None => Ok(()),
    }
}
