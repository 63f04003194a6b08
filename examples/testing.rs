//! A service that asks through the trait `Authorize`, and its tests, which need no policies:
//! `cargo run --example testing`.

use std::cell::Cell;
use std::error::Error;

use deodar::{Authorize, FixedPdp, Request, RequestError};

/// Deletes a document if `user` may, and logs the access where the policies oblige it to.
fn delete(
    pdp: &impl Authorize,
    user: &str,
    document: &str,
    log: &dyn Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let request = Request::builder()
        .principal(("User", user))
        .action(("Action", "delete"))
        .resource(("Document", document))
        .build()?;
    let answer = pdp.authorize(&request)?;
    // An error unless it is an Allow all of whose obligations are named here.
    answer.require(&["log_access"])?;
    if answer.obligations().any(|duty| duty.name() == "log_access") {
        log(&format!("{user} deletes {document}"));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let logged = Cell::new(0);
    let log = |_: &str| logged.set(logged.get() + 1);

    // What the service does when it is allowed, denied, or asked for something that it cannot do.
    assert!(delete(&FixedPdp::allow(), "ada", "plan", &log).is_ok());
    assert!(delete(&FixedPdp::deny(), "ada", "plan", &log).is_err());
    let logging = FixedPdp::allow_with(&["log_access"])?;
    assert!(delete(&logging, "ada", "plan", &log).is_ok() && logged.get() == 1);
    let approval = FixedPdp::allow_with(&["second_signature"])?;
    assert!(delete(&approval, "ada", "plan", &log).is_err());

    // A closure answers by the request.
    let (allow, deny) = (FixedPdp::allow(), FixedPdp::deny());
    let only_ada = |request: &Request| match request.principal().id() {
        "ada" => allow.authorize(request),
        _ => deny.authorize(request),
    };
    assert!(delete(&only_ada, "ada", "plan", &log).is_ok());
    assert!(delete(&only_ada, "bo", "plan", &log).is_err());

    // A decision point that cannot be reached allows nothing.
    let down = |_: &Request| Err(RequestError::Unavailable("connection refused".to_owned()));
    assert!(delete(&down, "ada", "plan", &log).is_err());
    println!("the service does what it is told");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
