//! The band of a risk, with hysteresis.

use super::config::BandsConfig;
use super::input::Band;
use super::number::Score;

/// The band of a risk. A band is entered upwards at its beginning and left downwards only where the risk
/// is `hysteresis` below it, so that a risk about a threshold does not flap, and a rise shows at once.
pub(super) fn band(config: &BandsConfig, risk: Score, previous: Option<Band>) -> Band {
    let begins = |band: Band, at: Score| {
        if previous >= Some(band) {
            at - config.hysteresis
        } else {
            at
        }
    };
    if risk >= begins(Band::High, config.high) {
        Band::High
    } else if risk >= begins(Band::Medium, config.medium) {
        Band::Medium
    } else {
        Band::Low
    }
}
