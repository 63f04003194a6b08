//! Every command of README.md and docs/*.md is run as written, in a folder that has only what the text says a
//! user has: `policies/`, `schemas/` and the files that the text names.
//!
//! The shell blocks of a document run as one script, so that what one command makes is there for the next. The
//! script begins with shell functions that differ from the real commands in this only:
//! - `deodar serve` runs in the background, in place of the server that ran before, and is stopped at the end;
//! - `deodar bench` measures for a tenth of a second;
//! - `cargo run .. --` is the binary that the tests were built with;
//! - `curl` fails where the server answers with an error;
//! - the commands of [`NOT_RUN`] do nothing.
//!
//! The servers listen on a free port: `$DEODAR_SERVER_LISTEN` says so, and in URLs `127.0.0.1:8180` is replaced.
//! Other replacements, such as those of placeholders, are listed for each document in [`DOCUMENTS`].

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Tree, deodar, root, run};

/// Commands that cannot run here, by their beginnings, with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo test", "would run this very test; every test runs it"),
    (
        "docker",
        "builds an image; `deploy::the_documented_container_loads_the_sample` runs its command line",
    ),
    (
        "kubectl",
        "needs a cluster; tests/it/deploy.rs checks the manifests",
    ),
    ("systemctl", "needs systemd and root"),
];

/// A line that is left out because it needs what is not here, with the reason.
type LeftOut = (&'static str, &'static str);

/// What a document needs beside `policies/` and `schemas/`.
struct Document {
    name: &'static str,
    /// Placeholders and paths of a system, and what stands for them here.
    replaced: &'static [(&'static str, &'static str)],
    /// What a reader has done before the command that begins so.
    before: &'static [(&'static str, &'static str)],
    left_out: &'static [LeftOut],
}

/// A server of the sample on a state directory.
const SERVE: &str = "deodar serve --policies policies/workspace --schema schemas --entities policies/workspace --state-dir state";
/// A server without a schema, since the document's users are of the type `User`; `client.key` names the key.
const SERVE_PLAIN: &str = "echo $KEY > signals.key; printf '[client]\\nkey = {file = \"signals.key\"}\\n' > deodar.toml; echo 'permit(principal, action, resource);' > p.cedar; deodar serve --policies p.cedar --state-dir state";
/// An event of now.
const EVENT: &str = r#"printf '{"id": "e-1", "type": "auth.login_failed", "timestamp": "%s", "severity": "low", "subject": {"ip": "198.51.100.8"}}' "$(date -u +%FT%TZ)" > events.json"#;
/// Two logs of a decision, sealed by a shared key and by signatures, and a copy of the first.
const LOGS: &str = r#"
for chain in hmac ed25519; do
  mkdir $chain
  if [ $chain = hmac ]; then key=hmac-key; else key=private.pem; fi
  printf '[audit]\nfile = "%s/audit.ndjson"\nchain = "%s"\nkey = {file = "%s"}\n' $chain $chain $key > $chain.toml
  deodar serve --sample --config $chain.toml
  curl -s http://127.0.0.1:8180/authorize -H 'Content-Type: application/json' -d @request.json
  stop TERM
done
cp hmac/audit.ndjson audit.ndjson
HASH=$(sed -n 1p audit.ndjson | tr -d '\n' | openssl dgst -sha256 -r | cut -d' ' -f1)"#;
/// The id of the key that a document rotates and revokes.
const KEY_ID: &str = r#"ID=$("$DEODAR" keys list --json --key-file *.key | tr -d ' \n' | grep -o '{[^}]*"name":"\(orders\|billing\)"[^}]*}' | grep -o '"id":"[^"]*"' | cut -d'"' -f4)"#;

