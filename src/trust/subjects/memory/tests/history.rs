//! What decisions leave: places, hours, sightings, rates.

use super::*;
use crate::trust::model::{Familiarity, Point};

#[test]
fn only_what_was_allowed_becomes_history() {
    let bench = Bench::new();
    let ada = user("ada");
    let mut denied = seen(&ada, HERE, 0);
    denied.allowed = false;
    bench.signals.observe(&denied);
    assert_eq!(bench.standing("ada", HERE, 0), SubjectState::default());
    let mut allowed = seen(&ada, HERE, 0);
    allowed.point = Some((
        Point {
            latitude: 1,
            longitude: 2,
        },
        30,
    ));
    allowed.band = Band::Medium;
    bench.signals.observe(&allowed);
    let standing = bench.standing("ada", HERE, MINUTE);
    assert!(standing.known && standing.suspicious == Some(false));
    assert_eq!(standing.last_band, Some(Band::Medium));
    let last = standing.last_sighting.unwrap();
    assert_eq!(
        (last.point, last.accuracy, last.at),
        (
            Point {
                latitude: 1,
                longitude: 2
            },
            30,
            at(0)
        )
    );
    assert_eq!(
        (standing.behavior.history, standing.behavior.hour_share),
        (0, Score::ZERO)
    );
    let next = bench.standing("ada", HERE, DAY).behavior;
    assert_eq!((next.history, next.hour_share), (1, Score::ONE));
}

#[test]
fn nothing_is_bought_in_a_hurry() {
    let bench = Bench::new();
    let ada = user("ada");
    let before = bench.signals.standing(&seen(&ada, HERE, 0).ask);
    for n in 0..10_000 {
        bench.signals.observe(&seen(&ada, HERE, n));
    }
    let after = bench.signals.standing(&seen(&ada, HERE, 10_000).ask);
    assert_eq!(after.behavior, before.behavior);
    assert_eq!(after.place, before.place);
    // It takes as many days as the history is asked for.
    for day in 1..=20 {
        assert_eq!(
            bench.standing("ada", HERE, day * DAY).behavior.history,
            day as u32
        );
        bench.signals.observe(&seen(&ada, HERE, day * DAY));
    }
}

#[test]
fn an_anonymous_caller_makes_no_history_and_changes_none() {
    let bench = Bench::new();
    let (ada, eve) = (user("ada"), user("eve"));
    bench.signals.observe(&seen(&ada, HERE, 0));
    let one = about().user("ada").session("s");
    bench.happens(EventKind::SessionEstablished, 0, &one);
    let known = SubjectKind::User(ada.clone());
    let before = bench.signals.describe(&known, at(DAY));
    for user in [&ada, &eve] {
        let mut seen = seen(user, THERE, HOUR);
        seen.named = false;
        seen.ask.session = Some("s");
        seen.band = Band::High;
        (seen.unusual_hour, seen.unusual_rate) = (true, true);
        bench.signals.observe(&seen);
    }
    assert_eq!(bench.signals.describe(&known, at(DAY)), before);
    assert_eq!(
        bench.signals.describe(&SubjectKind::User(eve), at(DAY)),
        None
    );
}

#[test]
fn an_older_sighting_does_not_take_the_place_of_a_newer_one() {
    let bench = Bench::new();
    let ada = user("ada");
    for (offset, latitude) in [(10, 1), (5, 2)] {
        let mut seen = seen(&ada, HERE, offset);
        seen.point = Some((
            Point {
                latitude,
                longitude: 0,
            },
            1,
        ));
        bench.signals.observe(&seen);
    }
    assert_eq!(
        bench
            .standing("ada", HERE, 20)
            .last_sighting
            .unwrap()
            .point
            .latitude,
        1
    );
}

#[test]
fn a_place_is_known_after_three_days() {
    let bench = Bench::new();
    let ada = user("ada");
    let place = |country: &str, address: &str, offset| {
        let mut ask = seen(&ada, address, offset).ask;
        ask.country = Country::new(country);
        bench.signals.standing(&ask).place
    };
    assert_eq!(place("CH", HERE, 0), Some(Familiarity::NewCountry));
    for day in 0..3 {
        bench.signals.observe(&seen(&ada, HERE, day * DAY));
        let expect = match day {
            0 => Familiarity::NewCountry,
            1 => Familiarity::KnownCountry,
            _ => Familiarity::Known,
        };
        assert_eq!(place("CH", HERE, day * DAY), Some(expect), "{day}");
    }
    assert_eq!(place("CH", THERE, 3 * DAY), Some(Familiarity::KnownCountry));
    assert_eq!(place("FR", HERE, 3 * DAY), Some(Familiarity::NewCountry));
    assert_eq!(place("", HERE, 3 * DAY), None);
}

#[test]
fn what_is_unusual_is_adverse() {
    for (hour, rate) in [(true, false), (false, true), (false, false)] {
        let bench = Bench::new();
        let ada = user("ada");
        let mut seen = seen(&ada, HERE, 0);
        (seen.unusual_hour, seen.unusual_rate) = (hour, rate);
        bench.signals.observe(&seen);
        let expect = (hour || rate).then(|| at(0));
        assert_eq!(bench.standing("ada", HERE, 1).behavior.last_adverse, expect);
        bench.remediate(SubjectKind::User(ada.clone()), 1);
        assert_eq!(bench.standing("ada", HERE, 1).behavior.last_adverse, None);
    }
}

#[test]
fn rates_are_counted_where_they_are_switched_on() {
    for enabled in [false, true] {
        let bench = Bench::with(|config| config.rates.enabled = enabled);
        let ada = user("ada");
        bench.signals.observe(&seen(&ada, HERE, 0));
        for (allowed, by_trust) in [(false, false), (false, true), (true, false)] {
            let mut seen = seen(&ada, HERE, 1);
            (seen.allowed, seen.by_trust) = (allowed, by_trust);
            bench.signals.observe(&seen);
        }
        let behavior = bench.standing("ada", HERE, 2).behavior;
        let expect = if enabled { (1, 3) } else { (0, 0) };
        assert_eq!((behavior.denies, behavior.requests), expect);
        let mut other = seen(&ada, HERE, 2).ask;
        other.caller = "another";
        assert_eq!(bench.signals.standing(&other).behavior.requests, 0);
    }
}

#[test]
fn a_denied_request_that_is_repeated_changes_nothing() {
    let bench = Bench::new();
    let ada = user("ada");
    for day in 0..3 {
        bench.signals.observe(&seen(&ada, HERE, day * DAY));
    }
    let before = bench.standing("ada", HERE, 3 * DAY);
    for n in 0..1_000 {
        let mut seen = seen(&ada, THERE, 2 * DAY + n);
        seen.allowed = false;
        seen.by_trust = n % 2 == 0;
        (seen.unusual_hour, seen.unusual_rate) = (true, true);
        seen.point = Some((
            Point {
                latitude: 0,
                longitude: 0,
            },
            0,
        ));
        seen.impossible_speed = (n % 3 == 0).then_some(9_999);
        seen.band = Band::High;
        bench.signals.observe(&seen);
    }
    assert_eq!(bench.standing("ada", HERE, 3 * DAY), before);
}
