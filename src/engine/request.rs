//! A request in numbers, ready to be evaluated.

use crate::entities::{EntityVersion, Locals, RawValue, Record, RequestSymbols, Sym, Symbols, Uid};

/// Principal, action, resource and context, bound to one version. Made once and used again: binding the
/// next request reuses the buffers of the last.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineRequest {
    pub(crate) locals: Locals,
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: Record,
    pub(crate) bound: (u64, u64),
}

impl EngineRequest {
    /// A request that is not bound yet.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Looks up who asks for what, each as type and id, and starts with an empty context.
    pub(crate) fn bind(
        &mut self,
        version: &EntityVersion,
        principal: (&str, &str),
        action: (&str, &str),
        resource: (&str, &str),
    ) {
        self.locals.clear();
        self.context.clear();
        self.bound = version.identity();
        let mut symbols = RequestSymbols {
            version,
            locals: &mut self.locals,
        };
        self.principal = symbols.entity(principal.0, principal.1);
        self.action = symbols.entity(action.0, action.1);
        self.resource = symbols.entity(resource.0, resource.1);
    }

    /// Adds one attribute to the context, which is in order once [`Record::settle`] was called.
    pub(crate) fn add_context(&mut self, version: &EntityVersion, name: &str, value: RawValue) {
        let mut symbols = RequestSymbols {
            version,
            locals: &mut self.locals,
        };
        let name = symbols.name(name);
        let value = value.into_value(&mut symbols);
        self.context.push(name, value);
    }

    /// Sets one attribute of the context.
    #[cfg(test)]
    pub(crate) fn set_context(&mut self, version: &EntityVersion, name: &str, value: RawValue) {
        self.add_context(version, name, value);
        self.context.settle();
    }

    /// The number of a name.
    pub(crate) fn name(&mut self, version: &EntityVersion, name: &str) -> Sym {
        self.locals.name(version, name)
    }

    /// The names and ids of this request, for making an overlay that belongs to it.
    pub(crate) fn locals(&mut self) -> &mut Locals {
        &mut self.locals
    }
}
