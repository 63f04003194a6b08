//! Layers, faults and contradictions of configurations.

use super::observe::collector;
use super::*;

pub(super) fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[Flag],
) -> Result<Config, Faults> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_parts(
        Some((Path::new("/etc/deodar/deodar.toml"), file)),
        environment,
        flags,
    )
}

#[test]
fn each_layer_goes_over_the_one_below() {
    let file =
        "[server]\nlisten = \"127.0.0.1:1\"\ndrain_delay = \"1s\"\n[sources]\npolicies = [\"p\"]\n";
    let flags = [Flag {
        key: "server.listen",
        flag: "--listen",
        values: vec!["127.0.0.1:3".to_owned()],
    }];
    let config = load(
        file,
        &[
            ("DEODAR_SERVER_LISTEN", "127.0.0.1:2"),
            ("DEODAR_LIMITS_BODY_BYTES", "5"),
        ],
        &flags,
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.limits.body_bytes, 5);
    assert_eq!(config.sources.policies, [PathBuf::from("/etc/deodar/p")]);
    let origins: Vec<_> = config
        .entries()
        .into_iter()
        .filter(|(_, _, origin)| *origin != Origin::Default)
        .map(|(name, _, origin)| format!("{name} {origin}"))
        .collect();
    assert_eq!(
        origins,
        [
            "sources.policies /etc/deodar/deodar.toml:5",
            "server.listen --listen",
            "server.drain_delay /etc/deodar/deodar.toml:3",
            "limits.body_bytes $DEODAR_LIMITS_BODY_BYTES",
        ]
    );
}

#[track_caller]
fn check_fault(file: &str, environment: &[(&str, &str)], expect: &[&str]) {
    let faults = load(file, environment, &[]).unwrap_err();
    let got: Vec<_> = faults
        .iter()
        .map(|fault| {
            let help = miette::Diagnostic::help(fault).map(|h| format!(" [{h}]"));
            format!("{}{}", fault.one_line(), help.unwrap_or_default())
        })
        .collect();
    assert_eq!(got, expect);
}

#[test]
fn unknown_keys_and_wrong_values_are_all_named() {
    check_fault(
        "[limits]\nbody_byte = 5\njson_depth = 1000\n[servr]\nlisten = 1\n[log]\nformat = \"jsn\"\n",
        &[
            ("DEODAR_SERVER_LISTNE", "x"),
            ("DEODAR_PORT_80_TCP", "tcp://x"),
        ],
        &[
            "unknown environment variable `DEODAR_SERVER_LISTNE` [did you mean `DEODAR_SERVER_LISTEN`?]",
            "/etc/deodar/deodar.toml:2:1: unknown key `limits.body_byte` [did you mean `limits.body_bytes`?]",
            "/etc/deodar/deodar.toml:3:14: `limits.json_depth`: expected a whole number from 1 to 127, found `1000`",
            "/etc/deodar/deodar.toml:4:2: unknown key `servr` [did you mean the section `server`?]",
            "/etc/deodar/deodar.toml:7:10: `log.format`: expected one of auto, human, json, found `jsn`; did you mean `json`?",
        ],
    );
}

#[test]
fn other_addresses_than_loopback_need_a_word_that_says_danger() {
    check_fault(
        "server.listen = \"0.0.0.0:80\"",
        &[],
        &[
            "`server.listen` (/etc/deodar/deodar.toml:1): 0.0.0.0:80 can be reached from other machines, and no caller is configured [name `[[callers]]`, set `state.dir` and create keys, or set `server.danger_allow_anonymous = true`]",
        ],
    );
    let config = load(
        "server.listen = \"0.0.0.0:80\"\nserver.danger_allow_anonymous = true",
        &[],
        &[],
    );
    assert!(config.is_ok());
}

