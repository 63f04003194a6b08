//! Policies that change while a program runs: `cargo run --example reload`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use deodar::{Pdp, Request, StateChange, WatchMode};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("deodar-reload-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let done = run(&directory);
    fs::remove_dir_all(&directory)?;
    done
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    replace(
        directory,
        r#"@id("all") permit (principal, action, resource);"#,
    )?;
    let pdp = Pdp::builder()
        .policies(directory)
        .watch(
            WatchMode::Auto,
            Duration::from_millis(50),
            Duration::from_secs(1),
        )
        .build()?;
    let request = Request::builder()
        .principal(("User", "ada"))
        .action(("Action", "read"))
        .resource(("Document", "plan"))
        .build()?;
    println!("before: {}", pdp.authorize(&request)?.decision());

    let changes = pdp.subscribe();
    replace(
        directory,
        r#"@id("all") permit (principal, action, resource);
           @id("frozen") forbid (principal, action, resource == Document::"plan");"#,
    )?;
    // A change that does not parse or validate is told as `Rejected`, and the last good policies go on deciding.
    match changes.next_within(Duration::from_secs(30))? {
        StateChange::Published { sequence, .. } => println!("published: sequence {sequence}"),
        other => println!("not published: {other:?}"),
    }
    println!("after: {}", pdp.authorize(&request)?.decision());
    Ok(())
}

/// Writes a file by renaming it into place, so that nobody reads half of it.
fn replace(directory: &Path, text: &str) -> std::io::Result<()> {
    let new = directory.join(".policies.cedar.new");
    fs::write(&new, text)?;
    fs::rename(new, directory.join("policies.cedar"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
