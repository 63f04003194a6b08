//! The name of an entity.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use cedar_policy::pst::SmolStr;
use cedar_policy::{EntityTypeName, EntityUid};

use crate::base::hash;
use crate::base::json::{InputFault, shown};

/// The name of an entity: its type and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityRef {
    type_name: SmolStr,
    id: SmolStr,
    /// Of type and id, by which a store finds it.
    hash: u64,
}

/// What a store looks an entity up by: type, id and the hash of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntityKey<'a> {
    pub(crate) type_name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) hash: u64,
}

impl<'a> From<&'a EntityRef> for EntityKey<'a> {
    #[inline]
    fn from(entity: &'a EntityRef) -> Self {
        Self {
            type_name: &entity.type_name,
            id: &entity.id,
            hash: entity.hash,
        }
    }
}

impl<'a> From<(&'a str, &'a str)> for EntityKey<'a> {
    fn from((type_name, id): (&'a str, &'a str)) -> Self {
        Self {
            type_name,
            id,
            hash: hash::entity(type_name, id),
        }
    }
}

impl Hash for EntityRef {
    /// Hashes the texts: tables that rest on a hash have one of their own.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.type_name.hash(state);
        self.id.hash(state);
    }
}

impl EntityRef {
    /// From a type name such as `Workspace::User` and an id, which may be any text.
    ///
    /// # Errors
    /// When `type_name` is not a Cedar type name.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Result<Self, InputFault> {
        Self::of(&type_name.into(), &id.into())
    }

    /// As [`EntityRef::new`], from borrowed texts.
    pub(crate) fn of(type_name: &str, id: &str) -> Result<Self, InputFault> {
        // Cedar's parser is asked about what is not a plain name.
        if is_type_name(type_name) || EntityTypeName::from_str(type_name).is_ok() {
            return Ok(Self::named(type_name, id));
        }
        let name = shown(type_name);
        Err(InputFault::new(
            "",
            format!("`{name}` is not a Cedar type name such as `Workspace::User`"),
        ))
    }

    /// Of a type name that is known to be one.
    fn named(type_name: &str, id: &str) -> Self {
        Self {
            hash: hash::entity(type_name, id),
            type_name: type_name.into(),
            id: id.into(),
        }
    }

    /// The entity type, fully qualified.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The id, unescaped.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Cedar's form of it; `None` never happens for a value made by this type's constructors.
    pub(crate) fn to_uid(&self) -> Option<EntityUid> {
        let type_name = EntityTypeName::from_str(&self.type_name).ok()?;
        Some(EntityUid::from_type_name_and_id(
            type_name,
            cedar_policy::EntityId::new(&self.id),
        ))
    }
}

impl FromStr for EntityRef {
    type Err = InputFault;

    /// From Cedar's own syntax, `User::"alice"`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((ty, id)) = plain_uid(text) {
            return Ok(Self::named(ty, id));
        }
        let uid = EntityUid::from_str(text).map_err(|_| {
            InputFault::new(
                "",
                format!(
                    "`{}` is not an entity; write its type and id, such as `User::\"alice\"` or \
                     `Action::\"read\"`",
                    shown(text)
                ),
            )
        })?;
        Ok(Self::from(&uid))
    }
}

/// Type and id of `Type::"id"` where nothing in it needs Cedar's parser: no escape and no quote in the id.
fn plain_uid(text: &str) -> Option<(&str, &str)> {
    let (ty, rest) = text.split_once("::\"")?;
    let id = rest.strip_suffix('"')?;
    let plain = is_type_name(ty) && !id.contains(['"', '\\']);
    plain.then_some((ty, id))
}

impl From<&EntityUid> for EntityRef {
    fn from(uid: &EntityUid) -> Self {
        Self::named(&uid.type_name().to_string(), uid.id().unescaped())
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}

/// What names an entity: an [`EntityRef`], a Cedar [`EntityUid`], text such as `User::"alice"`, or a
/// `(type, id)` pair.
pub trait IntoEntityRef {
    /// The entity's name.
    ///
    /// # Errors
    /// When the text or the type is not of Cedar's syntax.
    fn into_entity_ref(self) -> Result<EntityRef, InputFault>;
}

impl IntoEntityRef for EntityRef {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        Ok(self)
    }
}

impl IntoEntityRef for &EntityUid {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        Ok(self.into())
    }
}

impl IntoEntityRef for EntityUid {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        Ok((&self).into())
    }
}

impl IntoEntityRef for &str {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        self.parse()
    }
}

impl IntoEntityRef for String {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        self.parse()
    }
}

impl<T: Into<String>, I: Into<String>> IntoEntityRef for (T, I) {
    fn into_entity_ref(self) -> Result<EntityRef, InputFault> {
        EntityRef::new(self.0, self.1)
    }
}

/// Whether a text is an entity type as Cedar spells it: identifiers joined by `::`, none of them reserved.
pub(crate) fn is_type_name(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let mut len = 0;
        while let Some(b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') = rest.get(len) {
            len += 1;
        }
        let Some((part, after)) = rest.split_at_checked(len) else {
            return false;
        };
        match part {
            [] | [b'0'..=b'9', ..] => return false,
            // They have a meaning of their own in Cedar.
            b"true" | b"false" | b"if" | b"then" | b"else" | b"in" | b"is" | b"like" | b"has"
            | b"__cedar" => return false,
            _ => {}
        }
        match after {
            [] => return true,
            [b':', b':', after @ ..] => rest = after,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_type_name;

    #[test]
    fn type_names_are_identifiers_joined_by_colons() {
        for good in [
            "User",
            "_",
            "A::B",
            "a1::_b2::C",
            "__cedars",
            "trues",
            "A::inn",
        ] {
            assert!(is_type_name(good), "{good}");
        }
        for bad in [
            "",
            "::",
            "A::",
            "::A",
            "A:B",
            "A:::B",
            "1A",
            "A::1",
            "A b",
            "A::in",
            "if",
            "é",
            "A::__cedar",
            "has::A",
            "A.B",
            "A::B ",
        ] {
            assert!(!is_type_name(bad), "{bad}");
        }
    }
}