const DOCUMENTS: &[Document] = &[
    Document {
        name: "README.md",
        replaced: &[],
        before: &[],
        left_out: &[],
    },
    Document {
        name: "docs/audit.md",
        replaced: &[
            ("/var/log/deodar/audit.ndjson", "ed25519/audit.ndjson"),
            ("/elsewhere/audit.ndjson.head", "ed25519/audit.ndjson.head"),
            ("/var/log/deodar", "hmac"),
            ("--expect-sequence 4711 --expect-hash 3f..", "--expect-sequence 1 --expect-hash $HASH"),
        ],
        before: &[("deodar audit verify /var/log/deodar --key-file", LOGS)],
        left_out: &[],
    },
    Document {
        name: "docs/callers.md",
        replaced: &[("/var/lib/deodar", "state"), ("3f9ck2m1x8qz", "$ID")],
        before: &[
            ("deodar keys create --name orders", SERVE),
            ("deodar keys rotate", KEY_ID),
        ],
        left_out: &[],
    },
    Document {
        name: "docs/deploy.md",
        replaced: &[("/etc/deodar/deodar.toml", "etc.toml")],
        before: &[("deodar keys create", "printf '[state]\\ndir = \"state\"\\n' > etc.toml")],
        left_out: &[],
    },
    Document {
        name: "docs/embedding.md",
        replaced: &[],
        before: &[],
        left_out: &[(
            "cargo build --release --no-default-features --example decide",
            "needs the target; `.ci/wasm` builds and runs the example",
        )],
    },
    Document {
        name: "docs/engine.md",
        replaced: &[],
        before: &[],
        left_out: &[],
    },
    Document {
        name: "docs/signals.md",
        replaced: &[("/var/lib/deodar", "state")],
        before: &[
            ("curl -s http://127.0.0.1:8180/events", SERVE_PLAIN),
            ("deodar events send events.json", EVENT),
        ],
        left_out: &[(
            "curl -si http://127.0.0.1:8180/ssf/idp",
            "needs a transmitter that signs; the tests of `ssf` push events",
        )],
    },
    Document {
        name: "docs/state.md",
        replaced: &[
            ("/var/lib/deodar", "state"),
            ("/run/secrets/deodar-state", "deodar-state"),
            (" ID", " $ID"),
        ],
        before: &[
            ("deodar keys create --name billing", SERVE),
            ("deodar keys rotate", KEY_ID),
        ],
        left_out: &[],
    },
    Document {
        name: "docs/tls.md",
        replaced: &[("/run/deodar/deodar.sock", "deodar.sock")],
        before: &[(
            "curl --unix-socket",
            "DEODAR_SERVER_SOCKET=$PWD/deodar.sock deodar serve --sample",
        )],
        left_out: &[],
    },
    Document {
        name: "docs/trust.md",
        replaced: &[],
        before: &[],
        left_out: &[],
    },
    Document {
        name: "docs/webhooks.md",
        replaced: &[("https://pdp.example.org/", "http://127.0.0.1:8180/")],
        before: &[(
            "deodar webhooks add",
            "deodar keys create --offline --state-dir state --name ops --scopes webhooks:write > ops.key
             export KEY=$(cat ops.key)
             openssl rand -hex 32 > state.key
             printf '[state]\\nkey = {file = \"state.key\"}\\n' > deodar.toml
             deodar serve --sample --state-dir state",
        )],
        left_out: &[],
    },
];

/// Commands whose answer may be "no" (exit code 2) here.
const MAY_SAY_NO: &[(&str, &str)] = &[
    ("deodar score", "the sample's business hours"),
    ("deodar webhooks test", "nobody receives"),
    (
        "deodar devices show",
        "a device against which nothing is held",
    ),
];

const PRELUDE: &str = r#"
set -u
note() { printf '%s\t%s\n' "$1" "$2" >> ran; }
stop() {
  if [ -s server.pid ]; then kill -"${1:-KILL}" "$(cat server.pid)"; wait "$(cat server.pid)"; : > server.pid; fi
} 2> /dev/null
trap stop EXIT
deodar() {
  case "$1" in
  serve)
    stop
    : > server.log
    "$DEODAR" "$@" > server.log 2>&1 &
    echo $! > server.pid
    for _ in $(seq 600); do
      grep -q 'decides at' server.log && break
      kill -0 "$(cat server.pid)" 2> /dev/null || break
      sleep 0.05
    done
    if grep -q 'decides at' server.log; then note 0 "deodar $*"; else note 1 "deodar $*"; cat server.log; fi
    return ;;
  bench) "$DEODAR" "$@" --seconds 0.1 ;;
  *) "$DEODAR" "$@" ;;
  esac
  code=$?
  note $code "deodar $*"
  return $code
}
cargo() {
  if [ "${*:1:3}" = 'run --release --' ]; then shift 3; deodar "$@"; else note skipped "cargo $*"; fi
}
curl() { command curl --fail-with-body --max-time 20 "$@"; code=$?; note $code "curl $*"; return $code; }
openssl() { command openssl "$@"; code=$?; note $code "openssl $*"; return $code; }
docker() { note skipped "docker $*"; }
kubectl() { note skipped "kubectl $*"; }
systemctl() { note skipped "systemctl $*"; }
command_not_found_handle() { note 127 "$*"; return 127; }
"#;

