//! A request in numbers, ready to be evaluated.

use crate::base::entity_ref::EntityKey;
use crate::entities::{
    EntityVersion, Known, Locals, RawValue, Record, RequestSymbols, Sym, Uid, Value,
};

/// Principal, action, resource and context, bound to one version. Made once and used again: binding the
/// next request reuses the buffers of the last.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineRequest {
    pub(crate) locals: Locals,
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) principal_type: Sym,
    pub(crate) resource_type: Sym,
    pub(crate) context: Record,
    pub(crate) bound: (u64, u64),
}

impl EngineRequest {
    /// A request that is not bound yet.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Looks up who asks for what, and starts with an empty context.
    #[cfg(test)]
    pub(crate) fn bind<'k>(
        &mut self,
        version: &EntityVersion,
        principal: impl Into<EntityKey<'k>>,
        action: impl Into<EntityKey<'k>>,
        resource: impl Into<EntityKey<'k>>,
    ) {
        let keys = [principal.into(), action.into(), resource.into()];
        self.begin(version, keys, keys.map(|key| version.look_up(key)));
    }

    /// Starts with the names of principal, action and resource, and what the store knows of each, and an empty
    /// context.
    pub(crate) fn begin<'k>(
        &mut self,
        version: &EntityVersion,
        names: [impl Into<EntityKey<'k>>; 3],
        known: [Option<Known<'_>>; 3],
    ) {
        self.locals.clear();
        self.context.clear();
        self.bound = version.identity();
        let [principal, action, resource] = names;
        let [known_principal, known_action, known_resource] = known;
        (self.principal, self.principal_type) = self.number(version, principal, known_principal);
        (self.action, _) = self.number(version, action, known_action);
        (self.resource, self.resource_type) = self.number(version, resource, known_resource);
    }

    /// The number and the type of a name.
    #[inline]
    fn number<'k>(
        &mut self,
        version: &EntityVersion,
        name: impl Into<EntityKey<'k>>,
        known: Option<Known<'_>>,
    ) -> (Uid, Sym) {
        match known {
            Some(known) => (known.uid, known.type_name()),
            None => {
                let uid = self.locals.unknown(version, name.into());
                (uid, self.locals.type_of(uid))
            }
        }
    }

    /// Adds one attribute to the context, which is in order once [`Record::settle`] was called.
    pub(crate) fn add_context(&mut self, version: &EntityVersion, name: &str, value: RawValue) {
        let name = self.locals.name(version, name);
        let value = self.value(version, value);
        self.context.push(name, value);
    }

    /// The value that a text of this request stands for.
    pub(crate) fn value(&mut self, version: &EntityVersion, value: RawValue) -> Value {
        value.into_value(&mut RequestSymbols {
            version,
            locals: &mut self.locals,
        })
    }

    /// The type of an id, stored or not.
    #[inline]
    pub(crate) fn type_of(&self, version: &EntityVersion, uid: Uid) -> Sym {
        if uid.is_local() {
            self.locals.type_of(uid)
        } else {
            version.type_of(uid)
        }
    }

    /// Sets one attribute of the context.
    #[cfg(test)]
    pub(crate) fn set_context(&mut self, version: &EntityVersion, name: &str, value: RawValue) {
        self.add_context(version, name, value);
        self.context.settle();
    }

    /// What a version knows of principal, action and resource.
    #[cfg(test)]
    pub(crate) fn known<'v>(&self, version: &'v EntityVersion) -> [Option<Known<'v>>; 3] {
        [self.principal, self.action, self.resource].map(|uid| version.known(uid))
    }

    /// The names and ids of this request, for making an overlay that belongs to it.
    pub(crate) fn locals(&mut self) -> &mut Locals {
        &mut self.locals
    }
}
