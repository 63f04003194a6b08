//! `deodar keys`: through a running server, or in the state directory itself with `--offline`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Args, CreateKey, Keys, KeysCommand};
use super::ask::{Call, Members, ask_configured};
use super::output::Output;
use super::{Done, Exit, Failure};
use crate::base::caller::InlineRule;
use crate::base::timestamp::Timestamp;
use crate::service::config::{Config, ReservedNames};
use crate::storage::Store;
use crate::storage::keys::{ApiKey, KeyError, KeyLimits, Made, NewKey, for_configuration};

pub(super) fn run(command: &Keys, args: &Args, output: Output) -> Done {
    if matches!(command.command, KeysCommand::Hash) {
        return hash(output);
    }
    let config = args.load_config()?;
    let answer = if command.offline {
        offline(&command.command, &config)?
    } else {
        online(command, args, &config)?
    };
    match &command.command {
        KeysCommand::Create(_) | KeysCommand::Rotate { .. } => show_secret(&answer, output)?,
        KeysCommand::List | KeysCommand::Hash => list(&answer, output),
        KeysCommand::Purge { .. } => {
            if output.is_json() {
                output.value(&answer);
            } else {
                let purged = answer.get("purged").and_then(Value::as_u64);
                output.note(&match purged {
                    Some(1) => "1 key forgotten".to_owned(),
                    purged => format!("{} keys forgotten", purged.unwrap_or(0)),
                });
            }
        }
        KeysCommand::Revoke { id, .. } => {
            if output.is_json() {
                output.value(&answer);
            } else {
                let ended = match answer.items("revokedWithIt").count() {
                    0 => String::new(),
                    1 => ", and the 1 key that it made".to_owned(),
                    more => format!(", and the {more} keys that it made"),
                };
                output.note(&format!("the key {id} is revoked{ended}"));
            }
        }
    }
    Ok(Exit::Holds)
}

/// A key that the configuration names by its hash, for servers without a state directory.
fn hash(output: Output) -> Done {
    let made = for_configuration();
    let (key, hash) = made.map_err(|error| Failure::CouldNotRun(error.to_string()))?;
    if output.is_json() {
        output.value(&json!({"key": key, "sha256": hash}));
    } else {
        output.note(&format!("key_sha256 = [\"{hash}\"]"));
        output.note("the key, which is not shown again:");
        output.line(&key);
    }
    Ok(Exit::Holds)
}

/// Does it in the state directory, of which no server may be the owner.
fn offline(command: &KeysCommand, config: &Config) -> Result<Value, Failure> {
    let failed = |error: String| Failure::CouldNotRun(error);
    let store = config.open_store().map_err(|error| {
        let help = "; without --offline the command asks the server that owns it";
        let owned = error.to_string().contains("is in use by");
        failed(format!("{error}{}", if owned { help } else { "" }))
    })?;
    let no_dir = "--offline needs a state directory: give --state-dir, or set `state.dir`";
    let store: Store = store.ok_or_else(|| failed(no_dir.to_owned()))?;
    let (keys, now) = (store.keys(), Timestamp::now());
    let with_secret = |(key, secret): (ApiKey, String)| {
        let mut json = key.to_json();
        if let Some(members) = json.as_object_mut() {
            members.insert("key".to_owned(), secret.into());
        }
        json
    };
    let done = match command {
        KeysCommand::Create(create) => {
            let new = NewKey {
                name: create.name.clone(),
                scopes: create.scopes.clone(),
                inline: create
                    .inline
                    .as_deref()
                    .and_then(InlineRule::from_name)
                    .unwrap_or(InlineRule::Add),
                handles: handles(create),
                limits: limits(create),
                expires: expires(create, now)?,
            };
            match ReservedNames::of(config).reason(&new.name) {
                Some(reason) => Err(KeyError::Reserved(reason)),
                None => keys.create(new, now).map(with_secret),
            }
        }
        KeysCommand::List | KeysCommand::Hash => {
            let all: Vec<Value> = keys.list().iter().map(ApiKey::to_json).collect();
            Ok(json!({ "keys": all }))
        }
        KeysCommand::Rotate { id, overlap } => {
            keys.rotate(id, duration(overlap)?, now).map(with_secret)
        }
        KeysCommand::Revoke { id, keep_made } => {
            let made = if *keep_made { Made::Keep } else { Made::Revoke };
            keys.revoke(id, made, now).map(|(key, ended)| {
                let mut json = key.to_json();
                if let Some(members) = json.as_object_mut() {
                    members.insert("revokedWithIt".to_owned(), ended.into());
                }
                json
            })
        }
        KeysCommand::Purge { ended } => {
            let ended = i64::try_from(duration(ended)?.as_millis()).unwrap_or(i64::MAX);
            let before = now.as_millis().saturating_sub(ended);
            let purged = keys.purge(Timestamp::from_millis(before));
            purged.map(|purged| json!({ "purged": purged }))
        }
    };
    done.map_err(|error| failed(error.to_string()))
}

