//! What the catalog answered, now and in earlier processes.

use cdcd_pgoutput::Lsn;

use super::{Capture, Engine};
use crate::catalog::{CatalogRequest, TableFacts};
use crate::error::Error;
use crate::kept::{FactsRecord, KeptFacts};
use crate::plan::TableShape;

impl Capture {
    /// Answers of earlier processes: they answer for what commits up to `log_end`, the end of the server's log at the
    /// start. `tables` are the OIDs of the captured tables that exist.
    pub fn remember(&mut self, kept: KeptFacts, log_end: Lsn, tables: &[u32]) {
        self.engine.memory.load(kept, log_end, tables);
    }

    /// A column of a table (`schema.table`), by its field in events, held NULL: whatever the catalog says or said, it is not NOT NULL.
    pub fn allow_null(&mut self, table: &str, column: &str) {
        self.engine.memory.allow_null(table, column);
    }

    /// A record that must be durable not later than the records that wait now.
    pub fn poll_facts_record(&mut self) -> Option<FactsRecord> {
        self.engine.memory.poll_record()
    }

    /// A position at `done_end_lsn` is about to become durable: what no replay behind it needs becomes tombstones, to
    /// be durable together with it.
    pub fn forget_facts(&mut self, done_end_lsn: Lsn) {
        self.engine.memory.forget(done_end_lsn);
    }
}

impl Engine {
    /// Plans a captured table that Relation described, or asks for what it does not say.
    pub(super) fn plan_or_ask(&mut self, shape: TableShape) -> Result<(), Error> {
        let commit_lsn = self.transaction.map_or(Lsn::ZERO, |transaction| transaction.commit_lsn);
        match self.memory.recall(&shape, commit_lsn) {
            Some(facts) => {
                let facts = self.memory.with_nulls(&shape, &facts, self.config.field_names);
                self.memory.keep(&shape, &facts, self.last_boundary);
                self.plan_table(shape, &facts).map(|_| ())
            }
            None => {
                self.ask(shape);
                Ok(())
            }
        }
    }

    fn ask(&mut self, shape: TableShape) {
        let request = CatalogRequest {
            relation: shape.oid,
            table: shape.full_name(),
            type_oids: shape.columns.iter().map(|column| column.type_oid).collect(),
        };
        self.catalog_request = Some((shape, request));
    }

    /// An answer has come.
    pub(super) fn answered(&mut self, shape: TableShape, facts: &TableFacts) -> Result<(), Error> {
        let facts = &self.memory.with_nulls(&shape, facts, self.config.field_names);
        let is_planned = self.tables.by_oid.get(&shape.oid).is_some_and(|known| known.shape == shape);
        if !(is_planned && self.memory.knows(&shape, facts)) {
            self.memory.keep(&shape, facts, self.last_boundary);
            self.plan_table(shape, facts)?;
        }
        self.ask_again();
        Ok(())
    }

    /// What the log held at the start has passed: tables that an earlier answer described are asked for anew.
    pub(super) fn ask_again(&mut self) {
        let commit_lsn = self.transaction.map_or(Lsn::ZERO, |transaction| transaction.commit_lsn);
        while self.catalog_request.is_none()
            && let Some(oid) = self.memory.ask_again(commit_lsn)
        {
            if let Some(known) = self.tables.by_oid.get(&oid) {
                self.ask(known.shape.clone());
            }
        }
    }
}
