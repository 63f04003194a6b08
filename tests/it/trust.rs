//! Trust in decisions, through the library: requirements of permits, floors and their modes, knock-outs,
//! injected context, and that every offered step-up is one.

use deodar::score::{Band, Country, DeviceFacts, DeviceTrust, Method, NetworkClass, Score};
use deodar::{
    Authentication, Caller, Cause, Client, Decision, DeviceSignals, EnforceRule, Enforcement,
    Handles, InlineRule, NetworkRule, Outcome, Pdp, PdpBuilder, Request, RequestBuilder, Scope,
    SensitivityRule, Signals, Timestamp, TrustConfig,
};
use proptest::prelude::*;

const NOW: &str = "2026-03-10T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn trust(mode: Enforcement) -> TrustConfig {
    let rule = |class: &str| deodar::ClassificationRule {
        resource_type: class.to_owned(),
        class: Some(class.to_lowercase()),
        ..deodar::ClassificationRule::default()
    };
    TrustConfig {
        enforcement: mode,
        classification: ["Public", "Internal", "Confidential", "Secret"]
            .map(rule)
            .into(),
        sensitivity: (1..=4)
            .map(|level| SensitivityRule {
                actions: vec![format!("Action::\"level{level}\"")],
                level,
                ..SensitivityRule::default()
            })
            .collect(),
        networks: vec![NetworkRule {
            cidr: "10.0.0.0/8".to_owned(),
            class: NetworkClass::Corporate,
        }],
        ..TrustConfig::default()
    }
}

fn builder(policies: &str) -> PdpBuilder {
    Pdp::builder()
        .policies_text("p.cedar", policies)
        .obligations(["log_access"])
}

fn pdp(policies: &str, config: TrustConfig) -> Pdp {
    builder(policies).trust(config).build().unwrap()
}

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

/// Everything that speaks for a request.
pub(crate) fn best() -> Signals {
    Signals {
        mfa_enrolled: Some(true),
        mfa_verified: Some(true),
        phishing_resistant: Some(true),
        account_created: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        suspicious_activity: Some(false),
        device: Some(DeviceSignals {
            registered: Some(true),
            facts: DeviceFacts {
                trust: Some(DeviceTrust::High),
                last_scan: Some("2026-03-09T10:00:00Z".parse().unwrap()),
                jailbroken: Some(false),
                current_os: Some(true),
                managed: Some(true),
                certificate: Some(true),
                indicators: None,
            },
            compliant: Some(true),
        }),
        country: Country::new("NO"),
        mutual_tls: Some(true),
        ..Signals::default()
    }
}

fn client() -> Client {
    Client {
        ip: Some("10.1.2.3".parse().unwrap()),
        ..Client::default()
    }
}

fn ask(action: &str, resource: &str) -> RequestBuilder {
    Request::builder()
        .principal(("User", "ada"))
        .action(("Action", action))
        .resource((resource, "it"))
        .client(client())
        .now(now())
}

fn authenticated(amr: &[&str]) -> Authentication {
    Authentication {
        amr: amr.iter().map(|value| (*value).to_owned()).collect(),
        auth_time: Some(now()),
        ..Authentication::default()
    }
}

fn decide(pdp: &Pdp, request: RequestBuilder) -> Outcome {
    pdp.authorize(&request.build().unwrap()).unwrap()
}

#[track_caller]
fn check(outcome: &Outcome, cause: Cause, would_be: Option<Cause>) {
    assert_eq!(outcome.cause(), cause, "{:?}", outcome.trust());
    let found = outcome.trust().and_then(|trust| trust.would_be());
    assert_eq!(found.map(|found| found.cause), would_be);
    assert_eq!(outcome.decision(), cause.decision());
}

#[test]
fn without_a_configuration_nothing_is_scored() {
    let pdp = builder(ALL).build().unwrap();
    let outcome = decide(&pdp, ask("level1", "Secret"));
    assert!(outcome.is_allow() && outcome.trust().is_none());
}

