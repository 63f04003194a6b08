//! Cedar's own integration tests, where they are at hand: the directory that `CEDAR_CONFORMANCE`
//! names holds them. Without it these tests say so and pass.

use crate::support::{deodar, run};

#[test]
fn hand_written_integration_tests() {
    let Some(directory) = std::env::var_os("CEDAR_CONFORMANCE") else {
        eprintln!("CEDAR_CONFORMANCE is not set: Cedar's integration tests are not run");
        return;
    };
    let ran = run(deodar().arg("test").arg(directory));
    ran.ends(0);
    assert!(
        ran.out.trim_end().ends_with(" passed, 0 failed"),
        "{}",
        ran.out
    );
}
