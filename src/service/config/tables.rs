//! Tables of the configuration file that are values of their own: `[[callers]]`, `[[issuers]]`,
//! `[[receivers]]`, `[[webhooks]]`, `[trust]`.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::callers::CallerConfig;
use super::issuers::IssuerConfig;
use super::receivers::ReceiverConfig;
use super::webhooks::WebhookConfig;
use crate::trust::TrustConfig;

/// What the file's arrays of tables say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tables {
    pub(super) callers: Vec<CallerConfig>,
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) receivers: Vec<ReceiverConfig>,
    pub(super) webhooks: Vec<WebhookConfig>,
    pub(super) trust: Option<TrustConfig>,
}

/// Their names.
pub(super) const TABLES: &[&str] = &["callers", "issuers", "receivers", "webhooks", "trust"];

/// What is wrong with a table, and where.
pub(super) type TableFault = (String, std::ops::Range<usize>);

impl Tables {
    /// Reads the array of this name; relative paths are against `base`.
    pub(super) fn read(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        base: &Path,
    ) -> Vec<TableFault> {
        let mut faults = Vec::new();
        match name {
            "callers" => self.callers = entries(value, &mut faults),
            "receivers" => {
                self.receivers = entries(value, &mut faults);
                for receiver in &mut self.receivers {
                    receiver.relative_to(base);
                }
            }
            "webhooks" => {
                self.webhooks = entries(value, &mut faults);
                for webhook in &mut self.webhooks {
                    webhook.relative_to(base);
                }
            }
            "issuers" => {
                self.issuers = entries(value, &mut faults);
                for issuer in &mut self.issuers {
                    issuer.relative_to(base);
                }
            }
            _ => {
                self.trust = one(value, &mut faults);
                let geoip = self.trust.as_mut().and_then(|trust| trust.geoip.as_mut());
                if let Some(path) = geoip {
                    *path = base.join(&*path);
                }
            }
        }
        faults
    }

    /// Names of those that differ and that only a restart takes up.
    pub(super) fn restart_needed(&self, other: &Self) -> Vec<&'static str> {
        [
            ("issuers", self.issuers != other.issuers),
            ("receivers", self.receivers != other.receivers),
            ("webhooks", self.webhooks != other.webhooks),
        ]
        .into_iter()
        .filter_map(|(name, differ)| differ.then_some(name))
        .collect()
    }
}

fn entries<T: DeserializeOwned>(
    value: &Spanned<DeValue<'_>>,
    faults: &mut Vec<TableFault>,
) -> Vec<T> {
    let DeValue::Array(items) = value.get_ref() else {
        faults.push(("expected an array of tables".to_owned(), value.span()));
        return Vec::new();
    };
    let items = items.iter();
    items.filter_map(|item| one(item, faults)).collect()
}

fn one<T: DeserializeOwned>(
    value: &Spanned<DeValue<'_>>,
    faults: &mut Vec<TableFault>,
) -> Option<T> {
    match T::deserialize(ValueDeserializer::from(value.clone())) {
        Ok(entry) => Some(entry),
        Err(error) => {
            let span = error.span().unwrap_or_else(|| value.span());
            faults.push((error.message().to_owned(), span));
            None
        }
    }
}
