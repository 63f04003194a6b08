//! Tables of settings.

/// Declares tables whose keys each have their default beside them: `key: Type = default`, or `key: Type` for the
/// default of the type. A table is read with every key optional and no other key allowed.
macro_rules! settings {
    ($($(#[$about:meta])* $vis:vis struct $table:ident {
        $($(#[$of:meta])* $see:vis $key:ident: $ty:ty $(= $default:expr)?,)+
    })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        $vis struct $table { $($(#[$of])* $see $key: $ty,)+ }

        impl Default for $table {
            fn default() -> Self {
                Self { $($key: $crate::base::settings::settings!(@default $($default)?),)+ }
            }
        }
    )+};
    (@default $default:expr) => { $default };
    (@default) => { Default::default() };
}

pub(crate) use settings;
