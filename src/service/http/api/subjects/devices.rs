//! `/devices`: devices, registered and reported on.

use axum::extract::{Extension, Request as HttpRequest, State};
use serde_json::{Value, json};

use super::fields::{Fields, LONGEST_ID, problem};
use super::users::{described, is_known, log};
use super::{change, store, types};
use crate::base::json::InputFault;
use crate::service::http::api::body;
use crate::service::http::api::body::{
    Answer, By, Params, Shared, blocking, invalid, missing, reply,
};
use crate::trust::model::{DeviceFacts, DeviceTrust, Indicators};
use crate::trust::subjects::{Change, DeviceRecord, SubjectKind};

/// Members of a device.
const MEMBERS: &[&str] = &[
    "id",
    "user",
    "trust",
    "lastScan",
    "jailbroken",
    "currentOs",
    "managed",
    "certificate",
    "indicators",
    "compliant",
];

/// Registers a device to a user, or reports on it. A member that is left out stays as it was.
pub(crate) async fn register(
    State(app): Shared,
    Extension(caller): By,
    http: HttpRequest,
) -> Answer {
    store(&app)?;
    let body: Value = body::read(&app, http).await?;
    let record = read(body).map_err(problem)?;
    types::check(&app, record.user.as_ref(), "/user")?;
    let device = record.id.clone();
    let user = record.user.as_ref().map(ToString::to_string);
    change(&app, &caller, Change::Device(record)).await?;
    tracing::info!(by = caller.name(), device, user, "device reported");
    let known = described(&app, SubjectKind::Device(device.clone())).await?;
    let known = known.unwrap_or_else(|| json!({"type": "device", "id": device}));
    reply(json!({ "device": known }))
}

/// What is known of a device.
pub(crate) async fn get(State(app): Shared, Params(id): Params<String>) -> Answer {
    match described(&app, SubjectKind::Device(id)).await? {
        Some(known) => reply(known),
        None => Err(missing("no such device is registered or reported on")),
    }
}

/// Takes a device out: it is registered to nobody.
pub(crate) async fn remove(
    State(app): Shared,
    Extension(caller): By,
    Params(id): Params<String>,
) -> Answer {
    if id.is_empty() || id.len() > LONGEST_ID {
        let detail = format!("the id of a device has 1 to {LONGEST_ID} bytes");
        return Err(invalid(detail));
    }
    let (store, now) = (store(&app)?, (app.clock)());
    let subject = SubjectKind::Device(id.clone());
    if !blocking(move || is_known(&*store, &subject, now)).await? {
        return Err(missing("no such device is registered or reported on"));
    }
    change(&app, &caller, Change::RemoveDevice(id.clone())).await?;
    let subject = SubjectKind::Device(id);
    log(&app, &caller, &subject, "device_removed", None, None);
    reply(json!({"removed": true}))
}

fn read(body: Value) -> Result<DeviceRecord, Vec<InputFault>> {
    let mut fields = Fields::of(body, "", MEMBERS)?;
    let id = fields.required_id("id");
    let mut weaknesses = Indicators::default();
    let indicators = fields.words(
        "indicators",
        "compromised_os, outdated_os, no_screen_lock",
        |name| weaknesses.add(name).then_some(()),
    );
    let indicators = indicators.map(|_| weaknesses);
    let record = DeviceRecord {
        id: id.unwrap_or_default(),
        user: fields.entity("user"),
        facts: DeviceFacts {
            trust: fields.word("trust", "low, medium, high", DeviceTrust::from_name),
            last_scan: fields.time("lastScan"),
            jailbroken: fields.boolean("jailbroken"),
            current_os: fields.boolean("currentOs"),
            managed: fields.boolean("managed"),
            certificate: fields.boolean("certificate"),
            indicators,
        },
        compliant: fields.boolean("compliant"),
    };
    fields.end().map(|()| record)
}
