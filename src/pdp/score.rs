//! A decision point's part in scoring: where signals are kept, and what decisions teach.

pub(crate) mod stage;
use std::sync::Arc;

use crate::pdp::decide::Outcome;
use crate::pdp::enrich::Enriched;
use crate::pdp::gather::{Place, Sources, ask, gather, place};
use crate::pdp::score::stage::{Assessed, Scored};
use crate::request::{Purpose, Request};
use crate::trust::geo::GeoSource;
use crate::trust::model::Score;
use crate::trust::subjects::{
    EventSubject, Notice, NoticeKind, NoticeSink, Seen, Severity, SignalStore, Standing,
};

/// Where facts come from, and where notices go. What decides a request is the configuration of its state.
#[derive(Default)]
pub(super) struct Scoring {
    pub(super) store: Option<Arc<dyn SignalStore>>,
    pub(super) geo: Option<Arc<dyn GeoSource>>,
    pub(super) notices: Option<NoticeSink>,
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
        enriched: Enriched<'a>,
        kept: &'a mut Option<Assessed>,
    ) -> (Scored<'a>, Option<Place>) {
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
            None => Standing::default(),
        };
        let inputs = gather(&enriched, trust, &mut place, standing);
        let assessed = kept.insert(Assessed {
            assessment: trust.model().assess(&inputs, enriched.now),
            inputs,
            mode: trust.mode(
                request.caller(),
                (request.principal(), request.action(), request.resource()),
                state.store().version(),
                &enriched.meter,
            ),
        });
        (Scored::new(enriched, Some(assessed)), Some(place))
    }

    /// Tells the store what a decision showed, if the decision is to be enforced.
    pub(super) fn learn(&self, request: &Request, place: Option<Place>, outcome: &Outcome) {
        let (Some(place), Some(trust)) = (place, outcome.trust()) else {
            return;
        };
        let assessment = trust.assessment();
        if assessment.exempt {
            self.break_glass(request, outcome);
        }
        let config = outcome.state().snapshot().trust();
        let (Some(store), Some(config)) = (&self.store, config) else {
            return;
        };
        if request.purpose() != Purpose::Enforce {
            return;
        }
        let (unusual_hour, unusual_rate) = config.model().unusual(assessment);
        store.observe(&Seen {
            ask: ask(request, &place, outcome.evaluated_at()),
            allowed: outcome.is_allow(),
            named: request.caller().is_named(),
            vouched: place.vouched,
            by_trust: trust.is_cause(),
            point: place.point,
            band: assessment.band,
            impossible_speed: assessment.impossible_speed,
            unusual_hour,
            unusual_rate,
        });
    }

    /// A break-glass principal acts: nothing is held against it, and nothing of it goes unseen.
    fn break_glass(&self, request: &Request, outcome: &Outcome) {
        let (principal, action, resource) =
            (request.principal(), request.action(), request.resource());
        let decision = outcome.decision();
        tracing::warn!(
            %principal, %action, %resource, %decision,
            caller = request.caller().name(),
            "a break-glass principal acts"
        );
        let Some(tell) = &self.notices else {
            return;
        };
        let at = outcome.evaluated_at();
        tell(Notice {
            kind: NoticeKind::BreakGlass,
            name: "break_glass".to_owned(),
            id: format!(
                "break_glass:{principal}:{action}:{resource}:{}",
                at.as_millis()
            ),
            at,
            severity: Severity::High,
            risk: Score::ZERO,
            subject: EventSubject {
                user: Some(principal.clone()),
                ip: request.client().and_then(|client| client.ip),
                session: request.client().and_then(|client| client.session.clone()),
                device: request.client().and_then(|client| client.device.clone()),
            },
            detail: format!("{principal}: {decision} for {action} on {resource}"),
        });
    }
}
