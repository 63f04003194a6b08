//! The claims that every token has a meaning for (RFC 7519, OpenID Connect), checked.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{TokenError, quoted};
use super::find::Claims;
use super::preset::Shape;
use crate::base::timestamp::Timestamp;
use crate::service::config::IssuerConfig;

/// Media types of tokens that are taken where none is required: anything else, such as a logout token
/// or a security event, is signed by the same keys for another purpose.
const USUAL_TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// What the checked claims say.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) expires: Timestamp,
    pub(super) issued: Option<Timestamp>,
}

/// The instant `after` later; at the end of time at most.
pub(super) fn later(instant: Timestamp, after: Duration) -> Timestamp {
    let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(instant.as_millis().saturating_add(millis))
}

/// Checks header `typ` and the claims `aud`, `exp`, `nbf`, `iat`, and what the configuration asks for
/// besides. `elsewhere` are audiences of the same issuer that stand for another use.
pub(super) fn check(
    config: &IssuerConfig,
    shape: &Shape,
    elsewhere: &[String],
    typ: Option<&str>,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Standard, TokenError> {
    check_type(config, typ)?;
    shape.check(claims)?;
    check_audience(config, shape, elsewhere, claims)?;
    let expires =
        instant(claims, "exp")?.ok_or_else(|| TokenError::malformed("it has no `exp`"))?;
    if now >= later(expires, *config.leeway) {
        return Err(TokenError::Expired(
            format!("`exp` {expires}, now {now}").into(),
        ));
    }
    let latest = later(now, *config.leeway);
    let issued = instant(claims, "iat")?;
    for (name, begins) in [("nbf", instant(claims, "nbf")?), ("iat", issued)] {
        if let Some(begins) = begins
            && begins > latest
        {
            let detail = format!("`{name}` {begins}, now {now}");
            return Err(TokenError::NotYetValid(detail.into()));
        }
    }
    if let Some(age) = config.max_age {
        let Some(issued) = issued else {
            return Err(TokenError::Unsuitable(
                "`max_age` is set, and it has no `iat`".into(),
            ));
        };
        if now > later(later(issued, *age), *config.leeway) {
            let detail = format!("`iat` {issued} is older than `max_age`, now {now}");
            return Err(TokenError::Expired(detail.into()));
        }
    }
    let read = Claims::new(claims)?;
    for (pointer, wanted) in &config.require {
        let found = read.at(pointer)?;
        let holds = match found {
            Some(Value::Array(items)) => items.contains(wanted) || found == Some(wanted),
            found => found == Some(wanted),
        };
        if !holds {
            let detail = format!("claim `{pointer}` is not as `require` says");
            return Err(TokenError::Unsuitable(detail.into()));
        }
    }
    Ok(Standard { expires, issued })
}

fn check_type(config: &IssuerConfig, typ: Option<&str>) -> Result<(), TokenError> {
    // RFC 7515 section 4.1.9: compared without case, and `application/` may be left out.
    let bare = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/")
            .map(str::to_owned)
            .unwrap_or(typ)
    };
    let holds = match (&config.required_type, typ) {
        (Some(required), Some(typ)) => bare(required) == bare(typ),
        (Some(_), None) => false,
        (None, Some(typ)) => USUAL_TYPES.contains(&bare(typ).as_str()),
        (None, None) => true,
    };
    if holds {
        return Ok(());
    }
    let detail = match typ {
        Some(typ) => format!("a token with `typ` {}", quoted(typ)),
        None => "a token without `typ`".to_owned(),
    };
    Err(TokenError::Unsuitable(detail.into()))
}

fn check_audience(
    config: &IssuerConfig,
    shape: &Shape,
    elsewhere: &[String],
    claims: &Map<String, Value>,
) -> Result<(), TokenError> {
    let audience = shape.audience(claims)?;
    if let Some(other) = audience.iter().find(|name| elsewhere.contains(name)) {
        // The one token could be taken from the one place and used in the other.
        let detail = format!("its audience {} is for another use here", quoted(other));
        return Err(TokenError::WrongAudience(detail.into()));
    }
    if audience.iter().any(|name| config.audience.contains(name)) {
        return Ok(());
    }
    let names: Vec<_> = audience.iter().take(5).map(|name| quoted(name)).collect();
    Err(TokenError::WrongAudience(
        format!("its audience is [{}]", names.join(", ")).into(),
    ))
}

/// A `NumericDate`: seconds since 1970, which may have a fraction.
pub(super) fn instant(
    claims: &Map<String, Value>,
    name: &str,
) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let millis = match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => Some(seconds.saturating_mul(1_000)),
            // A conversion that does not fit ends at the ends.
            (None, Some(seconds)) if seconds.is_finite() => Some((seconds * 1_000.0) as i64),
            _ => None,
        },
        _ => None,
    };
    match millis {
        Some(millis) => Ok(Some(Timestamp::from_millis(millis))),
        None => Err(TokenError::malformed(format!("`{name}` is not a date"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn dates_may_have_fractions_and_must_be_numbers() {
        let claims = map(json!({"a": 1.5, "b": 2, "c": "3", "d": 1e300, "e": null}));
        let millis = |name| instant(&claims, name).map(|at| at.map(Timestamp::as_millis));
        assert_eq!(millis("a").unwrap(), Some(1_500));
        assert_eq!(millis("b").unwrap(), Some(2_000));
        assert!(millis("c").is_err());
        assert_eq!(millis("d").unwrap(), Some(253_402_300_799_999));
        assert!(millis("e").is_err());
        assert_eq!(millis("f").unwrap(), None);
    }
}
