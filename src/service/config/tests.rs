//! Layers, faults and contradictions of configurations.

use super::*;

fn load(file: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Config, Faults> {
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
    assert_eq!(config.policies, [PathBuf::from("/etc/deodar/p")]);
    let origins: Vec<_> = config
        .entries()
        .filter(|(_, _, origin)| **origin != Origin::Default)
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
            "/etc/deodar/deodar.toml:3:1: `limits.json_depth`: expected a whole number from 1 to 127, found `1000`",
            "/etc/deodar/deodar.toml:4:2: unknown key `servr` [did you mean the section `server`?]",
            "/etc/deodar/deodar.toml:7:1: `log.format`: expected one of auto, human, json, found `jsn`; did you mean `json`?",
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
            "/etc/deodar/deodar.toml:3:1: `callers`: unknown field `scope`, expected one of `name`, `scopes`, `inline`, `handles`, `limits`, `key_sha256`, `san`, `uid`, `token`",
            "/etc/deodar/deodar.toml:5:8: `callers`: invalid type: integer `1`, expected a string",
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
    assert!(config.guard && config.limits.body_bytes == 1 << 20);
    check_fault(
        "reload.debounce = \"\"",
        &[],
        &["/etc/deodar/deodar.toml:1:8: `reload.debounce`: is empty"],
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
        .find(|(name, ..)| *name == "client.key")
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
