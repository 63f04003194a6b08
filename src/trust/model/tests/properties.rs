//! The invariants, over arbitrary inputs and accepted configurations.

use proptest::prelude::*;

use super::degrade::DEGRADE;
use super::draw::draw;
use super::support::*;
use crate::base::timestamp::Timestamp;
use crate::trust::model::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contributions_sum_to_the_composite(mut draw in draw()) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let found = model.assess(&draw.inputs(), now());
            let sum = found.factors.iter().fold(Score::ZERO, |sum, one| sum + one.contribution);
            prop_assert_eq!(sum, found.composite);
            prop_assert_eq!(found.composite, found.composite.clamped());
            for factor in found.factors {
                prop_assert!(factor.contribution >= Score::ZERO);
                prop_assert_eq!(factor.score, factor.score.clamped());
            }
        }
    }

    #[test]
    fn a_worse_or_missing_signal_never_pays(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let inputs = draw.inputs();
        let shown = model.assess(&inputs, now());
        for (name, degrade) in DEGRADE {
            let mut worse = inputs.clone();
            degrade(&mut worse);
            let found = model.assess(&worse, now());
            prop_assert!(found.composite <= shown.composite, "{}: {:?} {:?}", name, shown, found);
            prop_assert!(found.band >= shown.band, "{}", name);
            prop_assert!(found.level.required >= shown.level.required, "{}", name);
            prop_assert!(found.level.reached <= shown.level.reached, "{}", name);
            prop_assert!(found.knock_outs.contains(shown.knock_outs), "{}", name);
            prop_assert_eq!(found.required, shown.required, "{}", name);
        }
    }

    #[test]
    fn worse_risk_never_lowers_a_level_of_the_published_model(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Literal) else { return Ok(()) };
        let mut inputs = draw.inputs();
        let shown = model.assess(&inputs, now()).level.required;
        inputs.risk.finding = inputs.risk.finding.clamped().max(draw.share());
        inputs.risk.level = inputs.risk.level.max(draw.band());
        prop_assert!(model.assess(&inputs, now()).level.required >= shown);
    }

    #[test]
    fn every_classification_is_in_reach_of_every_role(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        for role in Role::ALL {
            let mut inputs = crate::trust::model::reach::best(model.config(), model.lists(), role, now());
            let classes = model.config().required.classifications.len() as u16;
            for class in (0..classes).map(Some).chain([None]) {
                for compliance in 0..=4 {
                    inputs.target.classification = class;
                    inputs.target.compliance = compliance;
                    let found = model.assess(&inputs, now());
                    prop_assert!(found.trusted(), "{:?} {:?} {:?}", role, class, found);
                    prop_assert!(found.knock_outs.is_empty());
                }
            }
        }
    }

    #[test]
    fn nothing_beats_the_best_request_of_a_role(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let mut inputs = draw.inputs();
        if !model.lists().allow_list && inputs.location.listed == Listed::Allowed {
            inputs.location.listed = Listed::No;
        }
        let configured = |class| model.lists().networks.contains(&class);
        inputs.network.class = inputs.network.class.filter(|class| configured(*class));
        let role = match (inputs.identity.admin, inputs.identity.privileged) {
            (false, false) => Role::Plain,
            (true, false) => Role::Admin,
            (false, true) => Role::Privileged,
            (true, true) => Role::AdminAndPrivileged,
        };
        prop_assert!(model.assess(&inputs, now()).composite <= model.reach(role));
    }

    #[test]
    fn missing_never_beats_perfect(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let best = crate::trust::model::reach::best(model.config(), model.lists(), Role::Plain, now());
        let perfect = model.assess(&best, now()).composite;
        let without: [fn(&mut Inputs); 5] = [
            |i| i.identity = Identity::default(),
            |i| i.device = Device::default(),
            |i| i.location = Location::default(),
            |i| i.behavior = Behavior::default(),
            |i| i.network = Network::default(),
        ];
        for take in without {
            let mut inputs = best.clone();
            take(&mut inputs);
            prop_assert!(model.assess(&inputs, now()).composite <= perfect);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_output(mut draw in draw()) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let again = Model::new(preset, model.config(), model.lists()).unwrap();
            let inputs = draw.inputs();
            let (one, other) = (model.assess(&inputs, now()), again.assess(&inputs.clone(), now()));
            prop_assert_eq!(one, other);
            prop_assert_eq!(breakdown(&model, &one), breakdown(&again, &other));
        }
    }

    #[test]
    fn an_option_that_is_completed_makes_the_request_pass(mut draw in draw()) {
        let Some(model) = draw.model(Preset::Calibrated) else { return Ok(()) };
        let inputs = draw.inputs();
        let (trust, level) = (draw.share(), draw.below(5) as u8);
        let step_up = model.step_up(&inputs, trust, level, now());
        prop_assert!(step_up.other.is_empty());
        for offer in step_up.ordered(None) {
            // As a request is made again: with the evidence, and what it proves.
            let mut after = inputs.clone();
            after.authentication.evidence.push(Evidence {
                method: Some(offer.method),
                level: None,
                user_verified: offer.user_verification,
                at: now(),
                until: None,
            });
            let proven = model.proven(&after.authentication.evidence[inputs.authentication.evidence.len()..], now());
            if proven.multi_factor {
                after.identity.mfa_verified = Some(true);
            }
            if proven.phishing_resistant {
                after.identity.phishing_resistant = Some(true);
            }
            let found = model.assess(&after, now());
            prop_assert!(found.composite >= trust && found.level.reached >= level, "{:?}", offer);
            prop_assert!(found.knock_outs.is_empty());
            prop_assert!(offer.method != Method::AdminApproval);
        }
    }

    #[test]
    fn a_reached_level_falls_with_time(mut draw in draw(), later in 0_i64..200_000) {
        for preset in BOTH {
            let Some(model) = draw.model(preset) else { continue };
            let mut inputs = Inputs::default();
            for _ in 0..draw.below(9) {
                let mut one = draw.evidence();
                one.at = one.at.min(now());
                inputs.authentication.evidence.push(one);
            }
            let first = model.assess(&inputs, now()).level;
            let then = before(-later * SECOND);
            let found = model.assess(&inputs, then).level;
            prop_assert!(found.reached <= first.reached);
            // It stands until the instant that is said, and no longer.
            if let Some(until) = first.until {
                prop_assert!(then >= until || found.reached == first.reached);
                let after = Timestamp::from_millis(until.as_millis() + 1);
                prop_assert!(model.assess(&inputs, after).level.reached <= first.reached);
            }
        }
    }

    #[test]
    fn extremes_have_a_result(mut draw in draw(), millis in any::<i64>()) {
        let extremes = [0, 1, u32::MAX, i32::MAX as u32, i32::MIN as u32];
        for number in &mut draw.numbers {
            if *number % 3 == 0 {
                *number = extremes[(*number / 3 % 5) as usize];
            }
        }
        for preset in BOTH {
            let model = model(preset);
            let mut inputs = draw.inputs();
            inputs.behavior.usual_denies = u64::MAX;
            inputs.target.compliance = u8::MAX;
            inputs.target.base_level = Some(u8::MAX);
            for millis in [millis, i64::MIN, i64::MAX] {
                let at = Timestamp::from_millis(millis);
                let found = model.assess(&inputs, at);
                breakdown(&model, &found);
                let _ = model.step_up(&inputs, draw.any_score(), u8::MAX, at);
            }
        }
    }
}
