//! `deodar serve`.

use super::args::{Args, Serve};
use super::output::Output;
use super::{Done, Exit, Failure, logging, sample};
use crate::service::config::Config;
use crate::service::http;
use crate::service::http::{Bound, ServeError};

pub(super) fn run(command: &Serve, args: &Args, output: Output) -> Done {
    let config = args.load_config()?;
    let sampled = command.sources.sample;
    if sampled && !config.server.listen.ip().is_loopback() {
        return Err(Failure::CouldNotRun(
            "the sample is served on loopback addresses only".to_owned(),
        ));
    }
    let logging = logging::start(&config.log)
        .map_err(|error| Failure::CouldNotRun(format!("`log.level`: {error}")))?;
    let mut pdp = sample::builder(&command.sources, &config)?;
    let store = config.open_store();
    let store = store.map_err(|error| Failure::CouldNotRun(error.to_string()))?;
    if let Some(store) = store {
        pdp = pdp.store(store);
    }
    let reload = &config.reload;
    pdp = pdp.watch(reload.watch, *reload.debounce, *reload.poll_interval);
    let command_line: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let serve = http::Serve {
        config,
        pdp,
        reread: Box::new(move || reread(&command_line)),
        relog: Box::new(move |log| logging.change(log)),
        ready: Box::new(move |bound| announce(bound, sampled, output)),
    };
    match http::serve(serve) {
        Ok(()) => Ok(Exit::Holds),
        Err(ServeError::Build(error)) => Err(error.into()),
        Err(error) => Err(Failure::CouldNotRun(error.to_string())),
    }
}

/// The configuration as the same command line would read it now.
fn reread(command_line: &[std::ffi::OsString]) -> Result<Config, crate::base::fault::Faults> {
    use clap::Parser;
    let fault = |message: String| crate::base::fault::Fault::new("config", message).into();
    let args = Args::try_parse_from(command_line).map_err(|error| fault(error.to_string()))?;
    args.load_config().map_err(|failure| match failure {
        Failure::Faulty(faults) | Failure::Invalid(faults) => faults,
        Failure::CouldNotRun(message) => fault(message),
        Failure::Request(error) => fault(error.to_string()),
    })
}

fn announce(bound: &Bound, sampled: bool, output: Output) {
    if output.is_json() {
        let ops = bound.ops_listen.map(|address| address.to_string());
        output.value(&serde_json::json!({
            "listen": bound.listen.to_string(), "opsListen": ops, "socket": bound.socket,
            "tls": bound.tls, "opsTls": bound.ops_tls,
        }));
        return;
    }
    let scheme = |tls| if tls { "https" } else { "http" };
    output.line(&format!(
        "deodar decides at {}://{}/authorize",
        scheme(bound.tls),
        bound.listen
    ));
    if let Some(socket) = &bound.socket {
        output.line(&format!("and over the socket {}", socket.display()));
    }
    if let Some(ops) = bound.ops_listen {
        output.line(&format!(
            "probes and metrics at {}://{ops}/readyz and /metrics",
            scheme(bound.ops_tls)
        ));
    }
    if sampled {
        output.line("serving the sample; ask it, for instance:");
        output.line(&sample::curl(bound.listen));
    }
}
