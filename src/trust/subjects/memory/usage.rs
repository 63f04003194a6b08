//! How full the rooms are.

use super::Core;
use super::subject::Subject;
use crate::trust::subjects::record::{DeviceState, IpState, SessionState, User};
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
        let (most, windowed) = ("max_subjects", "max_windows");
        let many = usize::try_from(config.bounds.max_strangers).unwrap_or(usize::MAX);
        let users = self.users.len().saturating_sub(strangers);
        vec![
            room("subjects", users, User::most(&config), most),
            room("strangers", strangers, many, "max_strangers"),
            room(
                "sessions",
                self.sessions.len(),
                SessionState::most(&config),
                most,
            ),
            room(
                "devices",
                self.devices.len(),
                DeviceState::most(&config),
                most,
            ),
            room(
                "addresses",
                self.ips.len(),
                IpState::most(&config),
                windowed,
            ),
        ]
    }
}