#[test]
fn callers_are_read_and_their_faults_placed() {
    let config = load(
        "server.listen = \"0.0.0.0:80\"\n[[callers]]\nname = \"mesh\"\nscopes = [\"decide\"]\nsan = [\"spiffe://x/y\"]\n",
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(config.callers.len(), 1);
    check_fault(
        "[[callers]]\nname = \"a\"\nscope = []\n[[callers]]\nname = 1\nscopes = []\n",
        &[],
        &[
            "/etc/deodar/deodar.toml:3:1: unknown key `callers[0].scope` [did you mean `callers[0].scopes`?]",
            "/etc/deodar/deodar.toml:5:8: `callers[1].name`: expected a string, found a number",
        ],
    );
    check_fault(
        "server.cors_origins = [\"*\"]",
        &[],
        &[
            "`server.cors_origins` (/etc/deodar/deodar.toml:1): `*` is not an origin [an origin is scheme, host and port, such as https://admin.example.org]",
        ],
    );
}

#[test]
fn an_empty_variable_is_none_and_an_empty_value_a_fault() {
    let empty = [
        ("DEODAR_RELOAD_GUARD", ""),
        ("DEODAR_LIMITS_BODY_BYTES", ""),
    ];
    let config = load("", &empty, &[]).unwrap();
    assert!(config.reload.guard && config.limits.body_bytes == 1 << 20);
    check_fault(
        "reload.debounce = \"\"",
        &[],
        &["/etc/deodar/deodar.toml:1:19: `reload.debounce`: is empty"],
    );
    check_fault(
        "reload.poll_interval = \"9 years\"",
        &[],
        &[
            "`reload.poll_interval` (/etc/deodar/deodar.toml:1): is longer than 3600 seconds [shorten it]",
        ],
    );
}

#[test]
fn secrets_are_referred_to_and_never_given() {
    let config = load("client.key = {file = \"token\"}", &[], &[]).unwrap();
    let shown = config
        .entries()
        .into_iter()
        .find(|(name, ..)| name == "client.key")
        .unwrap()
        .1;
    assert_eq!(shown, serde_json::json!({"file": "/etc/deodar/token"}));
    let faults = load(
        "client.key = \"hunter2hunter2hunter2\"",
        &[("DEODAR_CLIENT_KEY", "hunter2")],
        &[],
    )
    .unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(
        faults
            .iter()
            .all(|fault| !fault.one_line().contains("hunter2"))
    );
}

#[test]
fn spans_go_to_an_address_that_can_be_told() {
    for (endpoint, headers, good) in [
        ("http://collector:4318", false, true),
        ("http://collector:4318", true, false),
        ("http://127.0.0.1:4318/", true, true),
        ("http://[::1]:4318", true, true),
        ("https://collector.example/otlp", true, true),
        ("collector:4318", false, false),
        ("http://", false, false),
        ("http://user:pass@collector", false, false),
        ("http://collector:4318/v1/traces", false, false),
    ] {
        let found = collector(endpoint, headers);
        assert_eq!(found.is_ok(), good, "{endpoint}: {found:?}");
    }
    let loaded = load("otlp.endpoint = \"http://127.0.0.1:4318\"", &[], &[]);
    assert_eq!(loaded.is_ok(), cfg!(feature = "otlp"));
    if let Err(faults) = loaded {
        assert!(faults.to_string().contains("feature `otlp`"), "{faults}");
    }
}

#[test]
fn a_state_directory_is_opened_with_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("{{file = \"{}\"}}", path.display())
    };
    let (new, old) = (
        write("new", &"ab".repeat(32)),
        write("old", &"cd".repeat(32)),
    );
    let password = write("password", "correct horse battery");
    let state = format!("state.dir = \"{}\"\n", dir.path().join("state").display());
    let open = |keys: &str| {
        load(&(state.clone() + keys), &[], &[])
            .unwrap()
            .open_store()
    };
    let opened = open(&format!("state.key = {new}\nstate.previous_keys = [{old}]"));
    assert!(opened.unwrap().is_some());
    let error = open(&format!("state.key = {password}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`state.key`: expected 32 random bytes"),
        "{error}"
    );
    assert!(!error.contains("horse"), "{error}");
    assert!(load("", &[], &[]).unwrap().open_store().unwrap().is_none());
    let alone = load(&format!("state.previous_keys = [{old}]"), &[], &[]);
    assert!(alone.unwrap_err().summary().contains("no newest key"));
}