#[test]
fn report_changes_no_decision_and_says_what_would_be() {
    for (signals, would_be) in [
        (Signals::default(), Some(Cause::InsufficientTrust)),
        (best(), Some(Cause::StepUpRequired)),
    ] {
        let report = pdp(ALL, trust(Enforcement::Report));
        let outcome = decide(&report, ask("level1", "Internal").signals(signals.clone()));
        check(&outcome, Cause::Permitted, would_be);
        let enforce = pdp(ALL, trust(Enforcement::Enforce));
        let outcome = decide(&enforce, ask("level1", "Internal").signals(signals.clone()));
        check(&outcome, would_be.unwrap(), None);
        let off = pdp(ALL, trust(Enforcement::Off));
        let outcome = decide(&off, ask("level1", "Internal").signals(signals));
        check(&outcome, Cause::Permitted, None);
    }
}

#[test]
fn policies_come_before_trust() {
    let policies = "permit(principal, action == Action::\"level1\", resource);\n\
                    @id(\"no\") forbid(principal, action, resource is Secret);";
    let pdp = pdp(policies, trust(Enforcement::Enforce));
    let outcome = decide(&pdp, ask("level1", "Secret"));
    check(&outcome, Cause::Forbidden, None);
    assert!(outcome.requirements().next().is_none());
    let outcome = decide(&pdp, ask("level2", "Internal"));
    check(&outcome, Cause::NotPermitted, None);
    assert!(outcome.requirements().next().is_none());
}

#[test]
fn a_permit_counts_only_when_its_own_requirements_are_met() {
    let policies = "@id(\"strong\") @requires_auth_level(\"3\") @obligation(\"log_access\")
        permit(principal, action, resource);
        @id(\"trusted\") @requires_trust(\"0.9\") permit(principal, action, resource);";
    // In every mode, and without any configuration.
    let modes = [Enforcement::Off, Enforcement::Report].map(|mode| Some(trust(mode)));
    for config in modes.into_iter().chain([None]) {
        let builder = builder(policies);
        let pdp = match config {
            Some(config) => builder.trust(config),
            None => builder,
        };
        let pdp = pdp.build().unwrap();
        let outcome = decide(&pdp, ask("level1", "Public"));
        assert_eq!(outcome.cause(), Cause::StepUpRequired);
        assert_eq!(outcome.determining_policies().count(), 0);
        let unmet: Vec<_> = outcome
            .unmet()
            .map(|unmet| (unmet.policy.to_string(), unmet.level, unmet.trust))
            .collect();
        assert_eq!(
            unmet,
            [
                ("strong".to_owned(), Some(3), None),
                ("trusted".to_owned(), None, Some(Score::new(9_000)))
            ]
        );
        let options: Vec<_> = outcome.trust().unwrap().options().collect();
        assert_eq!(options.len(), 1, "{options:?}");
        assert_eq!(options[0].method, Method::Webauthn);
        let request = ask("level1", "Public").authentication(authenticated(&["hwk"]));
        let outcome = decide(&pdp, request);
        assert_eq!(outcome.cause(), Cause::Permitted);
        let reasons: Vec<_> = outcome
            .determining_policies()
            .map(ToString::to_string)
            .collect();
        assert_eq!(reasons, ["strong"]);
        assert_eq!(outcome.obligations().count(), 1);
    }
}

#[test]
fn requirements_do_not_stand_on_forbids_and_are_readable() {
    for (policy, expect) in [
        (
            "@requires_trust(\"0.7\") forbid(principal, action, resource);",
            "stands on a forbid",
        ),
        (
            "@requires_auth_level(\"2\") forbid(principal, action, resource);",
            "stands on a forbid",
        ),
        (
            "@requires_trust(\"1.1\") permit(principal, action, resource);",
            "not a score from 0 to 1",
        ),
        (
            "@requires_auth_level(\"high\") permit(principal, action, resource);",
            "not a level",
        ),
    ] {
        let error = builder(policy).build().unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn the_first_rule_that_fits_says_what_is_enforced() {
    let mut config = trust(Enforcement::Report);
    let rule = |mode| EnforceRule {
        mode: Some(mode),
        ..EnforceRule::default()
    };
    config.enforce = vec![
        EnforceRule {
            callers: vec!["batch".to_owned()],
            ..rule(Enforcement::Off)
        },
        EnforceRule {
            actions: vec!["Action::\"write\"".to_owned()],
            resource_types: vec!["Secret".to_owned()],
            ..rule(Enforcement::Enforce)
        },
        EnforceRule {
            principal_types: vec!["Service".to_owned()],
            ..rule(Enforcement::Off)
        },
    ];
    let entities = r#"[{"uid":{"type":"Action","id":"level3"},"attrs":{},
        "parents":[{"type":"Action","id":"write"}]}]"#;
    let pdp = builder(ALL)
        .trust(config)
        .entities_text("e.json", entities)
        .build()
        .unwrap();
    let mode = |request: RequestBuilder| decide(&pdp, request).trust().unwrap().enforcement();
    assert_eq!(mode(ask("level3", "Secret")), Enforcement::Enforce);
    assert_eq!(mode(ask("level2", "Secret")), Enforcement::Report);
    assert_eq!(mode(ask("level3", "Public")), Enforcement::Report);
    assert_eq!(
        mode(ask("level3", "Public").principal(("Service", "x"))),
        Enforcement::Off
    );
    let batch = Caller::new("batch", [Scope::Decide], InlineRule::Off, Handles::Any);
    assert_eq!(
        mode(ask("level3", "Secret").caller(batch)),
        Enforcement::Off
    );
}

#[test]
fn a_rule_of_enforcement_names_its_mode_and_whom_it_is_for() {
    let mut config = trust(Enforcement::Enforce);
    config.enforce = vec![EnforceRule::default()];
    let Err(deodar::BuildError::Sources(faults)) = builder(ALL).trust(config).build() else {
        panic!("it is taken");
    };
    let error = faults
        .iter()
        .map(|fault| fault.to_string())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        error.contains("`trust.enforce[0].mode`: is required"),
        "{error}"
    );
    assert!(
        error.contains("`trust.enforce[0]`: names no callers"),
        "{error}"
    );
}

