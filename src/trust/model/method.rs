//! Methods of authentication, and what proves one.

use crate::base::timestamp::Timestamp;
use crate::base::words::words;

words! {
    /// A method of authentication.
    #[derive(PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    #[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
    #[serde(rename_all = "snake_case")]
    #[non_exhaustive]
    pub enum Method by as_str {
        /// A password, asked for again.
        PasswordConfirmation = "password_confirmation",
        /// A time-based one-time password.
        Totp = "totp",
        /// A one-time password by text message.
        SmsOtp = "sms_otp",
        /// A code from a list made before.
        BackupCodes = "backup_codes",
        /// A notification that is confirmed on another device.
        PushNotification = "push_notification",
        /// WebAuthn: a passkey or security key.
        Webauthn = "webauthn",
        /// Somebody else's approval.
        AdminApproval = "admin_approval",
    }
}

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MethodSet(u16);

impl MethodSet {
    /// The same with `method`.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method as u16)
    }

    /// Whether `method` is among them.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 >> (method as u16) & 1 == 1
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The methods.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |m| self.contains(*m))
    }
}

impl FromIterator<Method> for MethodSet {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        methods.into_iter().fold(Self::default(), Self::with)
    }
}

/// Something that proves an authentication: of a session's assurance record, or of a verified token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The method, where it is known.
    pub method: Option<Method>,
    /// The level that was reached, where it was said (by an `acr`) and does not follow from the method.
    pub level: Option<u8>,
    /// Whether the user was verified by the authenticator (a biometric, a PIN), not only present.
    pub user_verified: bool,
    /// When it was.
    pub at: Timestamp,
    /// When it ends in any case.
    pub until: Option<Timestamp>,
}
