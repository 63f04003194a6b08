//! The factor `resource_sensitivity`: one less the required trust. It takes part under `literal` only;
//! under `calibrated` what a resource demands is its requirement and nothing else.

use super::Measure;
use crate::trust::model::assessment::Status;
use crate::trust::model::checked::Model;
use crate::trust::model::config::Preset;
use crate::trust::model::input::Source;
use crate::trust::model::number::Score;

pub(crate) fn measure(model: &Model, required: Score) -> Measure {
    let literal = model.preset() == Preset::Literal;
    let absent = Measure {
        score: Score::ZERO,
        confidence: Score::ZERO,
        status: Status::Unavailable,
        source: Source::None,
        observed: None,
        adjustments: 0,
    };
    if !literal {
        return absent;
    }
    Measure {
        score: (Score::ONE - required).clamped(),
        confidence: model.config().resource_sensitivity.confidence,
        status: Status::Ok,
        source: Source::Configured,
        ..absent
    }
}
