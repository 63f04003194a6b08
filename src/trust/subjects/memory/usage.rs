//! How full the rooms are.

use super::Core;
use super::entries::{all_sessions, subjects, windows};
use crate::trust::subjects::store::Usage;

impl Core {
    /// How full each room is.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let config = self.config.load();
        let strangers = self.strangers.len().min(self.users.len());
        let room = |room, used, limit, setting| Usage {
            room,
            used,
            limit,
            refuses: room != "strangers",
            setting,
        };
        let bounds = &config.bounds;
        let limit = |bound: u32| usize::try_from(bound).unwrap_or(usize::MAX);
        let (most, windowed) = ("max_subjects", "max_windows");
        vec![
            room(
                "subjects",
                self.users.len().saturating_sub(strangers),
                limit(bounds.max_subjects),
                most,
            ),
            room(
                "strangers",
                strangers,
                limit(bounds.max_strangers),
                "max_strangers",
            ),
            room("sessions", self.sessions.len(), all_sessions(&config), most),
            room("devices", self.devices.len(), subjects(&config), most),
            room("addresses", self.ips.len(), windows(&config), windowed),
        ]
    }
}
