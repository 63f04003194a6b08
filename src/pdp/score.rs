//! A decision point's part in scoring: where signals are kept, and how a request gets its score.

pub(crate) mod stage;
use std::sync::Arc;

use crate::pdp::enrich::Enriched;
use crate::pdp::gather::{ClientOrigin, Sources, ask, gather, place};
use crate::pdp::score::stage::{AssessedBox, Scored};
use crate::trust::geo::GeoSource;
use crate::trust::subjects::{NotificationSink, SignalStore, SubjectState};

/// Where facts come from, and where notices go. What decides a request is the configuration of its state.
#[derive(Default)]
pub(super) struct Scoring {
    pub(super) store: Option<Arc<dyn SignalStore>>,
    pub(super) geo: Option<Arc<dyn GeoSource>>,
    pub(super) notices: Option<NotificationSink>,
}

impl std::fmt::Debug for Scoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scoring")
            .field("store", &self.store)
            .field("geo", &self.geo)
            .finish_non_exhaustive()
    }
}

impl Scoring {
    /// Scores a request, where its state asks for scores; and says where it comes from.
    pub(super) fn score<'a>(
        &self,
        enriched: &'a Enriched<'a>,
        kept: &'a mut Option<AssessedBox>,
    ) -> (Scored<'a>, Option<ClientOrigin>) {
        let state = enriched.state;
        let Some(trust) = state.snapshot().trust() else {
            return (Scored::new(enriched, None), None);
        };
        let sources = Sources {
            store: self.store.as_deref(),
            geo: self.geo.as_deref(),
        };
        let request = enriched.request;
        let mut place = place(request, sources);
        let standing = match sources.store {
            Some(store) => store.standing(&ask(request, &place, enriched.now)),
            None => SubjectState::default(),
        };
        let assessed = kept.insert(AssessedBox::filled(|assessed| {
            assessed.inputs = gather(enriched, trust, &mut place, standing);
            assessed.assessment = trust.model().assess(&assessed.inputs, enriched.now);
            assessed.mode = trust.mode(request.caller(), &enriched.asked());
        }));
        (Scored::new(enriched, Some(assessed.get())), Some(place))
    }
}
