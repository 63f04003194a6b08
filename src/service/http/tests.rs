//! What the guard lets through, route by route.

mod privileges;
mod recorder;
mod requests;
mod signals;
mod ssf;
mod tokens;
mod trust;
