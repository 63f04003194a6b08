//! One issuer for one use: what its tokens say, and whether they still hold.

use std::sync::Arc;
use std::time::Duration;

use super::Verified;
use super::claims::{check, instant, later};
use super::error::TokenError;
use super::find::Claims;
use super::introspect::Introspection;
use super::jws::Jws;
use super::map::Mapping;
use super::preset::Shape;
use super::source::{KeyError, Keys, check_file};
use super::status::{StatusLists, TokenStatus};
use crate::base::timestamp::Timestamp;
use crate::service::config::{IssuerConfig, OnFailure};
use crate::service::net::fetch::Fetch;

/// How long a token is kept that was taken although its issuer could not be asked.
const UNCHECKED_FOR: Duration = Duration::from_secs(10);

/// One issuer for one use.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    pub(super) config: IssuerConfig,
    shape: Shape,
    mapping: Mapping,
    /// Audiences of the same issuer that stand for another use.
    elsewhere: Vec<String>,
    pub(super) keys: Arc<Keys>,
    introspection: Option<Introspection>,
    status_lists: Option<Arc<StatusLists>>,
}

impl Issuer {
    /// # Errors
    /// When the key file or a secret cannot be read.
    pub(super) fn new(
        config: &IssuerConfig,
        elsewhere: Vec<String>,
        fetch: &Arc<dyn Fetch>,
    ) -> Result<Self, String> {
        if let Some(path) = &config.jwks_file {
            check_file(path, &config.issuer)?;
        }
        let shape = Shape::of(config);
        let keys = Arc::new(Keys::new(config, shape.jwks_uri, Arc::clone(fetch)));
        let introspection = match &config.introspection {
            Some(asked) => Some(
                Introspection::new(asked, *config.timeout, Arc::clone(fetch))
                    .map_err(|message| format!("`introspection.client_secret`: {message}"))?,
            ),
            None => None,
        };
        let status_lists = config.status_list.as_ref().map(|list| {
            let (keys, fetch) = (Arc::clone(&keys), Arc::clone(fetch));
            Arc::new(StatusLists::new(list, config, keys, fetch))
        });
        Ok(Self {
            name: config.issuer.as_str().into(),
            mapping: Mapping::of(config, &shape),
            config: config.clone(),
            shape,
            elsewhere,
            keys,
            introspection,
            status_lists,
        })
    }

    /// Whether one of the token's audiences is one of this table.
    pub(super) fn is_meant(&self, jws: &Jws<'_>) -> bool {
        let audience = self.shape.audience(&jws.claims).unwrap_or_default();
        audience
            .iter()
            .any(|name| self.config.audience.contains(name))
    }

    /// Whether the issuer made the signature.
    pub(super) async fn signed(&self, jws: &Jws<'_>, now: Timestamp) -> Result<(), KeyError> {
        if !self.config.algorithms.contains(&jws.algorithm) {
            return Err(KeyError::Bad("the algorithm is not one of `algorithms`"));
        }
        self.keys.verify(jws, now).await
    }

    /// What a token says whose signature is good.
    pub(super) fn read(&self, jws: &Jws<'_>, now: Timestamp) -> Result<Verified, TokenError> {
        let claims = &jws.claims;
        let standard = check(
            &self.config,
            &self.shape,
            &self.elsewhere,
            jws.typ.as_deref(),
            claims,
            now,
        )?;
        let read = Claims::new(claims)?;
        let (principal, entities, caller) = match &self.mapping {
            Mapping::Principal(table) => {
                let read = table.read(&read)?;
                (Some(read.entity), read.entities, None)
            }
            Mapping::Caller(table) => (None, Vec::new(), Some(table.read(&read)?)),
        };
        let mut sid = None;
        for place in self.shape.session {
            if let Some(found) = read.text(place)? {
                sid.get_or_insert(found);
            }
        }
        // A date that is kept elsewhere is not one that is missing.
        read.at("/auth_time")?;
        Ok(Verified {
            issuer: Arc::clone(&self.name),
            subject: read.text("/sub")?,
            expires: standard.expires,
            acr: read.text("/acr")?,
            amr: read.list("/amr", Some(" "))?,
            auth_time: instant(claims, "auth_time")?,
            issued_at: standard.issued,
            sid,
            jti: read.text("/jti")?,
            claims: jws.claims.clone(),
            principal,
            entities: entities.into(),
            caller,
        })
    }

    /// Whether there is anybody to ask about a token beyond its signature.
    pub(super) fn is_asked(&self) -> bool {
        self.status_lists.is_some() || self.introspection.is_some()
    }

    /// Asks the issuer whether the token still holds; until when that may be believed.
    pub(super) async fn standing(
        &self,
        token: &str,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        let mut until = verified.expires;
        if let Some(lists) = &self.status_lists {
            let standing = lists.look_up(&verified.claims, now).await;
            until = until.min(self.judged(standing, lists.on_failure, now)?);
        }
        if let Some(introspection) = &self.introspection {
            let standing = introspection.ask(token, now).await;
            until = until.min(self.judged(standing, introspection.on_failure, now)?);
        }
        Ok(until)
    }

    fn judged(
        &self,
        standing: TokenStatus,
        on_failure: OnFailure,
        now: Timestamp,
    ) -> Result<Timestamp, TokenError> {
        match (standing, on_failure) {
            (TokenStatus::Valid(until), _) => Ok(until),
            (TokenStatus::Revoked(reason), _) => Err(TokenError::Denied(reason.into())),
            (TokenStatus::Unknown(reason), OnFailure::Closed) => {
                Err(TokenError::Unavailable(reason.into()))
            }
            (TokenStatus::Unknown(reason), OnFailure::Open) => {
                tracing::warn!(issuer = &*self.name, "a token is taken unchecked: {reason}");
                Ok(later(now, UNCHECKED_FOR))
            }
        }
    }
}
