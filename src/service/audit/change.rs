//! Records of what was ordered about a subject: they are no decisions, and stand between them.
//!
//! The subject stands where a decision record has it, so that the same masks hide it.

use serde::Serialize;
use serde_json::{Value, json};

use super::notice::Common;
use crate::trust::subjects::SubjectKind;

/// Something that was ordered about a subject.
#[derive(Debug, Clone)]
pub(crate) struct SubjectChange {
    /// The caller who ordered it.
    pub(crate) caller: String,
    /// About whom.
    pub(crate) subject: SubjectKind,
    /// What: `remediated`, `overridden`, ..
    pub(crate) change: &'static str,
    /// Why, where that is said.
    pub(crate) reason: Option<String>,
    /// Until when it holds, where it ends on its own.
    pub(crate) until: Option<String>,
}

/// As it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeRecord<'a> {
    kind: &'static str,
    #[serde(flatten)]
    common: Common,
    caller: &'a str,
    change: &'static str,
    request: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl SubjectChange {
    pub(super) fn record(&self, common: Common) -> ChangeRecord<'_> {
        ChangeRecord {
            kind: "subject",
            common,
            caller: &self.caller,
            change: self.change,
            request: match &self.subject {
                SubjectKind::User(user) => {
                    json!({"principal": {"type": user.type_name(), "id": user.id()}})
                }
                SubjectKind::Session(id) => json!({"client": {"session": id}}),
                SubjectKind::Device(id) => json!({"client": {"device": id}}),
                SubjectKind::Ip(ip) => json!({"client": {"ip": ip.to_string()}}),
            },
            until: self.until.as_deref(),
            reason: self.reason.as_deref(),
        }
    }
}
