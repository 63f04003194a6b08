//! What stands in records, and what does not.

use serde_json::json;

use super::*;
use crate::base::caller::Caller;
use crate::base::timestamp::Timestamp;
use crate::request::{Client, Limits};
use crate::service::config::Overflow;
use crate::service::net::fetch::{Call, Reply};
use crate::trust::subjects::SubjectKind;

#[test]
fn a_record_says_who_asked_for_what_and_what_came_of_it() {
    let pdp = Pdp::builder()
        .policies_text(
            "p.cedar",
            "@id(\"may-read\") @obligation(\"log:full\") permit(principal, action, resource);
             @id(\"fails\") forbid(principal, action, resource) when { context.missing };",
        )
        .obligations(["log"])
        .on_error(crate::OnError::Skip)
        .build()
        .unwrap();
    let now: Timestamp = "2026-03-10T10:00:00Z".parse().unwrap();
    let request = Request::builder()
        .principal(("User", "alice"))
        .action(("Action", "read"))
        .resource(("Doc", "plan \"B\""))
        .context(json!({"b": 1, "a": [true]}))
        .obligations(["log"])
        .client(Client {
            session: Some("s-1".to_owned()),
            ip: Some("10.0.0.1".parse().unwrap()),
            ..Client::default()
        })
        .request_id("r-1")
        .now(now)
        .build()
        .unwrap();
    let mut entry = entry_of(&pdp, request);
    entry.id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    entry.time = now;
    let revision = entry.outcome.state().revision().to_string();
    let room = Room::new();
    let log = start(&room.config(ChainKind::Hmac));
    log.record(entry).unwrap();
    log.close();
    let text = std::fs::read_to_string(room.log()).unwrap();
    let line = text.lines().nth(2).unwrap();
    let (members, sealed) = line.split_once(",\"prev\":\"").unwrap();
    let expect = concat!(
        r#"{"kind":"decision","sequence":3,"time":"2026-03-10T10:00:00.000Z","#,
        r#""id":"01890a5d-ac96-774b-bcce-b302099a8057","requestId":"r-1","caller":"library","#,
        r#""inline":"override","handles":"any","route":"authorize","revision":"REVISION","#,
        r#""stateSequence":1,"engine":"compiled","onError":"skip","enforcement":"off","#,
        r#""now":"2026-03-10T10:00:00.000Z","request":{"principal":{"type":"User","id":"alice"},"#,
        r#""action":{"type":"Action","id":"read"},"resource":{"type":"Doc","id":"plan \"B\""},"#,
        r#""client":{"session":"s-1","ip":"10.0.0.1"},"obligations":["log"],"purpose":"enforce"},"#,
        r#""factors":null,"decision":"Allow","cause":"permitted","reasons":["may-read"],"#,
        r#""policyErrors":[{"policy":"fails","code":"attribute_missing"}],"#,
        r#""obligations":[{"policy":"may-read","name":"log","argument":"full"}],"advice":[],"#,
        r#""score":null,"hashes":{"context":"sha256:HASH"},"latencyMicros":7,"recording":"summary""#,
    );
    let hash = canonical::hash(br#"{"a":[true],"b":1}"#, None);
    let expect = expect
        .replace("REVISION", &revision)
        .replace("sha256:HASH", &hash);
    assert_eq!(members, expect);
    assert_eq!(sealed.len(), 64 + 9 + 64 + 2);
    let kinds: Vec<Value> = room.records().iter().map(|r| r["kind"].clone()).collect();
    assert_eq!(
        kinds,
        ["started", "checkpoint", "decision", "stopped", "checkpoint"]
    );
}

const POLICIES: &str = r#"
@id("own") permit(principal in Group::"staff", action == Action::"read", resource)
when { resource.owner == principal && context.level > 2 && Config::"main".open };
@id("late") forbid(principal, action, resource)
when { resource.until < datetime("2020-01-01") };
@id("fails") permit(principal, action, resource) when { principal.nickname == "x" };
@id("other") permit(principal == User::"else", action, resource) when { Config::"other".open };
"#;

fn entity(ty: &str, id: &str, attrs: Value, parents: &[(&str, &str)]) -> Value {
    let parents: Vec<Value> = parents
        .iter()
        .map(|(ty, id)| json!({"type": ty, "id": id}))
        .collect();
    json!({"uid": {"type": ty, "id": id}, "attrs": attrs, "parents": parents})
}

#[test]
fn a_replayable_record_can_be_decided_again() {
    let until = json!({"__extn": {"fn": "datetime", "arg": "2030-01-01"}});
    let to = |ty: &str, id: &str| json!({"__entity": {"type": ty, "id": id}});
    let stored = json!([
        entity(
            "User",
            "alice",
            json!({"note": "stored"}),
            &[("Group", "team")]
        ),
        entity("Group", "team", json!({}), &[("Group", "staff")]),
        entity("Group", "staff", json!({"lead": to("User", "bob")}), &[]),
        entity("User", "bob", json!({}), &[]),
        entity(
            "Doc",
            "plan",
            json!({"owner": to("User", "bob"), "until": until}),
            &[]
        ),
        entity("Config", "main", json!({"open": true}), &[]),
        entity("Config", "other", json!({"open": true}), &[]),
        entity("User", "far", json!({}), &[("Group", "staff")]),
    ]);
    let build = |entities: &Value| {
        Pdp::builder()
            .policies_text("p.cedar", POLICIES)
            .entities_text("e.json", &entities.to_string())
            .build()
            .unwrap()
    };
    let pdp = build(&stored);
    for level in [2, 3] {
        let request = Request::builder()
            .principal(("User", "alice"))
            .action(("Action", "read"))
            .resource(("Doc", "plan"))
            .context(json!({"level": level}))
            .entity(entity(
                "Doc",
                "plan",
                json!({"owner": to("User", "alice")}),
                &[],
            ))
            .build()
            .unwrap();
        let first = pdp.authorize(&request).unwrap();
        assert_eq!(first.is_allow(), level == 3);
        let room = Room::new();
        let log = start(&AuditConfig {
            recording: Recording::Replayable,
            ..room.config(ChainKind::None)
        });
        log.record(entry_of(&pdp, request)).unwrap();
        log.close();
        let record = &room.records()[2];
        let ids: Vec<&str> = record["slice"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entity| entity["uid"]["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["main", "plan", "staff", "team", "alice", "bob"]);

        let again = build(&record["slice"]);
        let body = record["request"].to_string();
        let request = Request::from_json(body.as_bytes(), &Limits::default(), Caller::library());
        let now = record["now"].as_str().unwrap().parse().unwrap();
        let second = again.authorize(&request.unwrap().with_now(now)).unwrap();
        assert_eq!(record["decision"], second.decision().as_str());
        assert_eq!(record["cause"], second.cause().as_str());
        let reasons: Vec<&str> = second.determining_policies().map(AsRef::as_ref).collect();
        assert_eq!(record["reasons"], json!(reasons));
        let errors: Vec<Value> = second
            .policy_errors()
            .map(|e| json!({"policy": e.policy().to_string(), "code": e.code().as_str()}))
            .collect();
        assert_eq!(record["policyErrors"], json!(errors));
        assert_eq!(errors.len(), 1);
        assert_eq!(
            second.state().revision().as_str(),
            record["revision"].as_str().unwrap()
        );
    }
}

#[test]
fn a_slice_is_bounded_and_says_so() {
    let many: Vec<Value> = (0..20)
        .map(|n| {
            let above = (n + 1).to_string();
            entity("User", &n.to_string(), json!({}), &[("User", &above)])
        })
        .collect();
    let pdp = Pdp::builder()
        .policies_text("p.cedar", ALLOW_ALL)
        .entities_text("e.json", &json!(many).to_string())
        .build()
        .unwrap();
    let request = Request::builder()
        .principal(("User", "0"))
        .action(("Action", "read"))
        .resource(("Doc", "plan"))
        .build()
        .unwrap();
    let room = Room::new();
    let log = start(&AuditConfig {
        recording: Recording::Replayable,
        slice_entities: 10,
        ..room.config(ChainKind::None)
    });
    log.record(entry_of(&pdp, request)).unwrap();
    log.close();
    let record = &room.records()[2];
    assert_eq!(record["sliceTruncated"], true);
    assert!(record.get("slice").is_none());
}

#[test]
fn masks_apply_to_every_sink_and_equality_survives() {
    let room = Room::new();
    let (out, posted) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
    let theirs = Arc::clone(&posted);
    let fetch = move |call: &Call| {
        let token = (
            "authorization".to_owned(),
            "Bearer a token of some length".to_owned(),
        );
        assert!(call.headers.contains(&token));
        theirs.lock().unwrap().extend_from_slice(&call.body);
        Ok(Reply {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        })
    };
    let config = AuditConfig {
        stdout: true,
        url: Some("https://collector.example/".to_owned()),
        url_token: Some(room.keep("token", "a token of some length")),
        recording: Recording::Replayable,
        masks: vec![
            "/request/principal/id".to_owned(),
            "/request/context/ssn".to_owned(),
            "/request/entities/*/attrs/email".to_owned(),
        ],
        mask_key: Some(room.keep("mask", MASK_KEY)),
        ..room.config(ChainKind::Hmac)
    };
    let stored = json!([entity(
        "User",
        "carol@example",
        json!({"mail": "carol@example"}),
        &[]
    )]);
    let pdp = Pdp::builder()
        .policies_text(
            "p.cedar",
            &format!("{ALLOW_ALL} forbid(principal, action, resource) when {{ context.ssn.x }};"),
        )
        .entities_text("e.json", &stored.to_string())
        .build()
        .unwrap();
    let fetch: Arc<dyn Fetch> = Arc::new(fetch);
    let sink: Box<dyn Write + Send> = Box::new(out.clone());
    let log = DecisionLog::start_with(&config, &["authorize"], Some(fetch), Some(sink));
    let log = log.unwrap().unwrap();
    for (name, ssn) in [
        ("carol@example", 777_111_777_111_i64),
        ("carol@example", 777_222_777_222_i64),
        ("dave@example", 777_111_777_111_i64),
    ] {
        let request = Request::builder()
            .principal(("User", name))
            .action(("Action", "read"))
            .resource(("Doc", "plan"))
            .context(json!({"ssn": ssn, "for": name}))
            .entity(entity("Doc", "plan", json!({"email": "plan@example"}), &[]))
            .build()
            .unwrap();
        log.record(entry_of(&pdp, request)).unwrap();
    }
    log.close();
    let file = std::fs::read_to_string(room.log()).unwrap();
    let posted = String::from_utf8(posted.lock().unwrap().clone()).unwrap();
    assert_eq!(file, out.text());
    assert_eq!(file, posted);
    let head = std::fs::read_to_string(room.path("audit.ndjson.head")).unwrap();
    for hidden in [
        "carol",
        "dave@",
        "777111777111",
        "777222777222",
        "plan@example",
        "some length",
        "BEGIN",
    ] {
        assert!(!file.contains(hidden), "{hidden} in {file}");
        assert!(!head.contains(hidden), "{hidden} in {head}");
    }
    let records = room.records();
    let at = |n: usize, pointer: &str| records[2 + n].pointer(pointer).unwrap();
    let (id, ssn) = ("/request/principal/id", "/request/context/ssn");
    assert_eq!(at(0, id), at(1, id));
    assert_ne!(at(0, id), at(2, id));
    assert_eq!(at(0, ssn), at(2, ssn));
    assert_ne!(at(0, ssn), at(1, ssn));
    assert_eq!(at(0, id), at(0, "/request/context/for"));
    assert_eq!(at(0, id), at(0, "/slice/0/uid/id"));
    assert_eq!(at(0, id), at(0, "/slice/0/attrs/mail"));
    let hash = at(0, "/hashes/context").as_str().unwrap();
    assert!(hash.starts_with("hmac-sha256:"), "{hash}");
    assert_eq!(room.verify(ChainKind::Hmac).bad, None);
}

#[test]
fn a_record_that_is_too_long_is_reduced() {
    let room = Room::new();
    let log = start(&AuditConfig {
        recording: Recording::Replayable,
        ..room.config(ChainKind::Hmac)
    });
    let sized = |context: usize, id: usize| {
        let request = Request::builder()
            .principal(("User", "x".repeat(id)))
            .action(("Action", "read"))
            .resource(("Doc", "plan"))
            .context(json!({"large": "y".repeat(context)}))
            .build()
            .unwrap();
        entry_of(&pdp(ALLOW_ALL), request)
    };
    log.record(sized(9 << 20, 1)).unwrap();
    log.record(sized(1, 9 << 20)).unwrap();
    let counts = log.clone();
    log.close();
    let records = room.records();
    assert_eq!(records[2]["recording"], "summary");
    assert_eq!(records[2]["reduced"], true);
    assert_eq!(records[3]["kind"], "oversized");
    assert_eq!(records[3]["decision"], "Allow");
    assert_eq!(counts.counts().reduced, 3);
    assert_eq!(room.verify(ChainKind::Hmac).decisions, 2);
}

#[test]
fn filtered_decisions_are_counted_and_not_numbered() {
    let room = Room::new();
    let log = start(&AuditConfig {
        allow_percent: 0,
        overflow: Overflow::Deny,
        ..room.config(ChainKind::None)
    });
    for policies in [ALLOW_ALL, DENY_ALL, ALLOW_ALL] {
        log.record(entry_of(&pdp(policies), request())).unwrap();
    }
    let counts = log.clone();
    log.close();
    let counts = counts.counts();
    assert_eq!((counts.recorded, counts.filtered, counts.queued), (1, 2, 0));
    let records = room.records();
    assert_eq!(records[2]["decision"], "Deny");
    assert_eq!(records[3]["kind"], "stopped");
    assert_eq!(records[3]["filtered"], 2);
    let sink = counts.sinks[0];
    assert_eq!((sink.name, sink.on, sink.written), ("file", true, 5));
    assert_eq!(counts.bytes, std::fs::metadata(room.log()).unwrap().len());
}

#[test]
fn settings_that_cannot_be_used_stop_the_start() {
    let room = Room::new();
    let fails = |config: AuditConfig| {
        let error = DecisionLog::start(&config, &["authorize"], None).unwrap_err();
        error.to_string()
    };
    let config = |change: &dyn Fn(&mut AuditConfig)| {
        let mut config = room.config(ChainKind::Hmac);
        change(&mut config);
        config
    };
    let error = fails(config(&|c| c.routes = vec!["autorize".to_owned()]));
    assert!(error.contains("known are authorize"), "{error}");
    let error = fails(config(&|c| c.chain = ChainKind::Ed25519));
    assert!(
        error.contains("openssl") && !error.contains(SHARED_KEY),
        "{error}"
    );
    let error = fails(config(&|c| {
        c.key = Some(SecretRef::File(room.path("none")))
    }));
    assert!(error.contains("`audit.key`"), "{error}");
    let error = fails(config(&|c| c.file = Some(room.path("no/such/file"))));
    assert!(error.contains("no/such/file"), "{error}");
    std::fs::write(room.path("letter"), "Dear Sir,\nnot a log\n").unwrap();
    let error = fails(config(&|c| c.file = Some(room.path("letter"))));
    assert!(error.contains("is not a decision log"), "{error}");
    let left = std::fs::read_to_string(room.path("letter")).unwrap();
    assert_eq!(left, "Dear Sir,\nnot a log\n");
    let log = start(&room.config(ChainKind::Hmac));
    let error = fails(room.config(ChainKind::Hmac));
    assert!(error.contains("another process"), "{error}");
    log.close();
    let off = DecisionLog::start(&super::config(), &[], None).unwrap();
    assert!(off.is_none());
}

#[test]
fn what_is_ordered_about_a_subject_is_recorded_and_masked() {
    let room = Room::new();
    let config = AuditConfig {
        masks: vec!["/request/principal/id".to_owned()],
        mask_key: Some(room.keep("mask", MASK_KEY)),
        ..room.config(ChainKind::Hmac)
    };
    let log = start(&config);
    let change = |subject, change| SubjectChange {
        caller: "operator".to_owned(),
        subject,
        change,
        reason: Some("checked".to_owned()),
        until: None,
    };
    let user = "User::\"carol\"".parse().unwrap();
    log.note(change(SubjectKind::User(user), "remediated"));
    log.note(change(SubjectKind::Session("s1".to_owned()), "erased"));
    log.close();
    let records = room.records();
    let of_subjects: Vec<_> = records.iter().filter(|r| r["kind"] == "subject").collect();
    let [first, second] = of_subjects.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(first["caller"], "operator");
    assert_eq!(
        (&first["change"], &first["reason"]),
        (&json!("remediated"), &json!("checked"))
    );
    assert_eq!(first["request"]["principal"]["type"], "User");
    let id = first["request"]["principal"]["id"].as_str().unwrap();
    assert!(id.starts_with("masked:"), "{id}");
    assert_eq!(second["request"]["client"]["session"], "s1");
    let report = room.verify(ChainKind::Hmac);
    assert!(report.holds(), "{report:?}");
}