#[test]
fn where_no_authentication_helps_none_is_asked_for() {
    let pdp = pdp(
        "@requires_trust(\"0.9\") permit(principal, action, resource);",
        trust(Enforcement::Off),
    );
    let outcome = decide(&pdp, ask("level1", "Public"));
    check(&outcome, Cause::InsufficientTrust, None);
    assert!(
        outcome
            .requirements()
            .all(|asked| asked.name() != "step_up")
    );
}

#[test]
fn somebody_elses_device_speaks_only_against_the_request() {
    let pdp = pdp(ALL, trust(Enforcement::Report));
    let device = |id: &str, good: bool| {
        let record = deodar::signals::DeviceRecord {
            id: id.to_owned(),
            user: Some(deodar::EntityRef::new("User", "bo").unwrap()),
            facts: DeviceFacts {
                trust: Some(DeviceTrust::High),
                jailbroken: Some(!good),
                current_os: Some(good),
                managed: Some(good),
                certificate: Some(good),
                ..DeviceFacts::default()
            },
            ..deodar::signals::DeviceRecord::default()
        };
        let change = deodar::signals::Change::Device(record);
        pdp.signals().unwrap().change(change, now()).unwrap();
    };
    device("good", true);
    device("bad", false);
    let score = |id: &str| {
        let client = Client {
            device: Some(id.to_owned()),
            ..client()
        };
        let outcome = decide(&pdp, ask("level1", "Public").client(client));
        let factors = outcome.trust().unwrap().assessment().factors;
        factors[1].score
    };
    let _ = score("unknown");
    assert_eq!(score("good"), score("unknown"));
    assert!(score("bad") <= score("unknown"));
}