/// The shell blocks of a document: what stands between fences of `sh`, and after `$ ` in those of `console`.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.trim(), String::new())),
            (Some(_), Some(_)) => {
                if let Some(("sh" | "console", script)) = open.take() {
                    blocks.push(script);
                }
            }
            (None, Some(("console", script))) => {
                let goes_on = script.ends_with("\\\n");
                if let Some(line) = line.strip_prefix("$ ").or(goes_on.then_some(line)) {
                    script.push_str(line);
                    script.push('\n');
                }
            }
            (None, Some((language, script))) => {
                assert!(!["bash", "shell"].contains(language), "write ```sh");
                script.push_str(line);
                script.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of a block: lines, each with those that go on with it.
fn commands(block: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in block.lines() {
        match commands.last_mut().filter(|_| is_open) {
            Some(command) => {
                command.push('\n');
                command.push_str(line);
            }
            None => commands.push(line.to_owned()),
        }
        let whole = commands.last().unwrap();
        // An apostrophe within double quotes, as in `"'User::..'"`, comes in pairs here too.
        is_open = line.ends_with('\\') || whole.matches('\'').count() % 2 == 1;
    }
    commands.retain(|command| !command.trim().is_empty());
    commands
}

#[track_caller]
fn check(name: &str) {
    let document = DOCUMENTS.iter().find(|document| document.name == name);
    let document = document.unwrap();
    let text = std::fs::read_to_string(root().join(name)).unwrap();
    let mut script = PRELUDE.to_owned();
    let (mut before, mut left_out) = (document.before.to_vec(), document.left_out.to_vec());
    let mut replaced = document.replaced.to_vec();
    let mut wanted = 0;
    for command in blocks(&text).iter().flat_map(|block| commands(block)) {
        let command = command.trim_start();
        if let Some(at) = left_out
            .iter()
            .position(|(line, _)| command.starts_with(line))
        {
            left_out.remove(at);
            continue;
        }
        if let Some(at) = before
            .iter()
            .position(|(line, _)| command.starts_with(line))
        {
            script.push_str(before.remove(at).1);
            script.push('\n');
        }
        let mut command = command.to_owned();
        for (from, to) in document.replaced {
            if command.contains(from) {
                replaced.retain(|(used, _)| used != from);
                command = command.replace(from, to);
            }
        }
        script.push_str(&format!("note document {wanted}\n{command}\n"));
        wanted += 1;
    }
    // Nothing is listed that the document does not have any more.
    assert!(before.is_empty(), "{name}: not found: {before:?}");
    assert!(left_out.is_empty(), "{name}: not found: {left_out:?}");
    if wanted == 0 {
        return;
    }
    assert!(replaced.is_empty(), "{name}: not found: {replaced:?}");

    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = port.local_addr().unwrap().to_string();
    drop(port);
    let tree = folder();
    let script = script.replace("127.0.0.1:8180", &listen);
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(tree.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", tree.path())
        .env("NO_COLOR", "1")
        .env("DEODAR", env!("CARGO_BIN_EXE_deodar"))
        .env("DEODAR_SERVER_LISTEN", &listen)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = std::fs::read_to_string(tree.join("ran")).unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let (mut begun, mut silent) = (0, None);
    for line in ran.lines().filter(|line| line.contains('\t')) {
        let (code, command) = line.split_once('\t').unwrap();
        let starts = |list: &[LeftOut]| list.iter().any(|(begin, _)| command.starts_with(begin));
        if code == "document" {
            assert_eq!(
                silent, None,
                "{name}: nothing ran:\n{ran}\nprinted:\n{printed}"
            );
            silent = Some(begun);
            begun += 1;
            continue;
        }
        let is_well = match code {
            "0" => true,
            "2" => starts(MAY_SAY_NO),
            "skipped" => starts(NOT_RUN),
            _ => false,
        };
        assert!(
            is_well,
            "{name}: `{command}` ends with {code}; all that ran:\n{ran}\nprinted:\n{printed}"
        );
        silent = None;
    }
    assert_eq!(
        (begun, silent),
        (wanted, None),
        "{name}:\n{ran}\nprinted:\n{printed}"
    );
}

/// What a reader has: the sample's folders and the files that the documents name.
fn folder() -> Tree {
    let request = r#"{"principal": {"type": "Workspace::User", "id": "alice"}, "action": {"type": "Workspace::Action", "id": "readProfile"}, "resource": {"type": "Workspace::Profile", "id": "alice"}}"#;
    let tree = Tree::new(&[
        ("requests.ndjson", request),
        ("request.json", request),
        ("entities.json", "[]"),
    ]);
    for name in ["policies", "schemas"] {
        copy(&root().join(name), &tree.join(name));
    }
    tree
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn readme() {
    check("README.md");
}

#[test]
fn audit() {
    check("docs/audit.md");
}

#[test]
fn callers() {
    check("docs/callers.md");
}

#[test]
fn deploy() {
    check("docs/deploy.md");
}

#[test]
fn embedding() {
    check("docs/embedding.md");
}

#[test]
fn engine() {
    check("docs/engine.md");
}

#[test]
fn signals() {
    check("docs/signals.md");
}

#[test]
fn state() {
    check("docs/state.md");
}

#[test]
fn tls() {
    check("docs/tls.md");
}

#[test]
fn trust() {
    check("docs/trust.md");
}

#[test]
fn webhooks() {
    check("docs/webhooks.md");
}

/// The texts that readers have: README.md and docs/*.md.
fn texts() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    for file in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        (name, text)
    };
    names.into_iter().map(read).collect()
}

#[test]
fn every_document_with_commands_is_run() {
    for (name, text) in texts() {
        let is_run = DOCUMENTS.iter().any(|document| document.name == name);
        assert_eq!(!blocks(&text).is_empty(), is_run, "{name}");
    }
}

/// What begins like a command in the running text, and what it is.
const NO_COMMANDS: &[(&str, &str)] = &[
    ("decides at ", "what the server prints"),
    ("audit checkpoint 1", "the first line of what is signed"),
];

/// Commands in the running text, such as `deodar keys purge --offline`: each exists, with its flags.
#[test]
fn every_command_in_prose_exists() {
    let mut seen = BTreeSet::new();
    for (name, text) in texts() {
        for span in text.replace('\n', " ").split('`').skip(1).step_by(2) {
            let Some(words) = span.strip_prefix("deodar ") else {
                continue;
            };
            if NO_COMMANDS.iter().any(|(text, _)| words.starts_with(text)) {
                continue;
            }
            let words: Vec<&str> = words.split_whitespace().collect();
            let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
            let commands: Vec<&str> = words.iter().take_while(is_name).take(2).copied().collect();
            let flags = words.iter().filter(|word| word.starts_with("--"));
            let flags: Vec<&str> = flags.map(|flag| flag.split('=').next().unwrap()).collect();
            if commands.is_empty() || !seen.insert(format!("{commands:?} {flags:?}")) {
                continue;
            }
            let help = run(deodar().args(&commands).arg("--help"));
            assert_eq!(help.code, 0, "{name}: `{span}`: {}", help.err);
            for flag in flags {
                assert!(help.out.contains(flag), "{name}: `{span}`: no {flag}");
            }
        }
    }
    assert!(seen.len() > 20);
}

#[test]
fn blocks_and_commands_are_found() {
    let text = "a\n```sh\nx \\\n  y\nz -d '{\n  1}'\n```\n```json\n{}\n```\n  ```console\n  ```\n```console\n$ u \\\n  v\nout\n```\n";
    let blocks = blocks(text);
    assert_eq!(blocks, ["x \\\n  y\nz -d '{\n  1}'\n", "", "u \\\n  v\n"]);
    assert_eq!(commands(&blocks[0]), ["x \\\n  y", "z -d '{\n  1}'"]);
}
