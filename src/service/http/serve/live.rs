//! Changes of the configuration file while the server runs.

use std::path::Path;
use std::sync::Arc;

use crate::base::lock::lock;
use crate::service::config::{Config, LiveTable};
use crate::service::http::Serve;
use crate::service::http::app::{App, ConfigTrouble};
use crate::source::watch::{Reloading, WatchMode, Watcher};

/// Watches the configuration file and takes up what can change ([`LiveTable`]). Other changed keys are named as
/// needing a restart.
pub(crate) fn watch(serve: &Arc<Serve>, app: &Arc<App>) -> std::io::Result<Option<Watcher>> {
    let config = &serve.config;
    let watch = config.reload.watcher();
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
    if watch.mode == WatchMode::Off {
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
    let mut next = next;
    let mut refused = None;
    // Everything was checked with the rest of the configuration.
    for table in LiveTable::ALL {
        match table {
            LiveTable::Limits => app.set_limits(next.limits),
            LiveTable::Callers => {
                if let Err(faults) = app.gate.set_callers(&next, (app.clock)()) {
                    tracing::error!(%faults, "callers refused");
                }
            }
            LiveTable::Trust => take_up_trust(app, current, &next),
            LiveTable::Log => refused = take_up_log(serve, current, &mut next),
        }
    }
    app.set_config_trouble(ConfigTrouble {
        refused,
        restart_needed,
    });
    Some(next)
}

/// What comes of it is logged and counted.
fn take_up_trust(app: &App, current: &Config, next: &Config) {
    let Some(pdp) = app.pdp() else { return };
    if current.limits.read() != next.limits.read() {
        // A tree that was too large may be taken now.
        let _ = pdp.reload();
    }
    if current.trust != next.trust {
        // Where the sources are faulty, it is published with the next good ones.
        let _ = pdp.set_trust(next.trust.clone());
    }
}

/// Why the changed settings are refused, if they are.
fn take_up_log(serve: &Serve, current: &Config, next: &mut Config) -> Option<String> {
    if current.log == next.log {
        return None;
    }
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
}
