//! Tests of the model as a whole.

mod configs;
mod degrade;
mod draw;
mod factors;
mod flaws;
mod golden;
mod levels;
mod properties;
mod requirements;
mod support;