#[test]
fn an_old_token_is_of_a_revoked_session() {
    let pdp = pdp(ALL, trust(Enforcement::Enforce));
    let earlier = |seconds: i64| Some(Timestamp::from_millis(now().as_millis() - seconds * 1_000));
    let token = |auth_time, issued_at| Authentication {
        acr: Some("4".to_owned()),
        auth_time,
        issued_at,
        ..Authentication::default()
    };
    let ask = |token| {
        let request = ask("level1", "Public")
            .signals(best())
            .authentication(token);
        decide(&pdp, request)
    };
    check(&ask(token(earlier(10), None)), Cause::Permitted, None);
    let event = deodar::signals::Event {
        id: "e1".to_owned(),
        kind: deodar::signals::EventKind::SessionRevoked,
        at: earlier(5).unwrap(),
        source: "idp".to_owned(),
        severity: deodar::signals::Severity::High,
        subject: deodar::signals::EventSubject {
            user: Some(deodar::EntityRef::new("User", "ada").unwrap()),
            ..deodar::signals::EventSubject::default()
        },
    };
    pdp.signals().unwrap().report(vec![event], now());
    check(&ask(token(earlier(10), None)), Cause::KnockedOut, None);
    // Of unknown age, it is as old as can be; a later issue of it tells.
    check(&ask(token(None, None)), Cause::KnockedOut, None);
    check(&ask(token(None, earlier(10))), Cause::KnockedOut, None);
    check(&ask(token(earlier(1), None)), Cause::Permitted, None);
    let reissued = ask(token(None, earlier(1)));
    assert_ne!(reissued.cause(), Cause::KnockedOut);
    assert!(reissued.trust().unwrap().assessment().level.reached <= 1);
}

#[test]
fn what_knocks_out_offers_nothing() {
    let mut signals = best();
    signals.device.as_mut().unwrap().compliant = Some(false);
    let enforce = pdp(ALL, trust(Enforcement::Enforce));
    let request = || ask("level1", "Public").authentication(authenticated(&["hwk", "pin"]));
    let outcome = decide(&enforce, request().signals(signals.clone()));
    check(&outcome, Cause::KnockedOut, None);
    assert!(outcome.requirements().next().is_none());
    assert!(outcome.trust().unwrap().is_cause());
    let report = pdp(ALL, trust(Enforcement::Report));
    check(
        &decide(&report, request().signals(signals)),
        Cause::Permitted,
        Some(Cause::KnockedOut),
    );
}

#[test]
fn a_break_glass_principal_passes_and_is_told() {
    let mut config = trust(Enforcement::Enforce);
    config.break_glass = vec!["User::\"ada\"".to_owned()];
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&told);
    let pdp = builder(ALL)
        .trust(config)
        .notices(std::sync::Arc::new(move |notice| {
            sink.lock().unwrap().push(notice)
        }))
        .build()
        .unwrap();
    let signals = Signals {
        device: Some(DeviceSignals {
            compliant: Some(false),
            ..DeviceSignals::default()
        }),
        ..Signals::default()
    };
    check(
        &decide(&pdp, ask("level4", "Secret").signals(signals)),
        Cause::Permitted,
        None,
    );
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].detail.contains("level4"), "{}", told[0].detail);
}

#[test]
fn an_approval_is_an_obligation_at_a_high_risk() {
    let pdp = pdp(ALL, trust(Enforcement::Enforce));
    let mut signals = best();
    signals.risk = Some(Band::High);
    let request = || {
        ask("level1", "Public")
            .signals(signals.clone())
            .authentication(authenticated(&["hwk", "pin"]))
    };
    // The library checks obligations itself; HIGH stands for a risk of 0.9, above 0.8.
    let outcome = decide(&pdp, request());
    check(&outcome, Cause::Permitted, None);
    assert!(outcome.require(&[]).is_err());
    assert_eq!(outcome.require(&["admin_approval"]), Ok(()));
    let scopes = [Scope::Decide, Scope::AssertSignals];
    let caller = |handled: &[&str]| {
        let names = handled.iter().map(|name| (*name).to_owned()).collect();
        Caller::new("app", scopes, InlineRule::Off, Handles::Only(names))
    };
    let outcome = decide(&pdp, request().caller(caller(&[])));
    check(&outcome, Cause::UnsupportedObligation, None);
    let outcome = decide(&pdp, request().caller(caller(&["admin_approval"])));
    check(&outcome, Cause::Permitted, None);
}

