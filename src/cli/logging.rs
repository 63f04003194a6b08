//! Logs on standard error: for people on a terminal, JSON otherwise.

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::service::config::{LogConfig, LogFormat};

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Writer = Box<dyn Layer<Filtered> + Send + Sync>;

/// Changes logging while the program runs.
pub(super) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    writer: reload::Handle<Writer, Filtered>,
}

/// Starts logging.
pub(super) fn start(config: &LogConfig) -> Result<Logging, String> {
    let (filter, filter_handle) = reload::Layer::new(filter(config)?);
    let (writer, writer_handle) = reload::Layer::new(writer(config));
    tracing_subscriber::registry()
        .with(filter)
        .with(writer)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(Logging {
        filter: filter_handle,
        writer: writer_handle,
    })
}

impl Logging {
    /// Takes up changed settings.
    pub(super) fn change(&self, config: &LogConfig) -> Result<(), String> {
        let filter = filter(config)?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())?;
        self.writer
            .reload(writer(config))
            .map_err(|error| error.to_string())
    }
}

fn filter(config: &LogConfig) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&config.level).map_err(|error| {
        format!(
            "`{}` is not a level such as info or info,deodar=debug: {error}",
            config.level
        )
    })
}

fn writer(config: &LogConfig) -> Writer {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !terminal,
    };
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    if json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_target(false).boxed()
    }
}
