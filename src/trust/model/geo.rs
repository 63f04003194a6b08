//! Distances on the earth in integers, for the rule of speed.
//!
//! What enters: two points and a distance. What leaves: whether they are farther apart. What must
//! hold: any input has an answer; a latitude beyond a pole is the pole, a longitude goes round.
//!
//! Sines are fixed-point numbers with 30 fractional bits. Comparing is done on `sin²(angle / 2)` (the
//! haversine), which is exact for small distances, where an arc cosine is not; no arc function is needed.

use super::input::{Point, Sighting};
use crate::base::timestamp::Timestamp;

/// 1 with 30 fractional bits.
const ONE: i64 = 1 << 30;
/// Millionths of a degree to radians: `pi / 180e6 * 2^60`.
const RADIANS: i64 = 20_122_276_272;
/// Metres to half the central angle: `2^60 / (2 * 6,371,009)`, by the earth's mean radius.
const HALF_ANGLE: i64 = 90_481_861_241;
/// Half of a great circle in metres.
const FARTHEST: u64 = 20_015_115;
/// A right angle in radians.
const RIGHT: i64 = 1_686_629_713;

/// The sine of an angle from 0 to a right one, in radians.
fn sine(angle: i64) -> i64 {
    let x = angle.clamp(0, RIGHT);
    let square = times(x, x);
    // Taylor's series to x^15, by Horner; the rest is below 2^-30.
    let mut sum = ONE;
    for divisor in [14 * 15, 12 * 13, 10 * 11, 8 * 9, 6 * 7, 4 * 5, 2 * 3] {
        sum = ONE - times(square, sum) / divisor;
    }
    times(x, sum).clamp(0, ONE)
}

fn times(a: i64, b: i64) -> i64 {
    (a * b) >> 30
}

/// The radians of an angle in millionths of a degree, from 0 to 180 degrees.
fn radians(millionths: i64) -> i64 {
    (millionths.clamp(0, 180_000_000) * RADIANS) >> 30
}

/// The haversine of the central angle between two points.
fn haversine(a: Point, b: Point) -> i64 {
    let latitude = |point: Point| i64::from(point.latitude).clamp(-90_000_000, 90_000_000);
    let north = (latitude(a) - latitude(b)).abs();
    let east = (i64::from(a.longitude) - i64::from(b.longitude)).rem_euclid(360_000_000);
    let east = east.min(360_000_000 - east);
    let cosine = |point| sine(radians(90_000_000 - latitude(point).abs()));
    let (north, east) = (sine(radians(north) / 2), sine(radians(east) / 2));
    times(north, north) + times(times(cosine(a), cosine(b)), times(east, east))
}

/// The haversine of a distance in metres.
fn haversine_of(metres: u64) -> i64 {
    let metres = i64::try_from(metres.min(FARTHEST)).unwrap_or(0);
    let half = sine((metres * HALF_ANGLE) >> 30);
    times(half, half)
}

/// Whether two points are more than so many metres apart.
pub(super) fn farther(a: Point, b: Point, metres: u64) -> bool {
    metres < FARTHEST && haversine(a, b) > haversine_of(metres)
}

/// The distance in metres, to a few metres.
pub(super) fn distance(a: Point, b: Point) -> u64 {
    let sought = haversine(a, b);
    let (mut low, mut high) = (0, FARTHEST);
    while low < high {
        let middle = u64::midpoint(low, high);
        if haversine_of(middle) < sought {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// A way from the last sighting to a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    from: Point,
    to: Point,
    /// What the time counts, in milliseconds.
    millis: u64,
}

impl Route {
    /// The time counts at least `least` seconds, so that two requests at once are judged too; a
    /// sighting that lies ahead counts by its distance in time, as it takes as long either way.
    pub(super) fn new(last: &Sighting, to: Point, now: Timestamp, least: u32) -> Self {
        let millis = now.as_millis().abs_diff(last.at.as_millis());
        Self {
            from: last.point,
            to,
            millis: millis.max(u64::from(least) * 1_000),
        }
    }

    /// Whether the speed is above `kmh` even if the distance is `slack` metres shorter.
    pub(super) fn faster(&self, kmh: u32, slack: u64) -> bool {
        // A kilometre an hour is a metre in 3,600 ms.
        let covered = u128::from(kmh) * u128::from(self.millis) / 3_600;
        let covered = u64::try_from(covered).unwrap_or(u64::MAX);
        farther(self.from, self.to, covered.saturating_add(slack))
    }

    /// The speed in km/h with `slack` metres less.
    pub(super) fn speed(&self, slack: u64) -> u32 {
        let metres = distance(self.from, self.to).saturating_sub(slack);
        u32::try_from(metres.saturating_mul(3_600) / self.millis.max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(latitude: f64, longitude: f64) -> Point {
        Point {
            latitude: (latitude * 1e6) as i32,
            longitude: (longitude * 1e6) as i32,
        }
    }

    /// The same in floating point.
    fn reference(a: Point, b: Point) -> f64 {
        let rad = |millionths: i32| f64::from(millionths) / 1e6 * std::f64::consts::PI / 180.0;
        let (north, east) = (
            rad(a.latitude) - rad(b.latitude),
            rad(a.longitude) - rad(b.longitude),
        );
        let h = (north / 2.0).sin().powi(2)
            + rad(a.latitude).cos() * rad(b.latitude).cos() * (east / 2.0).sin().powi(2);
        2.0 * 6_371_009.0 * h.sqrt().min(1.0).asin()
    }

    #[test]
    fn distances_are_those_of_floating_point() {
        let places = [
            point(52.52, 13.405),
            point(48.8566, 2.3522),
            point(40.7128, -74.006),
            point(-33.8688, 151.2093),
            point(90.0, 0.0),
            point(-90.0, 77.0),
            point(0.0, 180.0),
            point(0.0, -180.0),
            point(0.0, 0.0),
            point(52.53, 13.405),
        ];
        for a in places {
            for b in places {
                let (found, exact) = (distance(a, b) as f64, reference(a, b));
                // Near the opposite point the haversine is flat.
                let near = if exact > 19_900_000.0 { 1_000.0 } else { 40.0 };
                assert!((found - exact).abs() < near, "{a:?} {b:?}: {found} {exact}");
                if exact > 1_000.0 && exact < 19_900_000.0 {
                    assert!(farther(a, b, (exact - 40.0) as u64));
                    assert!(!farther(a, b, (exact + 40.0) as u64));
                }
            }
        }
    }

    #[test]
    fn extremes_have_an_answer() {
        for a in [i32::MIN, -1, 0, i32::MAX] {
            for b in [i32::MIN, -1, 0, i32::MAX] {
                let at = |latitude, longitude| Point {
                    latitude,
                    longitude,
                };
                assert!(distance(at(a, b), at(b, a)) <= FARTHEST);
                assert!(!farther(at(a, b), at(b, a), u64::MAX));
            }
        }
    }
}
