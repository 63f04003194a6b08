//! What the JSON schema of settings says of a type that is read from text of its own.

/// Writes the schema of a type.
macro_rules! described {
    ($name:ident, $schema:tt) => {
        #[cfg(feature = "server")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use described;
