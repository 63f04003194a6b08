//! A decision in a few lines, with no features: `cargo run --no-default-features --example decide`.
//!
//! It runs where there are no threads, such as `wasm32-wasip1`.

use std::error::Error;

use deodar::{Pdp, Request};

fn main() -> Result<(), Box<dyn Error>> {
    let pdp = Pdp::builder()
        .policies_text(
            "documents.cedar",
            r#"@id("readers")
               permit (principal in Group::"readers", action == Action::"read", resource)
               when { context.mfa };"#,
        )
        .entities_text(
            "people.json",
            r#"[{"uid": {"type": "User", "id": "ada"}, "attrs": {},
                 "parents": [{"type": "Group", "id": "readers"}]}]"#,
        )
        .build()?;
    for user in ["ada", "bo"] {
        let request = Request::builder()
            .principal(("User", user))
            .action(("Action", "read"))
            .resource(("Document", "plan"))
            .context_member("mfa", true)
            .build()?;
        let outcome = pdp.authorize(&request)?;
        println!("{user}: {} ({})", outcome.decision(), outcome.cause());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
