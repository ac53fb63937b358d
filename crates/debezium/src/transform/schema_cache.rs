//! What a schema becomes, worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::schema::Schema;

/// Schemas that are remembered; more than any connector has tables, few enough to forget all at once.
const SCHEMAS_MAX: usize = 4096;

/// From a schema, known by its address, to the one that a transformation makes of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SchemaCache {
    // The old schema is kept so that its address is not used again.
    entries: BTreeMap<usize, (Arc<Schema>, Arc<Schema>)>,
}

impl SchemaCache {
    /// What `from` becomes.
    pub(crate) fn get<E>(
        &mut self,
        from: &Arc<Schema>,
        make: impl FnOnce() -> Result<Schema, E>,
    ) -> Result<Arc<Schema>, E> {
        let address = Arc::as_ptr(from) as usize;
        if let Some((_, to)) = self.entries.get(&address) {
            return Ok(Arc::clone(to));
        }
        let to = Arc::new(make()?);
        if self.entries.len() >= SCHEMAS_MAX {
            self.entries.clear();
        }
        self.entries.insert(address, (Arc::clone(from), Arc::clone(&to)));
        Ok(to)
    }

    /// The same where nothing can go wrong.
    pub(crate) fn of(&mut self, from: &Arc<Schema>, make: impl FnOnce() -> Schema) -> Arc<Schema> {
        match self.get(from, || Ok::<_, std::convert::Infallible>(make())) {
            Ok(schema) => schema,
        }
    }
}
