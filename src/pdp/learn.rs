//! What a decision teaches: the store of signals is told, and operators where a break-glass principal acts.

use super::decide::Outcome;
use super::gather::{ClientOrigin, ask};
use super::score::Scoring;
use crate::request::{Purpose, Request};
use crate::trust::model::Score;
use crate::trust::subjects::{EventSubject, Notification, NotificationKind, Observation, Severity};

impl Scoring {
    /// Tells the store what a decision showed, if the decision is to be enforced.
    pub(super) fn learn(&self, request: &Request, place: Option<ClientOrigin>, outcome: &Outcome) {
        let (Some(place), Some(trust)) = (place, outcome.score()) else {
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
        store.observe(&Observation {
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
        tell(Notification {
            kind: NotificationKind::BreakGlass,
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