#[test]
fn only_some_keys_change_without_a_restart() {
    let one = load("limits.body_bytes = 1\nreload.guard = false", &[], &[]).unwrap();
    let other = load("limits.body_bytes = 2\nreload.guard = true", &[], &[]).unwrap();
    assert_eq!(one.restart_needed(&other), ["reload.guard"]);
    let hooks = |names: &[&str]| -> String {
        let hook = |name: &&str| {
            format!(
                "[[webhooks]]\nname = \"{name}\"\nurl = \"https://a.example\"\nsecret = {{env = \"S\"}}\n"
            )
        };
        names.iter().map(hook).collect()
    };
    let one = load(&hooks(&["a"]), &[], &[]).unwrap();
    let other = hooks(&["a", "b"]) + "[trust]\n";
    let other = load(&other, &[("DEODAR_TLS_MIN_VERSION", "1.3")], &[]).unwrap();
    assert_eq!(one.restart_needed(&other), ["tls.min_version", "webhooks"]);
    assert_eq!(one.restart_needed(&one), [""; 0]);
}

#[test]
fn addresses_are_refused_with_key_and_reason() {
    let issuer = "issuer = \"https://id.example.com\"\naudience = [\"a\"]\n";
    let usage = "usage = \"principal\"\nprincipal_type = \"User\"\n";
    for (key, table) in [
        ("audit.url", "[audit]\nurl = \"URL\"\n".to_owned()),
        (
            "issuer",
            format!("[[issuers]]\nissuer = \"URL\"\naudience = [\"a\"]\n{usage}"),
        ),
        (
            "jwks_uri",
            format!("[[issuers]]\n{issuer}{usage}jwks_uri = \"URL\"\n"),
        ),
        (
            "url",
            "[[webhooks]]\nname = \"soc\"\nurl = \"URL\"\nsecret = {env = \"S\"}\n".to_owned(),
        ),
        (
            "poll.endpoint",
            format!(
                "[[receivers]]\nname = \"idp\"\n{issuer}subjects = {{iss_sub = \"User\"}}\npoll = {{endpoint = \"URL\", token = {{env = \"T\"}}}}\n"
            ),
        ),
        ("otlp.endpoint", "[otlp]\nendpoint = \"URL\"\n".to_owned()),
        (
            "server.cors_origins",
            "[server]\ncors_origins = [\"URL\"]\n".to_owned(),
        ),
    ] {
        for url in [
            "https://host:99999",
            "https://host:0",
            "https://host:",
            "https://",
            "https://user:secret@host",
            "https://host#x",
            "https://ho st",
            "https://b\u{fc}cher.example",
            "https://[fe80::1%eth0]",
            "https://127.1",
        ] {
            let text = table.replace("URL", url);
            let faults = load(&text, &[], &[]).unwrap_err();
            let told = faults
                .iter()
                .any(|fault| fault.to_string().contains(&format!("`{key}`")));
            assert!(told, "{key}: {url}: {faults}");
        }
    }
}

const TABLES: &str = r#"
[trust]
enforcement = "enforce"
model = {clock_skew = "5s"}
[[callers]]
name = "orders"
scopes = ["decide"]
uid = [7]
[[issuers]]
issuer = "https://id.example.com"
audience = ["deodar"]
usage = "principal"
principal_type = "User"
max_age = "12h"
introspection = {url = "https://id.example.com/i", client_id = "d", client_secret = {file = "secret"}}
[[receivers]]
name = "idp"
issuer = "https://idp.example.com"
audience = ["a"]
push = {authorization = {env = "PUSH_TOKEN"}}
[[webhooks]]
name = "soc"
url = "https://soc.example.org/d"
secret = {env = "SOC_SECRET"}
"#;

