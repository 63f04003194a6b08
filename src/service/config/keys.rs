//! Every configuration key: its kind, its default, whether it can change while the server runs.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// A whole number within these bounds.
    Int(u64, u64),
    Text,
    Path,
    /// Paths; in the environment divided by `:` (`;` on Windows).
    Paths,
    /// Names; in the environment divided by `,`.
    Names,
    /// A duration such as `5s` or `100ms`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address with a port.
    Address,
    /// `{file = ".."}` or `{env = ".."}`, never the secret itself.
    Secret,
    /// An array of those.
    Secrets,
}

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As in the environment; empty for none.
    pub(super) default: &'static str,
    /// Whether a change of the file is taken up without a restart.
    pub(super) live: bool,
}

impl Key {
    /// The environment variable: `limits.body_bytes` is `DEODAR_LIMITS_BODY_BYTES`.
    pub(super) fn variable(&self) -> String {
        format!("DEODAR_{}", self.name.replace('.', "_").to_uppercase())
    }
}

const fn fixed(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        live: false,
    }
}

const fn live(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        live: true,
    }
}

const MANY: u64 = 1 << 40;

/// All keys, in the order in which `deodar config` prints them.
pub(super) const KEYS: &[Key] = &[
    fixed("sources.policies", Kind::Paths, ""),
    fixed("sources.schema", Kind::Paths, ""),
    fixed("sources.entities", Kind::Paths, ""),
    fixed("state.dir", Kind::Path, ""),
    fixed("state.strict_start", Kind::Bool, "false"),
    fixed("state.key", Kind::Secret, ""),
    fixed("state.previous_keys", Kind::Secrets, ""),
    fixed("state.keep_revisions", Kind::Int(1, 10_000), "20"),
    fixed(
        "reload.watch",
        Kind::Choice(&["auto", "poll", "off"]),
        "auto",
    ),
    fixed("reload.debounce", Kind::Duration, "100ms"),
    fixed("reload.poll_interval", Kind::Duration, "2s"),
    fixed("reload.guard", Kind::Bool, "true"),
    fixed("decide.on_error", Kind::Choice(&["deny", "skip"]), "deny"),
    fixed(
        "decide.engine",
        Kind::Choice(&["compiled", "reference"]),
        "compiled",
    ),
    fixed("decide.shadow_percent", Kind::Int(0, 100), "0"),
    fixed("decide.shadow_queue", Kind::Int(1, 100_000), "256"),
    fixed("decide.shadow_entities", Kind::Int(1, MANY), "10000"),
    fixed("decide.env_member", Kind::Text, "env"),
    fixed("decide.trust_member", Kind::Text, "trust"),
    fixed("decide.auth_member", Kind::Text, "auth"),
    fixed("decide.inject_without_schema", Kind::Bool, "false"),
    fixed("decide.annotation_prefix", Kind::Text, ""),
    fixed("vocabulary.obligations", Kind::Names, ""),
    fixed("vocabulary.advice", Kind::Names, ""),
    fixed("server.listen", Kind::Address, "127.0.0.1:8180"),
    fixed("server.ops_listen", Kind::Address, ""),
    fixed("server.hosts", Kind::Names, "localhost,127.0.0.1,[::1]"),
    fixed("server.danger_allow_anonymous", Kind::Bool, "false"),
    fixed(
        "server.anonymous",
        Kind::Choice(&["loopback", "off"]),
        "loopback",
    ),
    fixed("server.cors_origins", Kind::Names, ""),
    fixed("server.drain_delay", Kind::Duration, "5s"),
    fixed("server.drain_timeout", Kind::Duration, "30s"),
    fixed("server.socket", Kind::Path, ""),
    fixed("server.socket_mode", Kind::Text, "0600"),
    fixed("tls.certificate", Kind::Path, ""),
    fixed("tls.key", Kind::Path, ""),
    fixed("tls.client_ca", Kind::Path, ""),
    fixed(
        "tls.client_auth",
        Kind::Choice(&["off", "optional", "required"]),
        "off",
    ),
    fixed("tls.min_version", Kind::Choice(&["1.2", "1.3"]), "1.2"),
    fixed("tls.ops", Kind::Bool, "false"),
    fixed("client.ca", Kind::Path, ""),
    fixed("client.certificate", Kind::Path, ""),
    fixed("client.certificate_key", Kind::Path, ""),
    fixed("client.key", Kind::Secret, ""),
    live("limits.body_bytes", Kind::Int(1, MANY), "1048576"),
    live("limits.bodies_bytes", Kind::Int(1, MANY), "67108864"),
    live("limits.json_depth", Kind::Int(1, 127), "64"),
    live("limits.inline_entities", Kind::Int(0, 1_000_000), "1000"),
    live("limits.inline_parent_depth", Kind::Int(1, 1_000), "100"),
    live("limits.decision_steps", Kind::Int(1, MANY), "10000000"),
    live("limits.read_timeout", Kind::Duration, "10s"),
    live("limits.idle_timeout", Kind::Duration, "60s"),
    live("limits.queue_timeout", Kind::Duration, "100ms"),
    live("limits.target_wait", Kind::Duration, "3ms"),
    live("limits.concurrent_requests", Kind::Int(1, 1_000_000), "256"),
    live("limits.connections", Kind::Int(1, 1_000_000), "1024"),
    live("limits.address_percent", Kind::Int(1, 100), "75"),
    live("limits.caller_per_second", Kind::Int(0, 10_000_000), "0"),
    live("limits.caller_burst", Kind::Int(0, 10_000_000), "0"),
    live("limits.caller_concurrent", Kind::Int(0, 1_000_000), "0"),
    live("limits.manage_per_second", Kind::Int(1, 1_000_000), "50"),
    live("limits.policy_file_bytes", Kind::Int(1, MANY), "67108864"),
    live("limits.entity_file_bytes", Kind::Int(1, MANY), "1073741824"),
    live("limits.source_files", Kind::Int(1, 10_000_000), "100000"),
    live("limits.entity_parent_depth", Kind::Int(1, 2_000), "1000"),
    live("limits.entities", Kind::Int(1, 1_000_000_000), "2000000"),
    live(
        "limits.entity_names",
        Kind::Int(1, 1_000_000_000),
        "1000000",
    ),
    live("limits.entity_bytes", Kind::Int(1, MANY), "262144"),
    // Figures and traces.
    fixed("metrics.policies", Kind::Choice(&["on", "off"]), "on"),
    fixed("metrics.policy_limit", Kind::Int(1, 100_000), "200"),
    fixed("otlp.endpoint", Kind::Text, ""),
    fixed("otlp.headers", Kind::Secret, ""),
    fixed("otlp.sample_percent", Kind::Int(0, 100), "1"),
    fixed("audit.file", Kind::Path, ""),
    fixed("audit.stdout", Kind::Bool, "false"),
    fixed("audit.url", Kind::Text, ""),
    fixed("audit.url_token", Kind::Secret, ""),
    fixed(
        "audit.recording",
        Kind::Choice(&["summary", "replayable"]),
        "summary",
    ),
    fixed("audit.slice_entities", Kind::Int(1, 1_000_000), "1000"),
    fixed("audit.masks", Kind::Names, ""),
    fixed("audit.mask_key", Kind::Secret, ""),
    fixed("audit.allow_percent", Kind::Int(0, 100), "100"),
    fixed("audit.routes", Kind::Names, ""),
    fixed(
        "audit.overflow",
        Kind::Choice(&["drop", "block", "deny"]),
        "drop",
    ),
    fixed("audit.buffer", Kind::Int(1, 10_000_000), "8192"),
    fixed("audit.buffer_bytes", Kind::Int(1, MANY), "67108864"),
    fixed("audit.block_timeout", Kind::Duration, "1s"),
    fixed(
        "audit.chain",
        Kind::Choice(&["none", "hmac", "ed25519"]),
        "none",
    ),
    fixed("audit.key", Kind::Secret, ""),
    fixed("audit.checkpoint_records", Kind::Int(1, MANY), "10000"),
    fixed("audit.checkpoint_interval", Kind::Duration, "10s"),
    fixed("audit.rotate_bytes", Kind::Int(0, MANY), "134217728"),
    fixed("audit.rotate_age", Kind::Duration, "24h"),
    fixed("audit.keep_files", Kind::Int(0, 1_000_000), "0"),
    fixed(
        "audit.fsync",
        Kind::Choice(&["none", "interval", "each"]),
        "interval",
    ),
    fixed("audit.batch_records", Kind::Int(1, 100_000), "500"),
    fixed("audit.flush_interval", Kind::Duration, "1s"),
    fixed("audit.post_timeout", Kind::Duration, "10s"),
    fixed("audit.post_buffer_bytes", Kind::Int(1, MANY), "16777216"),
    fixed("webhook_delivery.source", Kind::Text, "urn:deodar:pdp"),
    fixed("webhook_delivery.timeout", Kind::Duration, "15s"),
    fixed(
        "webhook_delivery.retries",
        Kind::Names,
        "0s,5s,5m,30m,2h,5h,10h",
    ),
    fixed("webhook_delivery.queue", Kind::Int(1, 100_000), "1000"),
    fixed(
        "webhook_delivery.dead_letters",
        Kind::Int(1, 1_000_000),
        "10000",
    ),
    fixed("webhook_delivery.dead_letter_file", Kind::Path, ""),
    fixed("webhook_delivery.danger_allow_private", Kind::Bool, "false"),
    live("log.level", Kind::Text, "info"),
    live(
        "log.format",
        Kind::Choice(&["auto", "human", "json"]),
        "auto",
    ),
];

/// The key of this name.
pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
