//! `[limits]`: bounds on requests and on what is read from disk.

use super::notes::{Notes, wrong};
use crate::base::caller::CallerLimits;
use crate::base::settings::settings;
use crate::base::span::Span;
use crate::request::Limits;
use crate::source::ReadLimits;

/// More than anybody means.
pub(super) const MANY: u64 = 1 << 40;

settings! {
    /// Bounds on requests and on what is read from disk.
    #[derive(Copy)]
    pub struct LimitsConfig {
        /// Bytes of a request body.
        #[schemars(range(min = 1, max = MANY))]
        pub body_bytes: usize = 1 << 20,
        /// Bytes of memory that the bodies of all requests may take together, beyond the first 32 KiB of each.
        /// A body takes two bytes for each that it has.
        #[schemars(range(min = 1, max = MANY))]
        pub bodies_bytes: usize = 64 << 20,
        /// Nesting of a request's JSON, in levels.
        #[schemars(range(min = 1, max = 127))]
        pub json_depth: usize = Limits::default().json_depth,
        /// Inline entities in one request.
        #[schemars(range(min = 0, max = 1_000_000))]
        pub inline_entities: usize = Limits::default().inline_entities,
        /// Length of a chain of parents that begins at an inline entity and runs through inline entities.
        #[schemars(range(min = 1, max = 1_000))]
        pub inline_parent_depth: usize = Limits::default().inline_parent_depth,
        /// Steps of evaluation that a decision may take.
        #[schemars(range(min = 1, max = MANY))]
        pub decision_steps: u64 = Limits::default().decision_steps,
        /// Time for reading a request, headers and body each.
        pub read_timeout: Span = Span::seconds(10),
        /// Time a connection may stay open between two requests.
        pub idle_timeout: Span = Span::seconds(60),
        /// How long a request may wait for a place.
        pub queue_timeout: Span = Span::milliseconds(100),
        /// How long requests may wait for a processor; beyond it a share of them is refused. Zero means no bound.
        pub target_wait: Span = Span::milliseconds(3),
        /// Requests under way at once.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub concurrent_requests: usize = 256,
        /// Connections open at once.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub connections: usize = 1_024,
        /// Connections, and bytes of bodies, that one remote address may take, in percent of all.
        #[schemars(range(min = 1, max = 100))]
        pub address_percent: usize = 75,
        /// Decisions per second of each caller that has no limits of its own; 0 means no limit.
        #[schemars(range(min = 0, max = 10_000_000))]
        pub caller_per_second: u32,
        /// Decisions of such a caller above that rate in a burst; 0 for as many as a second has.
        #[schemars(range(min = 0, max = 10_000_000))]
        pub caller_burst: u32,
        /// Decisions of such a caller under way at once; 0 means no limit.
        #[schemars(range(min = 0, max = 1_000_000))]
        pub caller_concurrent: u32,
        /// Other requests of each caller per second.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub manage_per_second: u32 = 50,
        /// Bytes of one policy, links or schema file.
        #[schemars(range(min = 1, max = MANY))]
        pub policy_file_bytes: u64 = ReadLimits::default().policy_file_bytes,
        /// Bytes of one entities file.
        #[schemars(range(min = 1, max = MANY))]
        pub entity_file_bytes: u64 = ReadLimits::default().entity_file_bytes,
        /// Files in all trees together.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub source_files: usize = ReadLimits::default().files,
        /// Length of a chain of parents among stored entities.
        #[schemars(range(min = 1, max = 2_000))]
        pub entity_parent_depth: usize = ReadLimits::default().entity_parent_depth,
        /// Stored entities of all files and of the API, the actions of the schema among them.
        #[schemars(range(min = 1, max = 1_000_000_000))]
        pub entities: usize = ReadLimits::default().entities,
        /// Different names of attributes, tags and types in stored entities and policies.
        #[schemars(range(min = 1, max = 1_000_000_000))]
        pub entity_names: usize = ReadLimits::default().entity_names,
        /// Bytes of the JSON of one entity that is written through the API.
        #[schemars(range(min = 1, max = MANY))]
        pub entity_bytes: usize = ReadLimits::default().entity_bytes,
    }
}

impl LimitsConfig {
    /// Bounds on the content of a request.
    #[must_use]
    pub fn request(&self) -> Limits {
        Limits {
            json_depth: self.json_depth,
            inline_entities: self.inline_entities,
            inline_parent_depth: self.inline_parent_depth,
            decision_steps: self.decision_steps,
        }
    }

    /// Bounds on what is read from disk.
    #[must_use]
    pub fn read(&self) -> ReadLimits {
        ReadLimits {
            policy_file_bytes: self.policy_file_bytes,
            entity_file_bytes: self.entity_file_bytes,
            files: self.source_files,
            entity_parent_depth: self.entity_parent_depth,
            entities: self.entities,
            entity_names: self.entity_names,
            entity_bytes: self.entity_bytes,
        }
    }

    /// Bounds on the decisions of each caller that has none of its own.
    #[must_use]
    pub fn caller(&self) -> CallerLimits {
        CallerLimits {
            requests_per_second: self.caller_per_second,
            burst: self.caller_burst,
            concurrent: self.caller_concurrent,
        }
    }

    /// Bounds on what each caller manages.
    #[must_use]
    pub fn manage(&self) -> CallerLimits {
        CallerLimits {
            requests_per_second: self.manage_per_second,
            ..CallerLimits::default()
        }
    }

    /// What no single key can say.
    pub(super) fn check(&self, notes: &mut Notes<'_>) {
        let share = self.bodies_bytes as u128 * self.address_percent as u128 / 100;
        wrong! { notes.add;
            share < 2 * self.body_bytes as u128 => "limits.bodies_bytes",
                format!( "the share of one address, {share} bytes, has no room for one body of `limits.body_bytes`" ),
                "raise it to three times `limits.body_bytes` or more";
        }
        notes.at_most("limits.read_timeout", self.read_timeout, 3_600);
        notes.at_most("limits.idle_timeout", self.idle_timeout, 86_400);
        notes.at_most("limits.queue_timeout", self.queue_timeout, 3_600);
        notes.at_most("limits.target_wait", self.target_wait, 60);
    }
}
