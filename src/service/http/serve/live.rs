//! Changes of the configuration file while the server runs.

use std::path::Path;
use std::sync::Arc;

use crate::base::lock::lock;
use crate::service::config::Config;
use crate::service::http::Serve;
use crate::service::http::app::{App, ConfigTrouble};
use crate::source::watch::{Reloading, Watch, WatchMode, Watcher};

/// Watches the configuration file and takes up what can change: limits, callers and logging. Other changed
/// keys are named as needing a restart.
pub(crate) fn watch(serve: &Arc<Serve>, app: &Arc<App>) -> std::io::Result<Option<Watcher>> {
    let config = &serve.config;
    let watch = Watch {
        mode: config.watch,
        debounce: config.debounce,
        poll_interval: config.poll_interval,
    };
    let mode = config.watch;
    let Some(path) = config.file().map(Path::to_owned) else {
        return Ok(None);
    };
    let file = path.clone();
    let text = move || match crate::service::config::read(&file) {
        Ok(text) => Ok(text),
        Err(faults) => Err(faults.to_string()),
    };
    let (serve, theirs) = (Arc::clone(serve), Arc::clone(app));
    let current = std::sync::Mutex::new(serve.config.clone());
    let changed = move || {
        let mut current = lock(&current);
        if let Some(next) = take_up(&serve, &theirs, &current) {
            *current = next;
        }
    };
    let changed: Arc<dyn Fn() + Send + Sync> = Arc::new(changed);
    // SIGHUP and `deodar reload` look at the file too. Nothing was set before.
    let _ = app.reread.set(Arc::clone(&changed));
    if mode == WatchMode::Off {
        return Ok(None);
    }
    Watcher::spawn(vec![path], watch, text, move || {
        changed();
        Reloading::Done
    })
    .map(Some)
}

fn take_up(serve: &Serve, app: &App, current: &Config) -> Option<Config> {
    let next = match (serve.reread)() {
        Ok(next) => next,
        Err(faults) => {
            for fault in faults.iter() {
                tracing::error!(place = %fault.one_line(), "configuration refused");
            }
            let mut trouble = app.config_trouble();
            trouble.refused = Some(format!("the configuration file is faulty: {faults}"));
            app.set_config_trouble(trouble);
            return None;
        }
    };
    // What it names is read before anything of it is taken up.
    let geoip = next.trust.as_ref().and_then(|trust| trust.geoip.as_deref());
    if let Err(why) = app.geo.take_up(geoip) {
        tracing::error!(%why, "configuration refused: the database of places cannot be read");
        let mut trouble = app.config_trouble();
        trouble.refused = Some(format!("`trust.geoip`: {why}"));
        app.set_config_trouble(trouble);
        return None;
    }
    let restart_needed = serve.config.restart_needed(&next);
    if !restart_needed.is_empty() {
        tracing::warn!(keys = restart_needed.join(", "), "restart needed");
    }
    let read_limits_changed = current.limits.read != next.limits.read;
    app.set_limits(next.limits);
    // They were checked with the rest of the configuration.
    if let Err(faults) = app.gate.set_callers(&next, (app.clock)()) {
        tracing::error!(%faults, "callers refused");
    }
    if let Some(pdp) = app.pdp().filter(|_| read_limits_changed) {
        // A tree that was too large may be taken now; what comes of it is logged and counted.
        let _ = pdp.reload();
    }
    if let Some(pdp) = app.pdp().filter(|_| current.trust != next.trust) {
        // It was checked with the rest of the configuration. What comes of it is logged and counted; where
        // the sources are faulty, it is published with the next good ones.
        let _ = pdp.set_trust(next.trust.clone());
    }
    let mut next = next;
    let refused = if current.log == next.log {
        None
    } else {
        match (serve.relog)(&next.log) {
            Ok(()) => {
                tracing::info!(level = %next.log.level, "logging settings applied");
                None
            }
            Err(message) => {
                // As long as it is refused it is not what was taken up last.
                next.log = current.log.clone();
                Some(format!("`log.level`: {message}"))
            }
        }
    };
    app.set_config_trouble(ConfigTrouble {
        refused,
        restart_needed,
    });
    Some(next)
}
