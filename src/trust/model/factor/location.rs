//! The factor `location`: where the principal is, and whether it can have come there.
//!
//! The rule of speed takes both radii of accuracy from the distance, and only what is too fast even so
//! is a finding. In the score of `calibrated` the radius that comes with the request does not count in
//! its favour: a place that is too inexact to tell the speed counts like one that is too far, or
//! claiming a bad accuracy would beat reporting the place. So does a place that is not reported at all.

use super::{Known, Measure, Sum, settle};
use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::trust::model::adjustment::Adjustment;
use crate::trust::model::checked::Model;
use crate::trust::model::geo::Route;
use crate::trust::model::input::{Familiarity, Listed, Location};

/// The factor, and the speed in km/h where it is beyond what is possible.
pub(crate) fn measure(
    model: &Model,
    location: &Location,
    now: Timestamp,
) -> (Measure, Option<u32>) {
    let config = model.config();
    let of = &config.location;
    let worst = model.unknown_is_worst();
    let mut sum = Sum::new(model, of.base);
    match (location.country, location.place) {
        (Some(_), Some(Familiarity::Known)) => sum.add(Adjustment::KnownPlace),
        (Some(_), Some(Familiarity::KnownCountry)) => sum.add(Adjustment::KnownCountry),
        (Some(_), Some(Familiarity::NewCountry)) => sum.add(Adjustment::NewCountry),
        _ => sum.add_if(worst, Adjustment::CountryUnknown),
    }
    match (location.country, location.listed) {
        (Some(_), Listed::Allowed) => sum.add(Adjustment::Allowed),
        (_, Listed::Denied) => sum.add(Adjustment::Denied),
        (Some(_), Listed::No) => {}
        (None, _) => sum.add_if(worst, Adjustment::DeniedUnknown),
    }
    let impossible = add_speed(&mut sum, model, location, now);
    let exact = match location.point {
        Some((_, accuracy)) => u64::from(accuracy) <= u64::from(of.inexact_km) * 1_000,
        // A country alone is not an exact place.
        None => !worst,
    };
    let known = Known {
        any: location.country.is_some() || location.point.is_some(),
        evident: &location.evident,
        max_age: config.max_age.location.map(Span::whole_seconds),
        rule: config.on_missing.location,
        floor: model.floors().location,
    };
    let confidence = if exact {
        of.confidence
    } else {
        of.confidence_inexact
    };
    (settle(&known, &sum, confidence, now), impossible)
}

fn add_speed(sum: &mut Sum<'_>, model: &Model, location: &Location, now: Timestamp) -> Option<u32> {
    let of = &model.config().location;
    let worst = model.unknown_is_worst();
    let last = location.last.as_ref()?;
    let Some((point, accuracy)) = location.point else {
        sum.add_if(worst, Adjustment::SpeedUnknown);
        return None;
    };
    let way = Route::new(last, point, now, of.speed_least_time.whole_seconds());
    let slack = u64::from(last.accuracy);
    if !way.faster(of.speed_kmh, slack) {
        return None;
    }
    let slack = slack + u64::from(accuracy);
    if way.faster(of.speed_kmh, slack) {
        sum.add(Adjustment::Speed);
        return Some(way.speed(slack));
    }
    sum.add_if(worst, Adjustment::SpeedInexact);
    None
}
