//! Forgetting what is past its retention, a part at a time.

use std::sync::atomic::Ordering;

use super::Core;
use super::subject::Subject;
use crate::base::timestamp::Timestamp;
use crate::trust::subjects::config::SignalsConfig;
use crate::trust::subjects::record::{DeviceState, IpState, SessionState, User};
use crate::trust::subjects::shard::PARTS;
use crate::trust::subjects::store::SubjectKind;
use crate::trust::subjects::window::{Millis, StoredEvent};

/// A part is swept at most this often, so that every part is within about a minute.
const EVERY: i64 = 1_000;

impl Core {
    /// Sweeps one part if it is time.
    pub(crate) fn sweep_some(&self, now: Timestamp) {
        let (at, last) = (now.as_millis(), self.last_swept.load(Ordering::Relaxed));
        // A clock that went back sweeps too, and sets the instant right.
        if (0..EVERY).contains(&at.saturating_sub(last)) {
            return;
        }
        let mine = self
            .last_swept
            .compare_exchange(last, at, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            self.sweep(self.next_swept.fetch_add(1, Ordering::Relaxed) % PARTS, now);
        }
    }

    /// Sweeps one part.
    pub(super) fn sweep(&self, part: usize, now: Timestamp) {
        let config = self.config.load();
        let now = now.as_millis();
        let mut gone: Vec<StoredEvent> = Vec::new();
        let mut over: Vec<SubjectKind> = Vec::new();
        sweep::<User>(self, part, now, &config, &mut gone, &mut over);
        sweep::<SessionState>(self, part, now, &config, &mut gone, &mut over);
        sweep::<DeviceState>(self, part, now, &config, &mut gone, &mut over);
        sweep::<IpState>(self, part, now, &config, &mut gone, &mut over);
        self.forget_events(gone);
        self.mark(over);
    }
}

/// Takes out of one part what is past its retention: events, and whole records.
fn sweep<S: Subject>(
    core: &Core,
    part: usize,
    now: Millis,
    config: &SignalsConfig,
    gone: &mut Vec<StoredEvent>,
    over: &mut Vec<SubjectKind>,
) {
    S::records(core).retain(part, |key, state| {
        gone.extend(state.forget(now, config));
        let keep = !state.over(now, config);
        if !keep {
            gone.extend(state.events().map(|kept| kept.clone()));
            over.push(S::subject(key));
        }
        keep
    });
}
