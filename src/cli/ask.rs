//! What the commands share that have a server do something or ask it what it knows: one call and its answer.

use std::time::Duration;

use serde_json::Value;

use super::args::Args;
use super::client::Server;
use super::output::Output;
use super::{Failure, client_key};
use crate::service::config::{Config, Secret};

/// How long a server may take for a change.
const CHANGING: Duration = Duration::from_secs(30);

/// One call of a server.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// The scope that it takes, for the message where no key was given.
    pub(super) scope: &'static str,
    /// How long the server may take.
    pub(super) wait: Duration,
}

impl Call {
    /// A call that a server answers as soon as a change is made.
    pub(super) fn new(
        method: &'static str,
        path: impl Into<String>,
        body: Option<Value>,
        scope: &'static str,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            body,
            scope,
            wait: CHANGING,
        }
    }
}

/// Members of an answer.
pub(super) trait Members {
    /// The text of a member.
    fn text(&self, name: &str) -> Option<&str>;

    /// The items of a list.
    fn items(&self, name: &str) -> impl Iterator<Item = &Value>;
}

impl Members for Value {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &Value> {
        let items = self.get(name).and_then(Value::as_array);
        items.into_iter().flatten()
    }
}

/// What a server answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// It did what it was asked for.
    Done(Value),
    /// Nothing is known of what was asked about.
    NotFound(Value),
}

impl Answer {
    /// The answer of a call that has to find something.
    ///
    /// # Errors
    /// [`Failure::CouldNotRun`] where it found nothing.
    pub(super) fn done(self) -> Result<Value, Failure> {
        match self {
            Self::Done(answer) => Ok(answer),
            Self::NotFound(answer) => Err(Failure::CouldNotRun(reason(&answer).to_owned())),
        }
    }

    /// The answer, or `None` after saying that nothing is known of what was asked about.
    pub(super) fn found(self, output: Output) -> Option<Value> {
        match self {
            Self::Done(answer) => Some(answer),
            Self::NotFound(answer) if output.is_json() => {
                output.value(&answer);
                None
            }
            Self::NotFound(answer) => {
                output.line(reason(&answer));
                None
            }
        }
    }
}

/// Asks the server at `server`, else that of the configuration.
///
/// # Errors
/// [`Failure::CouldNotRun`] with the server's reason and every fault that it names.
pub(super) fn ask(call: &Call, server: Option<&str>, args: &Args) -> Result<Answer, Failure> {
    ask_configured(call, server, args, &args.load_config()?)
}

/// As [`ask`], of a command that has read the configuration.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_configured(
    call: &Call,
    server: Option<&str>,
    args: &Args,
    config: &Config,
) -> Result<Answer, Failure> {
    let key = client_key(args, config)?;
    let server = Server::find(server, config, false, None)?;
    let base = &server.base;
    let (status, answer) = send(call, &server, key.as_ref())?;
    if status == 404 && answer.text("code") == Some("not_found") {
        return Ok(Answer::NotFound(answer));
    }
    if (200..300).contains(&status) {
        return Ok(Answer::Done(answer));
    }
    let detail = answer.text("detail");
    let mut message = format!("{base} answers {status}: {}", detail.unwrap_or("no reason"));
    // A single fault is the detail already.
    let several = answer.items("errors").count() > 1;
    for error in answer.items("errors").filter(|_| several) {
        let text = |member: &str| error.text(member).unwrap_or("");
        message.push_str(&format!("\n  {}: {}", text("pointer"), text("detail")));
    }
    if status == 401 && key.is_none() {
        message.push_str(&format!("; the scope that it needs is {}", call.scope));
    }
    Err(Failure::CouldNotRun(message))
}

/// Makes the call; the status and the answer, whatever they are.
///
/// # Errors
/// [`Failure::CouldNotRun`] where no answer comes.
pub(super) fn send(
    call: &Call,
    server: &Server,
    key: Option<&Secret>,
) -> Result<(u16, Value), Failure> {
    server.ask(call.wait, |agent| {
        let mut request = ureq::http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", server.base, call.path));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {}", key.reveal()));
        }
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        agent.run(request.body(body)?)
    })
}

/// The reason of an answer that nothing was found.
fn reason(answer: &Value) -> &str {
    let detail = answer.text("detail");
    detail.unwrap_or("nothing is known of this subject")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A server that does not know a route does nothing: that is no success.
    #[test]
    fn a_call_that_has_to_find_something_fails_where_nothing_is_found() {
        let answer = json!({"code": "not_found", "detail": "no such route"});
        let Err(Failure::CouldNotRun(message)) = Answer::NotFound(answer).done() else {
            panic!("nothing was done");
        };
        assert_eq!(message, "no such route");
        assert!(Answer::Done(json!({})).done().is_ok());
    }
}
