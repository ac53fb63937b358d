//! Reads the captured tables as of one moment.

use std::time::Duration;

use cdcd_capture::{Capture, ColumnShape, Flow, Pace, SnapshotTable, TableShape};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;
use cdcd_postgres::catalog::{self as pg_catalog, Table};
use cdcd_postgres::connection::{Connection, CopyMessage, Purpose};
use cdcd_postgres::snapshot::{SnapshotReader, TableRows};
use tokio_postgres::Client;

use super::delivery::Delivery;
use super::report::SnapshotProgress;
use super::{catalog, now_ns};
use crate::connector::source::SourceSettings;
use crate::exit::Failure;
use crate::shutdown::Shutdown;

/// Bytes of records that are gathered before they are sent: large enough for batches, small beside the
/// producer's own queue.
const OUTBOX_BYTES_MAX: usize = 256 << 10;
/// How long Kafka may take for the last rows.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// How a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All rows are durable.
    Complete,
    /// The shutdown was asked for; the next start reads again.
    Interrupted,
}

/// Reads all tables; rows are marked with `lsn`.
pub(super) async fn run(
    settings: &SourceSettings,
    control: &Client,
    tables: &[Table],
    (lsn, exported): (Lsn, Option<&str>),
    capture: &mut Capture,
    delivery: &mut Delivery<'_>,
    shutdown: &Shutdown,
) -> Result<Ended, Failure> {
    let connection = Connection::connect(&settings.database, Purpose::Query).await?;
    let mut reader = SnapshotReader::begin(connection, exported).await?;
    let moment = reader.moment().await?;
    let tables: Vec<&Table> = tables.iter().filter(|table| is_read(settings, table)).collect();
    tracing::info!(tables = tables.len(), lsn = %lsn, "snapshot begun");
    let estimate = tables.iter().map(|table| table.rows_estimate.max(0.0) as u64).sum();
    let mut progress = SnapshotProgress::new(estimate);
    capture.begin_snapshot(lsn, Some(moment.xid));
    for table in &tables {
        progress.table(&table.name);
        let ended =
            read_table(settings, control, table, &mut reader, capture, delivery, &mut progress, shutdown)
                .await?;
        if ended == Ended::Interrupted {
            return Ok(Ended::Interrupted);
        }
    }
    capture.end_snapshot(now_ns())?;
    reader.commit().await?;
    delivery.finish(capture, DRAIN_LIMIT).await?;
    progress.finish(tables.len());
    Ok(Ended::Complete)
}

/// A partitioned table's rows are read once: from its partitions, or from the root if that is published.
fn is_read(settings: &SourceSettings, table: &Table) -> bool {
    let wanted = settings.snapshot.tables.passes(&format!("{}.{}", table.schema, table.name));
    wanted
        && if settings.publication.via_partition_root { !table.is_partition } else { !table.is_partitioned }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one session, each used")]
async fn read_table(
    settings: &SourceSettings,
    control: &Client,
    table: &Table,
    reader: &mut SnapshotReader,
    capture: &mut Capture,
    delivery: &mut Delivery<'_>,
    progress: &mut SnapshotProgress,
    shutdown: &Shutdown,
) -> Result<Ended, Failure> {
    let name = format!("{}.{}", table.schema, table.name);
    let columns = pg_catalog::columns(control, table.oid).await?;
    let type_oids: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    let facts = catalog::facts(control, table.oid, &columns, &type_oids).await?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let at_us = reader.moment().await?.at_us;
    capture.begin_snapshot_table(SnapshotTable { shape: shape(table, &columns), facts, at_us })?;
    let rows = TableRows {
        schema: &table.schema,
        table: &table.name,
        columns: &names,
        select: settings.snapshot.overrides.get(&name).map(String::as_str),
    };
    reader.start_table(&rows).await?;
    let mut count = 0u64;
    loop {
        match reader.next_row()? {
            Some(CopyMessage::Data(line)) => {
                capture.handle_snapshot_row(line, now_ns())?;
                count += 1;
                progress.row();
                if capture.pending_bytes() >= OUTBOX_BYTES_MAX {
                    while delivery.pump(capture, Pace::Busy).await? == Flow::Full {
                        delivery.relieve(capture).await?;
                    }
                }
            }
            Some(CopyMessage::Done) => break,
            None => {
                if shutdown.is_requested() {
                    return Ok(Ended::Interrupted);
                }
                reader.fill().await?;
            }
        }
    }
    reader.end_table().await?;
    capture.end_snapshot_table();
    progress.table_done(&name, count);
    Ok(Ended::Complete)
}

fn shape(table: &Table, columns: &[pg_catalog::Column]) -> TableShape {
    TableShape {
        oid: table.oid,
        schema: table.schema.clone(),
        table: table.name.clone(),
        identity: match table.replica_identity {
            'n' => ReplicaIdentity::Nothing,
            'f' => ReplicaIdentity::Full,
            'i' => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        },
        columns: columns
            .iter()
            .map(|column| ColumnShape {
                name: column.name.clone(),
                is_identity: column.is_identity,
                type_oid: column.type_oid,
                typmod: column.typmod,
            })
            .collect(),
    }
}