/// Has a running server do it.
fn online(command: &Keys, args: &Args, config: &Config) -> Result<Value, Failure> {
    let (method, path, body) = match &command.command {
        KeysCommand::Create(create) => {
            let expires = expires(create, Timestamp::now())?;
            let body = json!({
                "name": create.name,
                "scopes": create.scopes,
                "inline": create.inline,
                "handles": handles(create),
                "limits": limits(create),
                "expires": expires.map(|expires| expires.to_string()),
            });
            ("POST", "/keys".to_owned(), Some(body))
        }
        KeysCommand::List | KeysCommand::Hash => ("GET", "/keys".to_owned(), None),
        KeysCommand::Rotate { id, overlap } => {
            let overlap = format!("{}s", duration(overlap)?.as_secs());
            let path = format!("/keys/{}/rotate", in_path(id)?);
            ("POST", path, Some(json!({ "overlap": overlap })))
        }
        KeysCommand::Revoke { id, keep_made } => {
            let made = if *keep_made { "?made=keep" } else { "" };
            ("DELETE", format!("/keys/{}{made}", in_path(id)?), None)
        }
        KeysCommand::Purge { .. } => {
            let message = "keys are purged with --offline, while no server runs";
            return Err(Failure::CouldNotRun(message.to_owned()));
        }
    };
    let call = Call::new(method, path, body, "keys:write");
    ask_configured(&call, command.server.as_deref(), args, config)?.done()
}

/// The key alone on standard output, so that it can be piped to where it belongs.
fn show_secret(answer: &Value, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        output.value(answer);
        return Ok(());
    }
    let text = |member: &str| answer.text(member);
    let key = text("key")
        .ok_or_else(|| Failure::CouldNotRun("the server has answered without a key".to_owned()))?;
    output.note(&format!(
        "the key {} of `{}`, which is not shown again:",
        text("id").unwrap_or_default(),
        text("name").unwrap_or_default()
    ));
    output.line(key);
    if others_may_read() {
        output.note(
            "other users of this machine may read the file that the key is in: `chmod 600` it",
        );
    }
    Ok(())
}

/// Whether standard output is a file that others than its owner may read.
fn others_may_read() -> bool {
    use std::os::unix::fs::PermissionsExt;
    let out = std::fs::metadata("/dev/stdout");
    out.is_ok_and(|out| out.is_file() && out.permissions().mode() & 0o077 != 0)
}

fn list(answer: &Value, output: Output) {
    if output.is_json() {
        return output.value(answer);
    }
    for key in answer.items("keys") {
        let text = |member: &str| key.text(member);
        let scopes = key.items("scopes").filter_map(Value::as_str);
        let mut line = format!(
            "{}  {}  {}",
            text("id").unwrap_or_default(),
            text("name").unwrap_or_default(),
            scopes.collect::<Vec<_>>().join(",")
        );
        for (member, what) in [
            ("expires", "expires"),
            ("lastUsed", "used"),
            ("revoked", "revoked"),
            ("madeBy", "made by"),
        ] {
            if let Some(value) = text(member) {
                line.push_str(&format!("  {what} {value}"));
            }
        }
        output.line(&line);
    }
}

/// Bounds of the key's own, where any is given.
fn limits(create: &CreateKey) -> Option<KeyLimits> {
    let limits = KeyLimits {
        requests_per_second: create.per_second,
        burst: create.burst,
        concurrent: create.concurrent,
    };
    (limits != KeyLimits::default()).then_some(limits)
}

fn handles(create: &CreateKey) -> BTreeSet<String> {
    create.handles.iter().cloned().collect()
}

fn expires(create: &CreateKey, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = &create.expires else {
        return Ok(None);
    };
    let millis = i64::try_from(duration(text)?.as_millis()).unwrap_or(i64::MAX);
    let end = now.as_millis().saturating_add(millis);
    Ok(Some(Timestamp::from_millis(end)))
}

fn duration(text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text).map_err(|_| {
        let message = format!("expected a duration such as 90d or 1h, found `{text}`");
        Failure::CouldNotRun(message)
    })
}

/// An id as it may stand in a path: those of keys need no escape.
fn in_path(id: &str) -> Result<&str, Failure> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(id);
    }
    let message = format!(
        "`{}` is not an id of a key; `deodar keys list` shows them",
        id.escape_debug()
    );
    Err(Failure::CouldNotRun(message))
}