#[test]
fn every_table_is_printed_with_the_origin_of_each_value() {
    let environment = [("DEODAR_TRUST_SIGNALS_HALF_LIFE", "30m")];
    let config = load(TABLES, &environment, &[]).unwrap();
    let entries = config.entries();
    let check = |key: &str, value: Value, origin: &str| {
        let found = entries.iter().find(|(name, ..)| name == key);
        let (_, got, from) = found.unwrap_or_else(|| panic!("{key}"));
        assert_eq!((got, from.to_string().as_str()), (&value, origin), "{key}");
    };
    let at = |line: usize| format!("/etc/deodar/deodar.toml:{line}");
    check("trust.enforcement", "enforce".into(), &at(3));
    check("trust.preset", "calibrated".into(), "default");
    check("trust.model.clock_skew", "5s".into(), &at(4));
    check("trust.model.max_age.device", "30d".into(), "default");
    check(
        "trust.signals.half_life",
        "30m".into(),
        "$DEODAR_TRUST_SIGNALS_HALF_LIFE",
    );
    check("callers[0].name", "orders".into(), &at(6));
    check("callers[0].inline", "add".into(), "default");
    check("issuers[0].max_age", "12h".into(), &at(14));
    check("issuers[0].leeway", "30s".into(), "default");
    let secret = serde_json::json!({"file": "/etc/deodar/secret"});
    check("issuers[0].introspection.client_secret", secret, &at(15));
    let secret = serde_json::json!({"env": "PUSH_TOKEN"});
    check("receivers[0].push.authorization", secret, &at(20));
    let secret = serde_json::json!({"env": "SOC_SECRET"});
    check("webhooks[0].secret", secret, &at(24));
    check("webhooks[0].min_severity", "low".into(), "default");
    for (key, _) in schema::leaves() {
        // A table that is left out is printed as such.
        let printed = |(shown, value, _): &(String, Value, Origin)| {
            *shown == key || value.is_null() && key.starts_with(&format!("{shown}."))
        };
        assert!(entries.iter().any(printed), "{key} is not printed");
    }
}

#[test]
fn a_table_can_be_set_by_the_environment_alone() {
    let environment = [
        ("DEODAR_TRUST_ENFORCEMENT", "enforce"),
        ("DEODAR_TRUST_MODEL_PRIOR", "0.4"),
        ("DEODAR_TRUST_COUNTRIES_ALLOW", "NL, BE"),
    ];
    let trust = load("", &environment, &[]).unwrap().trust.unwrap();
    assert_eq!(trust.enforcement, crate::trust::Enforcement::Enforce);
    assert_eq!(trust.countries.allow, ["NL", "BE"]);
    let model = trust.model.over(trust.preset).unwrap();
    assert_eq!(model.prior.to_string(), "0.4");
}

#[test]
fn every_fault_of_every_table_is_named_at_once() {
    check_fault(
        r#"
[trust]
enforcment = "off"
model = {clock_skew_seconds = 5, methods = {totp = {seconds = 9}}}
signals = {half_life = "soon"}
[[issuers]]
issuer = "https://id.example.com"
usage = "principals"
leeway = 30
[[issuers]]
issuer = "https://id.example.com"
audience = ["a"]
usage = "caller"
cache = "1 fortnight"
[[webhooks]]
name = "soc"
url = "https://soc.example.org"
secret = "whsec_hunter2hunter2hunter2"
[server]
listen = "here"
socket_mode = "0999"
"#,
        &[("DEODAR_AUDIT_ROTATE_AGE", "daily")],
        &[
            "`DEODAR_AUDIT_ROTATE_AGE`: `daily` is not a duration such as `100ms`, `30s`, `8h` or `90d`, of ten years at most",
            "/etc/deodar/deodar.toml:3:1: unknown key `trust.enforcment` [did you mean `trust.enforcement`?]",
            "/etc/deodar/deodar.toml:4:10: unknown key `trust.model.clock_skew_seconds` [did you mean `trust.model.clock_skew`?]",
            "/etc/deodar/deodar.toml:4:53: unknown key `trust.model.methods.totp.seconds` [did you mean `trust.model.methods.totp.takes`?]",
            "/etc/deodar/deodar.toml:5:24: `trust.signals.half_life`: `soon` is not a duration such as `100ms`, `30s`, `8h` or `90d`, of ten years at most",
            "/etc/deodar/deodar.toml:8:9: `issuers[0].usage`: expected one of principal, caller, found `principals`; did you mean `principal`?",
            "/etc/deodar/deodar.toml:9:10: `issuers[0].leeway`: expected a string, found a number",
            "/etc/deodar/deodar.toml:14:9: `issuers[1].cache`: `1 fortnight` is not a duration such as `100ms`, `30s`, `8h` or `90d`, of ten years at most",
            "/etc/deodar/deodar.toml:18:10: `webhooks[0].secret`: expected {file = \"..\"} or {env = \"..\"}, found a string",
            "/etc/deodar/deodar.toml:20:10: `server.listen`: invalid socket address syntax",
            "/etc/deodar/deodar.toml:21:15: `server.socket_mode`: expected permissions such as 0660, found `0999`",
        ],
    );
    check_fault(
        "[[callers]]\nscopes = []\n[[callers]]\nname = \"a\"\nscopes = []\ntoken = [{name = \"x\"}]\n",
        &[],
        &[
            "/etc/deodar/deodar.toml:1:1: `callers[0]`: missing field `name`",
            "/etc/deodar/deodar.toml:6:10: `callers[1].token[0]`: missing field `issuer`",
        ],
    );
}

