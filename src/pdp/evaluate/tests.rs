//! The compiled engine is held to Cedar's answer: random policies, entities and requests.

mod budget;
mod corpus;
mod differential;
mod generate;
mod harness;
mod reading;
mod store;
