//! Somebody changes what is published.

use anyhow::Result;

use super::{ALARM, Outcome, Stage, WATCH, watch};
use crate::chaos::arena::Ground;

/// The new table has the old one's name and is not in the publication: PostgreSQL sends nothing of it.
const RECREATE_TABLE: &str = "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY)";

pub(super) fn table_recreated(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    stage.sql(RECREATE_TABLE)?;
    stage.insert(1_000)?;
    stage.watch(ground)
}

pub(super) fn table_recreated_while_running(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    let capture = stage.run_on(ground)?;
    stage.sql(RECREATE_TABLE)?;
    stage.insert(1_000)?;
    watch(capture, ALARM)
}

/// Rows are written while there is no publication: the log cannot be decoded there, for ever.
fn recreate_publication(stage: &Stage) -> Result<()> {
    let name = &stage.name;
    stage.sql(&format!("DROP PUBLICATION {name}"))?;
    stage.insert(1_000)?;
    stage.sql(&format!("CREATE PUBLICATION {name} FOR TABLE t"))?;
    stage.insert(2_000)
}

pub(super) fn publication_recreated(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    recreate_publication(&stage)?;
    stage.watch(ground)
}

pub(super) fn publication_recreated_while_running(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    let capture = stage.run_on(ground)?;
    recreate_publication(&stage)?;
    watch(capture, WATCH)
}

/// The slot was made beforehand, rows were written, and only then came the publication.
pub(super) fn publication_younger(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::bare(ground)?;
    let name = &stage.name;
    stage.sql(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"))?;
    stage.insert(1_000)?;
    stage.sql(&format!("CREATE PUBLICATION {name} FOR TABLE t"))?;
    stage.insert(2_000)?;
    stage.watch(ground)
}
