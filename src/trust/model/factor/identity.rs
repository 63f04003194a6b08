//! The factor `identity`: what is known of the account.

use super::{Known, Measure, Sum, age, settle};
use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::trust::model::adjustment::Adjustment;
use crate::trust::model::checked::Model;
use crate::trust::model::input::Identity;

pub(crate) fn measure(model: &Model, identity: &Identity, now: Timestamp) -> Measure {
    let config = model.config();
    let of = &config.identity;
    let mut sum = Sum::new(model, of.base);
    sum.add_if(identity.mfa_enrolled == Some(true), Adjustment::MfaEnrolled);
    sum.add_if(identity.mfa_verified == Some(true), Adjustment::MfaVerified);
    sum.add_if(
        identity.phishing_resistant == Some(true),
        Adjustment::PhishingResistant,
    );
    let old = identity.account_created.is_some_and(|created| {
        age(created, now, config.clock_skew.whole_seconds())
            .is_some_and(|age| age > of.account_older_than.millis())
    });
    sum.add_if(old, Adjustment::AccountAge);
    sum.add_if(identity.suspicious == Some(false), Adjustment::NoSuspicious);
    sum.add_if(identity.admin, Adjustment::Admin);
    sum.add_if(identity.privileged, Adjustment::Privileged);
    let known = Known {
        any: identity.mfa_enrolled.is_some()
            || identity.mfa_verified.is_some()
            || identity.phishing_resistant.is_some()
            || identity.account_created.is_some()
            // What speaks against the account makes it no better known.
            || identity.suspicious == Some(false),
        evident: &identity.evident,
        max_age: config.max_age.identity.map(Span::whole_seconds),
        rule: config.on_missing.identity,
        floor: model.floors().identity,
    };
    settle(&known, &sum, of.confidence, now)
}
