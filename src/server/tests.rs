//! What the guard lets through, route by route.

mod privileges;
mod requests;
mod tokens;
