//! Policies that differ only in their id and the entities of their scope are read once for all; they decide, and
//! are blamed, as if each had been read alone.

use deodar::{BuildError, Pdp, PdpBuilder, Request};

const SCHEMA: &str = r#"
entity Group;
entity User in [Group] = {age: Long};
entity Color enum ["red", "blue"];
entity Doc = {owner?: User};
action read, write appliesTo {principal: User, resource: Doc, context: {n?: Long}};
action paint appliesTo {principal: User, resource: Color};
"#;

/// Statement `n` of five shapes, some of them not to be shared.
fn statement(n: usize) -> String {
    let (user, doc) = (n % 7, n % 5);
    match n % 8 {
        0 => format!(
            "@id(\"a{n}\") permit(principal == User::\"u{user}\", action == Action::\"read\", resource);"
        ),
        1 => format!(
            "@id(\"b{n}\") permit(principal in Group::\"g{user}\", action in [Action::\"read\", Action::\"write\"], resource == Doc::\"d{doc}\") when {{ principal.age > {} }};",
            n % 3
        ),
        2 => format!(
            "@id(\"c{n}\") @advice(\"log\") forbid(principal is User in Group::\"g{user}\", action, resource is Doc) when {{ context has n && context.n == 1 }};"
        ),
        3 => format!(
            "permit(principal == User::\"u{user}\", action == Action::\"write\", resource == Doc::\"d{doc}\") when {{ {n} == {n} }};"
        ),
        4 => format!(
            "@id(\"e{n}\") permit(principal, action == Action::\"paint\", resource == Color::\"{}\");",
            ["red", "blue"][n % 2]
        ),
        5 => format!(
            "@id(\"f{n}\") permit(principal == User::\"u{user} \\\"x\\\"\", action, resource == Doc::\"d{doc}\");"
        ),
        6 => format!(
            "@id(\"g{n}\") permit(principal == User::\"u{user}\", action == Action::\"write\", resource) unless {{ resource has owner && resource.owner == User::\"u{user}\" }};"
        ),
        _ => format!(
            "@id(\"h{n}\") forbid(principal == User::\"u{user}\", action == Action::\"write\", resource == Doc::\"d{doc}\");"
        ),
    }
}

/// The same, in a form that is read alone.
fn alone(statement: &str) -> String {
    statement.replacen("(principal", "( // alone\n principal", 1)
}

fn pdp(policies: &str) -> Pdp {
    let entities: Vec<String> = (0..7)
        .map(|n| {
            format!(
                r#"{{"uid": {{"type": "User", "id": "u{n}"}}, "attrs": {{"age": {n}}}, "parents": [{{"type": "Group", "id": "g{}"}}]}}"#,
                n / 2
            )
        })
        .collect();
    Pdp::builder()
        .schema_text("s.cedarschema", SCHEMA)
        .entities_text("e.json", &format!("[{}]", entities.join(",")))
        .advice(["log"])
        .policies_text("p.cedar", policies)
        .build()
        .unwrap()
}

fn reasons(pdp: &Pdp, request: &Request) -> (String, Vec<String>) {
    let outcome = pdp.authorize(request).unwrap();
    let mut reasons: Vec<String> = outcome
        .determining_policies()
        .map(ToString::to_string)
        // The id of a policy without a name is made of its text.
        .filter(|id| !id.contains('#'))
        .collect();
    reasons.sort();
    (outcome.cause().to_string(), reasons)
}

#[test]
fn policies_of_one_shape_decide_as_if_each_were_read_alone() {
    let statements: Vec<String> = (0..6_000).map(statement).collect();
    let shared = pdp(&statements.join("\n"));
    let each: Vec<String> = statements.iter().map(|text| alone(text)).collect();
    let each = pdp(&each.join("\n"));
    let mut causes = std::collections::BTreeSet::new();
    for user in 0..8 {
        for (action, resource) in [
            ("read", ("Doc", "d1")),
            ("read", ("Doc", "d9")),
            ("write", ("Doc", "d2")),
            ("write", ("Doc", "d4")),
            ("paint", ("Color", "red")),
        ] {
            for n in [None, Some(1), Some(2)] {
                let mut request = Request::builder()
                    .principal(("User", format!("u{user}")))
                    .action(("Action", action))
                    .resource(resource);
                if let Some(n) = n.filter(|_| action != "paint") {
                    request = request.context_member("n", n);
                }
                let request = request.build().unwrap();
                let found = reasons(&shared, &request);
                assert_eq!(found, reasons(&each, &request), "{request:?}");
                causes.insert(found.0);
            }
        }
    }
    assert!(causes.len() >= 3, "{causes:?}");
}

fn faults(builder: PdpBuilder) -> Vec<String> {
    let Err(BuildError::Sources(faults)) = builder.build() else {
        panic!("they are faulty");
    };
    let mut lines: Vec<(usize, String)> = faults
        .iter()
        .map(|fault| (fault.position().unwrap().0, fault.one_line()))
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn a_shape_with_a_fault_blames_each_of_its_policies_at_its_place() {
    let good = |n| format!("@id(\"g{n}\") permit(principal == User::\"u{n}\", action, resource);");
    let bad = |n| {
        format!(
            "@id(\"x{n}\") permit(principal == User::\"u{n}\", action, resource) when {{ principal.agee > 1 }};"
        )
    };
    let text: Vec<String> = (0..20)
        .map(|n| if n % 4 == 3 { bad(n) } else { good(n) })
        .collect();
    let builder = Pdp::builder().schema_text("s.cedarschema", SCHEMA);
    let found = faults(builder.policies_text("p.cedar", &text.join("\n")));
    assert_eq!(found.len(), 5);
    for (fault, line) in found.iter().zip([4, 8, 12, 16, 20]) {
        assert!(
            fault.contains(&format!("p.cedar:{line}:")),
            "{line}: {fault}"
        );
    }
    // A fault of the grammar is told of every statement that has it.
    let broken = |n| {
        format!(
            "@id(\"x{n}\") permit(principal == User::\"u{n}\", action, resource) when {{ 1 + }};"
        )
    };
    let text: Vec<String> = (0..3).map(broken).collect();
    let found = faults(Pdp::builder().policies_text("p.cedar", &text.join("\n")));
    assert_eq!(found.len(), 3);
    for (fault, line) in found.iter().zip([1, 2, 3]) {
        assert!(
            fault.contains(&format!("p.cedar:{line}:")),
            "{line}: {fault}"
        );
    }
}

#[test]
fn ids_that_a_schema_lists_are_checked_for_every_policy() {
    let paint = |n: usize, color: &str| {
        format!(
            "@id(\"p{n}\") permit(principal, action == Action::\"paint\", resource == Color::\"{color}\");"
        )
    };
    let text = [paint(1, "red"), paint(2, "blue"), paint(3, "green")].join("\n");
    let error = Pdp::builder()
        .schema_text("s.cedarschema", SCHEMA)
        .policies_text("p.cedar", &text)
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("green") && error.contains("p.cedar:3:"),
        "{error}"
    );
}
