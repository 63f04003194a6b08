//! Shared Signals: security event tokens of configured transmitters to events.
//!
//! What enters: compact SETs (RFC 8417) that were pushed (RFC 8935) or polled for (RFC 8936), and the
//! instant. What leaves: a [`Reading`] with the events to store, or why the token is not taken. Nothing
//! is stored, counted or acknowledged here. What must hold: a token means something only if a configured
//! transmitter signed it for this server; what it is about is one of the subjects that are mapped.

mod poll;
mod receiver;
mod standing;
mod subject;
mod table;

pub(crate) use poll::{PollBody, SetFault, read as read_batch};
pub(crate) use receiver::{Receiver, Receivers};
pub(crate) use standing::SetResult;
pub(crate) use table::level_of;
