//! What is fuzzed: every reader of outside bytes. Each target takes any bytes and must return.

mod cases;
mod cedar;
mod differential;
mod random;

pub use cases::{Counts, Found, run_set};
pub use differential::differential;

use deodar::{Caller, Limits, Pdp, Request};

/// The body of `POST /authorize`: read, and decided where it is a request.
pub fn request(bytes: &[u8]) {
    thread_local! {
        static PDP: Pdp = sample();
    }
    let Ok(request) = Request::from_json(bytes, &Limits::default(), Caller::library()) else {
        return;
    };
    PDP.with(|pdp| {
        if let Ok(outcome) = pdp.authorize(&request) {
            assert_eq!(
                outcome.is_allow(),
                outcome.cause() == deodar::Cause::Permitted
            );
        }
    });
}

/// Policy text, and the same text as schema.
pub fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = Pdp::builder().policies_text("p.cedar", text).build();
    let _ = Pdp::builder()
        .policies_text("p.cedar", "permit(principal, action, resource);")
        .schema_text("s.cedarschema", text)
        .build();
}

/// Entity files, as an array and by lines, and links files.
pub fn entities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let policy = "@id(\"t\") permit(principal == ?principal, action, resource);";
    for name in ["e.json", "e.ndjson"] {
        let _ = Pdp::builder()
            .policies_text("p.cedar", policy)
            .entities_text(name, text)
            .build();
    }
    let _ = Pdp::builder()
        .policies_text("p.cedar", policy)
        .links_text("l.links.json", text)
        .build();
}

fn sample() -> Pdp {
    Pdp::builder()
        .policies_text(
            "p.cedar",
            "permit(principal, action, resource) when { context.mfa && principal.age > 1 };
             forbid(principal, action, resource) when { context has ip && context.ip.isLoopback() };",
        )
        .schema_text(
            "s.cedarschema",
            "entity Group; entity User in [Group] = {age: Long, boss?: User}; entity Doc;
             action read appliesTo {principal: User, resource: Doc,
               context: {mfa: Bool, ip?: ipaddr, env: Deodar::Env}};",
        )
        .build()
        .expect("the sample is valid")
}
