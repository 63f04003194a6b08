//! The factor `network`: where the request comes from on the network.
//!
//! Without a configured network it takes no part. That is a setting of the model, which no request
//! can change.

use super::{Known, Measure, Sum, settle};
use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::trust::model::adjustment::Adjustment;
use crate::trust::model::assessment::Status;
use crate::trust::model::checked::Model;
use crate::trust::model::input::{Network, Source};
use crate::trust::model::number::Score;

pub(crate) fn measure(model: &Model, network: &Network, now: Timestamp) -> Measure {
    let config = model.config();
    let of = &config.network;
    if !model.measures_networks() {
        return Measure {
            score: Score::ZERO,
            confidence: Score::ZERO,
            status: Status::Unavailable,
            source: Source::None,
            observed: None,
            adjustments: 0,
        };
    }
    // The class stands in the place of a base.
    let mut sum = Sum::new(model, Score::ZERO);
    let confidence = match (network.address, network.class) {
        (true, Some(class)) => {
            sum.add(Adjustment::of_class(class));
            of.confidence_matched
        }
        (false, _) if model.unknown_is_worst() => {
            sum.add(Adjustment::AddressUnknown);
            of.confidence_matched.min(of.confidence_unmatched)
        }
        _ => {
            sum.add(Adjustment::NoMatch);
            of.confidence_unmatched
        }
    };
    sum.add_if(network.mutual_tls == Some(true), Adjustment::MutualTls);
    let known = Known {
        any: network.address || network.mutual_tls.is_some(),
        evident: &network.evident,
        max_age: config.max_age.network.map(Span::whole_seconds),
        rule: config.on_missing.network,
        floor: model.floors().network,
    };
    settle(&known, &sum, confidence, now)
}