#[test]
fn signals_are_believed_from_callers_that_may_assert_them() {
    let caller = Caller::new("app", [Scope::Decide], InlineRule::Off, Handles::Any);
    let refused = ask("level1", "Public")
        .signals(best())
        .caller(caller.clone())
        .build();
    assert_eq!(refused.unwrap_err().code(), "scope_required");
    // An address counts for nothing from such a caller.
    let pdp = pdp(ALL, trust(Enforcement::Report));
    // Known from then on.
    let _ = decide(&pdp, ask("level1", "Public").client(Client::default()));
    let score = |request: RequestBuilder| {
        decide(&pdp, request)
            .trust()
            .unwrap()
            .assessment()
            .composite
    };
    let without = score(ask("level1", "Public").client(Client::default()));
    assert_eq!(score(ask("level1", "Public").caller(caller)), without);
    assert!(score(ask("level1", "Public")) > without);
}

#[test]
fn policies_see_the_score_in_both_engines() {
    let schema = "entity User, Doc; action go appliesTo {principal: User, resource: Doc, \
                  context: {trust: Deodar::Trust, auth: Deodar::Auth}};";
    let policies = "@id(\"low\") permit(principal, action, resource) when {
          context.trust.risk == \"LOW\" && context.trust.score.greaterThan(context.trust.required)
          && context.auth.level >= 3 && context.auth has age && context.auth.age < duration(\"1m\") };
        @id(\"none\") permit(principal, action, resource) when {
          context.auth.level == 0 && !(context.auth has age) && context.trust.device == decimal(\"0.0\") };";
    for engine in [
        deodar::EngineChoice::Compiled,
        deodar::EngineChoice::Reference,
    ] {
        let pdp = builder(policies)
            .schema_text("s.cedarschema", schema)
            .engine(engine)
            .trust(trust(Enforcement::Report))
            .build()
            .unwrap();
        let reasons = |request: RequestBuilder| {
            let outcome = decide(
                &pdp,
                request.action(("Action", "go")).resource(("Doc", "it")),
            );
            assert_eq!(outcome.policy_errors().count(), 0);
            outcome
                .determining_policies()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let strong = ask("go", "Doc")
            .signals(best())
            .authentication(authenticated(&["hwk"]));
        assert_eq!(reasons(strong), ["low"], "{engine:?}");
        assert_eq!(
            reasons(ask("go", "Doc").client(Client::default())),
            ["none"]
        );
        assert_eq!(pdp.engine_fallbacks(), 0);
        // A caller cannot set what is injected.
        let set = ask("go", "Doc").context_member("trust", serde_json::json!({"risk": "LOW"}));
        let set = set
            .action(("Action", "go"))
            .resource(("Doc", "it"))
            .build()
            .unwrap();
        let error = pdp.authorize(&set).unwrap_err();
        assert_eq!(error.faults()[0].pointer, "/context/trust");
    }
}

#[test]
fn a_configuration_is_replaced_with_what_decides() {
    let pdp = pdp(ALL, trust(Enforcement::Report));
    let before = pdp.state().revision().clone();
    assert!(decide(&pdp, ask("level4", "Secret")).is_allow());
    pdp.set_trust(Some(trust(Enforcement::Enforce))).unwrap();
    assert_ne!(*pdp.state().revision(), before);
    assert_eq!(
        decide(&pdp, ask("level4", "Secret")).decision(),
        Decision::Deny
    );
    let mut faulty = trust(Enforcement::Off);
    faulty.break_glass = vec!["nobody".to_owned()];
    let error = pdp.set_trust(Some(faulty)).unwrap_err().to_string();
    assert!(error.contains("`trust.break_glass`"), "{error}");
    assert_eq!(
        decide(&pdp, ask("level4", "Secret")).decision(),
        Decision::Deny
    );
    pdp.set_trust(None).unwrap();
    assert!(decide(&pdp, ask("level4", "Secret")).trust().is_none());
}

fn some<T: std::fmt::Debug + Clone + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(values))
}

fn any_signals() -> impl Strategy<Value = Signals> {
    let flag = || prop::option::of(any::<bool>());
    let device = (
        flag(),
        flag(),
        flag(),
        flag(),
        some(vec![
            DeviceTrust::Low,
            DeviceTrust::Medium,
            DeviceTrust::High,
        ]),
        prop::option::of(0..60i64),
    )
        .prop_map(
            |(registered, jailbroken, current_os, managed, trust, scanned)| DeviceSignals {
                registered,
                facts: DeviceFacts {
                    trust,
                    jailbroken,
                    current_os,
                    managed,
                    last_scan: scanned
                        .map(|days| Timestamp::from_millis(now().as_millis() - days * 86_400_000)),
                    ..DeviceFacts::default()
                },
                ..DeviceSignals::default()
            },
        );
    (
        (flag(), flag(), flag(), flag(), flag()),
        prop::option::of(device),
        some(vec!["NO", "IN", "KP"]),
        some(vec![Band::Low, Band::Medium, Band::High]),
    )
        .prop_map(|(identity, device, country, risk)| Signals {
            mfa_enrolled: identity.0,
            mfa_verified: identity.1,
            phishing_resistant: identity.2,
            suspicious_activity: identity.3,
            mutual_tls: identity.4,
            device,
            country: country.and_then(Country::new),
            risk,
            ..Signals::default()
        })
}

/// `amr` of an authentication by a method.
fn amr(method: Method, verified: bool) -> Vec<&'static str> {
    let name = match method {
        Method::PasswordConfirmation => "pwd",
        Method::Totp | Method::BackupCodes | Method::PushNotification => "otp",
        Method::SmsOtp => "sms",
        Method::Webauthn => "hwk",
        other => panic!("{other:?} is not an authentication"),
    };
    if verified {
        vec![name, "pin"]
    } else {
        vec![name]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn completing_any_offered_option_makes_the_same_request_pass(
        signals in any_signals(),
        level in 1..=4u8,
        class in prop::sample::select(vec!["Public", "Internal", "Confidential", "Secret"]),
        before in some(vec!["pwd", "otp", "hwk"]),
        policies in prop::sample::select(vec![
            ALL,
            "@requires_auth_level(\"3\") permit(principal, action, resource);\
             @requires_trust(\"0.6\") permit(principal, action, resource);",
        ]),
    ) {
        let pdp = pdp(policies, trust(Enforcement::Enforce));
        let request = |amr: &[&str]| {
            let request = ask(&format!("level{level}"), class).signals(signals.clone());
            match amr {
                [] => request,
                amr => request.authentication(authenticated(amr)),
            }
        };
        let before: Vec<&str> = before.into_iter().collect();
        let outcome = decide(&pdp, request(&before));
        let offers: Vec<_> = outcome.trust().unwrap().options().collect();
        if outcome.cause() == Cause::StepUpRequired {
            prop_assert!(!offers.is_empty());
        }
        for offer in offers {
            let mut all = before.clone();
            all.extend(amr(offer.method, offer.user_verification));
            let after = decide(&pdp, request(&all));
            prop_assert_eq!(after.cause(), Cause::Permitted, "{:?} {:?}", offer, after.trust());
        }
    }

    #[test]
    fn what_report_says_is_what_enforce_does(
        signals in any_signals(),
        level in 1..=4u8,
        class in prop::sample::select(vec!["Public", "Internal", "Confidential", "Secret"]),
        amr in some(vec!["pwd", "otp", "hwk"]),
    ) {
        let ask = || {
            let request = ask(&format!("level{level}"), class).signals(signals.clone());
            match amr {
                None => request,
                Some(amr) => request.authentication(authenticated(&[amr])),
            }
        };
        let reported = decide(&pdp(ALL, trust(Enforcement::Report)), ask());
        let enforced = decide(&pdp(ALL, trust(Enforcement::Enforce)), ask());
        prop_assert!(reported.is_allow());
        let would_be = reported.trust().unwrap().would_be();
        let would_be = would_be.map_or(Cause::Permitted, |would_be| would_be.cause);
        prop_assert_eq!(would_be, enforced.cause());
        // An approval is an obligation of what is enforced.
        let enforced = enforced.requirements().filter(|asked| asked.name() != "admin_approval");
        prop_assert_eq!(reported.requirements().collect::<Vec<_>>(), enforced.collect::<Vec<_>>());
    }
}
