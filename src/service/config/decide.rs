//! `[sources]`, `[state]`, `[reload]`, `[decide]` and `[vocabulary]`: what is decided on, what is kept, and how.

use std::path::PathBuf;

use super::limits::MANY;
use super::notes::{Notes, wrong};
use super::secret::SecretRef;
use crate::base::files::PathText;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::pdp::evaluate::ShadowSettings;
use crate::policy::{EngineChoice, OnError};
use crate::source::watch::{Watch, WatchMode};

settings! {
    /// What is decided on.
    pub struct SourcesConfig {
        /// Files and directories of policies.
        #[schemars(with = "Vec<PathText>")]
        pub policies: Vec<PathBuf>,
        /// Files and directories of schema fragments.
        #[schemars(with = "Vec<PathText>")]
        pub schema: Vec<PathBuf>,
        /// Files and directories of entities.
        #[schemars(with = "Vec<PathText>")]
        pub entities: Vec<PathBuf>,
    }

    /// The state directory.
    pub struct StateConfig {
        /// The directory, where there is one.
        #[schemars(with = "Option<PathText>")]
        pub dir: Option<PathBuf>,
        /// Whether to refuse to start on the last good sources.
        pub strict_start: bool,
        /// The key that seals secrets in the directory.
        pub key: Option<SecretRef>,
        /// Keys that sealed them before; every secret is sealed again at the start.
        pub previous_keys: Vec<SecretRef>,
        /// Revisions whose sources are kept.
        #[schemars(range(min = 1, max = 10_000))]
        pub keep_revisions: usize = 20,
    }
}

impl StateConfig {
    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        wrong! { notes.add;
            self.key.is_none() && !self.previous_keys.is_empty() => "state.previous_keys",
                "there is no newest key to seal with", "set `state.key`";
        }
    }
}

settings! {
    /// How changes of the sources are taken up.
    pub struct ReloadConfig {
        /// How the server notices changes of the sources.
        pub watch: WatchMode = WatchMode::Auto,
        /// How long sources must be unchanged before a reload reads them.
        pub debounce: Span = Span::milliseconds(100),
        /// Time between two polls of the files.
        pub poll_interval: Span = Span::seconds(2),
        /// Whether reloads that look like an accident are held back.
        pub guard: bool = true,
    }
}

impl ReloadConfig {
    /// The settings of a watcher.
    pub(crate) fn watcher(&self) -> Watch {
        Watch {
            mode: self.watch,
            debounce: *self.debounce,
            poll_interval: *self.poll_interval,
        }
    }

    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        if self.poll_interval < Span::milliseconds(10) {
            let message = "is shorter than 10ms";
            notes.add("reload.poll_interval", message, "a second or two is usual");
        }
        notes.at_most("reload.debounce", self.debounce, 60);
        notes.at_most("reload.poll_interval", self.poll_interval, 3_600);
    }
}

settings! {
    /// How requests are decided.
    pub struct DecideConfig {
        /// What a forbid means whose evaluation fails.
        pub on_error: OnError,
        /// The engine that evaluates policies.
        pub engine: EngineChoice,
        /// The share of decisions, in percent, that the reference engine checks.
        #[schemars(range(min = 0, max = 100))]
        pub shadow_percent: u8,
        /// Checks that may wait.
        #[schemars(range(min = 1, max = 100_000))]
        pub shadow_queue: usize = ShadowSettings::default().queue,
        /// Entities that the reference engine is given for one check, at most.
        #[schemars(range(min = 1, max = MANY))]
        pub shadow_entities: usize = ShadowSettings::default().entities,
        /// The context member that carries `Deodar::Env`.
        pub env_member: String = "env".to_owned(),
        /// The context member that carries `Deodar::Trust`.
        pub trust_member: String = "trust".to_owned(),
        /// The context member that carries `Deodar::Auth`.
        pub auth_member: String = "auth".to_owned(),
        /// Whether these members are injected where there is no schema.
        pub inject_without_schema: bool,
        /// Prefix of the names of annotations that Deodar reads; empty unless set.
        pub annotation_prefix: String,
    }
}

impl DecideConfig {
    /// How decisions are checked in the shadow.
    #[must_use]
    pub fn shadow(&self) -> ShadowSettings {
        ShadowSettings {
            share: f64::from(self.shadow_percent) / 100.0,
            queue: self.shadow_queue,
            entities: self.shadow_entities,
        }
    }
}

settings! {
    /// Names that annotations of policies may use, besides those of files named `vocabulary.json`.
    pub struct VocabularyConfig {
        /// Names that `@obligation` may use.
        pub obligations: Vec<String>,
        /// Names that `@advice` may use.
        pub advice: Vec<String>,
    }
}
