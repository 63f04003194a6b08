#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
use super::*;
use std::sync::Arc;
pub type NoticeSink = Arc<dyn Fn(Notice) + Send + Sync>;
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SignalsConfig {}
impl SignalsConfig {
    pub fn check(&self) -> Vec<String> {
        Vec::new()
    }
}
#[derive(Debug)]
pub struct MemorySignals;
impl MemorySignals {
    pub fn new(_c: SignalsConfig, _n: Option<NoticeSink>) -> Self {
        Self
    }
}
#[derive(Debug)]
pub struct DurableSignals;
impl DurableSignals {
    pub(crate) fn open(
        _s: crate::storage::Store,
        _c: SignalsConfig,
        _n: Option<NoticeSink>,
    ) -> Result<Self, crate::storage::StateDirError> {
        Ok(Self)
    }
}
macro_rules! imp {
    ($t:ty) => {
        impl SignalStore for $t {
            fn standing(&self, _: &Ask<'_>) -> Standing {
                Standing::default()
            }
            fn observe(&self, _: &Seen<'_>) {}
            fn report(&self, _: Vec<Event>, _: crate::Timestamp) -> Vec<EventAnswer> {
                Vec::new()
            }
            fn change(&self, _: Change, _: crate::Timestamp) -> Result<(), ChangeError> {
                Ok(())
            }
            fn describe(&self, _: &SubjectKind, _: crate::Timestamp) -> Option<serde_json::Value> {
                None
            }
            fn held(&self, _: crate::Timestamp, _: usize) -> Vec<SubjectKind> {
                Vec::new()
            }
        }
    };
}
imp!(MemorySignals);
imp!(DurableSignals);
