//! The name of an entity.

use std::fmt;
use std::str::FromStr;

use cedar_policy::pst::SmolStr;
use cedar_policy::{EntityTypeName, EntityUid};

use crate::base::json::{InputFault, shown};

/// The name of an entity: its type and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    type_name: SmolStr,
    id: SmolStr,
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
            return Ok(Self {
                type_name: type_name.into(),
                id: id.into(),
            });
        }
        let name = shown(type_name);
        Err(InputFault::new(
            "",
            format!("`{name}` is not a Cedar type name such as `Workspace::User`"),
        ))
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
            return Ok(Self {
                type_name: ty.into(),
                id: id.into(),
            });
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
        Self {
            type_name: uid.type_name().to_string().into(),
            id: uid.id().unescaped().into(),
        }
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
    text.split("::").all(|part| {
        let mut bytes = part.bytes();
        bytes
            .next()
            .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
            && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
            && !matches!(
                part,
                "true"
                    | "false"
                    | "if"
                    | "then"
                    | "else"
                    | "in"
                    | "is"
                    | "like"
                    | "has"
                    | "__cedar"
            )
    })
}