/// The keys of the sample file, commented out or not, each with its table; and the tables that it says are live.
fn sample() -> (String, std::collections::BTreeSet<String>) {
    let text = include_str!("../../../deodar.toml");
    let mut active = String::new();
    let mut live = std::collections::BTreeSet::new();
    let mut before = "";
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare.split_once(" = ").is_some_and(|(key, _)| {
            key.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        let header = bare.split(" #").next().unwrap_or_default();
        let is_table = header.starts_with('[') && header.ends_with(']');
        if is_table && (line.contains("(live)") || before.contains("(live)")) {
            live.insert(header.to_owned());
        }
        if is_key || is_table {
            active.push_str(bare);
        }
        active.push('\n');
        before = line;
    }
    (active, live)
}

#[test]
fn the_sample_file_lists_every_key_with_its_default() {
    let (text, _) = sample();
    let mut merge = Merge::default();
    merge.file(Path::new("deodar.toml"), &text);
    merge.read().unwrap();
    let listed: toml::Table = toml::from_str(&text).unwrap();
    let listed = serde_json::to_value(listed).unwrap();
    let keys = |schema: &Value| -> Vec<String> {
        let keys = schema::keys(schema).unwrap().keys();
        let keys: std::collections::BTreeSet<_> = keys.cloned().collect();
        keys.into_iter().collect()
    };
    let root = schema::root();
    for (name, schema) in schema::keys(root).unwrap() {
        let table = match &listed[name.as_str()] {
            Value::Array(tables) => &tables[0],
            table => table,
        };
        let given: Vec<String> = table.as_object().unwrap().keys().cloned().collect();
        // Pages of their own list the keys of these.
        match name.as_str() {
            "issuers" | "receivers" => {
                let page = match name.as_str() {
                    "issuers" => include_str!("../../../docs/tokens.md"),
                    _ => include_str!("../../../docs/signals.md"),
                };
                for key in keys(schema::items(schema).unwrap()) {
                    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    assert!(words.clone().any(|word| word == key), "{name}: {key}");
                }
            }
            "callers" | "webhooks" => assert_eq!(given, keys(schema::items(schema).unwrap())),
            _ => assert_eq!(given, keys(schema), "{name}"),
        }
        for (key, value) in table.as_object().unwrap() {
            let default = schema::key(schema, key).and_then(|schema| schema.get("default"));
            let example = |default: &Value| match default {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(_) => true,
                _ => false,
            };
            match default {
                Some(default) if !example(default) => assert_eq!(value, default, "{name}.{key}"),
                _ => {}
            }
        }
    }
}

#[test]
fn what_changes_without_a_restart_is_documented() {
    let (_, sample) = sample();
    let shown = LiveTable::ALL.map(|table| match schema::key(schema::root(), table.name()) {
        Some(schema) if schema::items(schema).is_some() => format!("[[{}]]", table.name()),
        Some(_) => format!("[{}]", table.name()),
        None => panic!("{}", table.name()),
    });
    assert_eq!(sample, shown.iter().cloned().collect());
    let [limits, callers, trust, log] = shown;
    let sentence = format!("`{limits}`, `{callers}`, `{trust}` and `{log}`");
    let page = include_str!("../../../docs/operations.md").replace('\n', " ");
    assert!(
        page.contains(&format!("takes up changes of {sentence}")),
        "{sentence}"
    );
}
