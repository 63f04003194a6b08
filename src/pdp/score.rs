//! A decision point's part in scoring: where signals are kept, and how a request gets its score.

pub(crate) mod stage;
use std::sync::Arc;

use crate::pdp::enrich::Enriched;
use crate::pdp::gather::{ClientOrigin, Sources, ask, gather, place};
use crate::pdp::score::stage::{Assessed, AssessedBox, Scored};
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
        let fill = |assessed: &mut Assessed| {
            // Taken apart, so that no member keeps what it held for another request.
            let Assessed {
                assessment,
                inputs,
                mode,
            } = assessed;
            *inputs = gather(enriched, trust, &mut place, standing);
            *assessment = trust.model().assess(inputs, enriched.now);
            *mode = trust.mode(request.caller(), &enriched.asked());
        };
        let assessed = kept.insert(AssessedBox::filled(fill));
        (Scored::new(enriched, Some(assessed.get())), Some(place))
    }
}
