//! The server is replaced: by an earlier state of itself, by a standby, by its former primary.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::services::{self, Postgres, Service};
use cdcd_testkit::wait_until;

use super::{Outcome, Stage, grow_past, wal_end};
use crate::chaos::arena::Ground;

/// How long a standby may take to follow or to be promoted.
const STANDBY_LIMIT: Duration = Duration::from_secs(30);

/// A second cluster of the same major.
fn second(ground: &Ground, name: &str) -> Service {
    Service::Postgres { cluster: name.to_owned(), major: ground.options.pg }
}

/// Starts the test's own cluster again; it keeps its port, unless somebody has taken it meanwhile.
fn start_again(ground: &mut Ground) -> Result<()> {
    let port = ground.postgres.port;
    ground.postgres = services::postgres_cluster("chaos", ground.options.pg)?;
    ensure!(ground.postgres.port == port, "port {port} was taken by another process");
    Ok(())
}

pub(super) fn restored(ground: &mut Ground) -> Result<Outcome> {
    let (stage, _) = restore(ground)?;
    stage.insert(1_000)?;
    stage.watch(ground)
}

/// The restored server writes until its log is longer than what the capture has seen.
pub(super) fn restored_and_outgrown(ground: &mut Ground) -> Result<Outcome> {
    let (stage, position) = restore(ground)?;
    stage.insert(1_000)?;
    grow_past(&ground.postgres, &stage.name, &position)?;
    stage.insert(2_000)?;
    stage.watch(ground)
}

/// A server that is back at the state of a backup, and the position of a capture that has seen more.
fn restore(ground: &mut Ground) -> Result<(Stage, String)> {
    let stage = Stage::new(ground)?;
    let (own, backup) = (ground.postgres.service(), second(ground, "backup"));
    services::down(&own)?;
    services::copy_postgres(&own, &backup)?;
    start_again(ground)?;
    // More than the restored server will write before it is looked at.
    stage.sql("INSERT INTO t SELECT i FROM generate_series(10000, 60000) i")?;
    stage.catch_up(ground)?;
    let position = wal_end(&ground.postgres)?;
    services::down(&own)?;
    services::copy_postgres(&backup, &own)?;
    services::wipe(&backup)?;
    start_again(ground)?;
    Ok((stage, position))
}

/// A stage on the primary, and a standby that has followed so far.
fn with_standby(ground: &mut Ground) -> Result<(Stage, Postgres)> {
    let stage = Stage::new(ground)?;
    let (own, standby) = (ground.postgres.service(), second(ground, "standby"));
    services::wipe(&standby)?;
    services::down(&own)?;
    services::copy_postgres(&own, &standby)?;
    start_again(ground)?;
    services::follow_postgres(&standby, &ground.postgres)?;
    let standby = services::postgres_cluster("standby", ground.options.pg)?;
    stage.insert(500)?;
    stage.catch_up(ground)?;
    follow_up(ground, &standby)?;
    Ok((stage, standby))
}

/// Waits until the standby has everything.
fn follow_up(ground: &Ground, standby: &Postgres) -> Result<()> {
    let end = wal_end(&ground.postgres)?;
    let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
    wait_until(
        "the standby",
        STANDBY_LIMIT,
        || Ok((standby.psql("postgres", &reached)? == "t").then_some(())),
    )
}

fn promote(standby: &Postgres) -> Result<()> {
    let promoted = standby.psql("postgres", "SELECT pg_promote(true, 30)")?;
    ensure!(promoted == "t", "the standby was not promoted");
    Ok(())
}

/// Rows on the promoted server, in the same table.
fn insert(server: &Postgres, stage: &Stage, from: u32) -> Result<()> {
    let sql = format!("INSERT INTO t SELECT i FROM generate_series({from}, {from} + 9) i");
    server.psql(&stage.name, &sql).map(|_| ())
}

fn create_slot(server: &Postgres, stage: &Stage) -> Result<()> {
    let sql = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", stage.name);
    server.psql(&stage.name, &sql).map(|_| ())
}

fn end(standby: &Postgres) -> Result<()> {
    services::wipe(&standby.service()).map(|_| ())
}

pub(super) fn promoted_without_slot(ground: &mut Ground) -> Result<Outcome> {
    let (mut stage, standby) = with_standby(ground)?;
    promote(&standby)?;
    insert(&standby, &stage, 2_000)?;
    stage.move_to(ground, &standby)?;
    let outcome = stage.watch(ground)?;
    end(&standby)?;
    Ok(outcome)
}

pub(super) fn promoted_with_new_slot(ground: &mut Ground) -> Result<Outcome> {
    let (mut stage, standby) = with_standby(ground)?;
    promote(&standby)?;
    insert(&standby, &stage, 2_000)?;
    create_slot(&standby, &stage)?;
    insert(&standby, &stage, 3_000)?;
    stage.move_to(ground, &standby)?;
    let outcome = stage.watch(ground)?;
    end(&standby)?;
    Ok(outcome)
}

/// The standby never got what the capture has delivered; it then outgrows the position, and its slot is behind it: only
/// the history of timelines tells.
pub(super) fn promoted_lagging(ground: &mut Ground) -> Result<Outcome> {
    let (mut stage, standby) = with_standby(ground)?;
    standby.psql("postgres", "ALTER SYSTEM SET primary_conninfo = ''")?;
    standby.psql("postgres", "SELECT pg_reload_conf()")?;
    wait_until("the end of the standby's receiver", STANDBY_LIMIT, || {
        Ok((standby.psql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver")? == "0").then_some(()))
    })?;
    stage.sql("INSERT INTO t SELECT i FROM generate_series(10000, 30000) i")?;
    stage.catch_up(ground)?;
    let position = wal_end(&ground.postgres)?;
    promote(&standby)?;
    create_slot(&standby, &stage)?;
    grow_past(&standby, &stage.name, &position)?;
    insert(&standby, &stage, 2_000)?;
    stage.move_to(ground, &standby)?;
    let outcome = stage.watch(ground)?;
    end(&standby)?;
    Ok(outcome)
}

/// A connector whose position was made on the promoted server meets the former primary, which has gone on by itself.
pub(super) fn old_primary(ground: &mut Ground) -> Result<Outcome> {
    let (mut stage, standby) = with_standby(ground)?;
    // Another name: its first start is on the promoted server.
    let name = format!("{}_late", stage.name);
    stage.sql(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"))?;
    stage.sql(&format!("CREATE PUBLICATION {name} FOR TABLE t"))?;
    follow_up(ground, &standby)?;
    promote(&standby)?;
    stage.name = name;
    stage.move_to(ground, &standby)?;
    insert_and_catch_up(ground, &stage, &standby)?;
    let position = wal_end(&standby)?;
    let database = stage.database.name.clone();
    grow_past(&ground.postgres, &database, &position)?;
    stage.insert(3_000)?;
    let primary = ground.postgres.clone();
    stage.move_to(ground, &primary)?;
    let outcome = stage.watch(ground)?;
    end(&standby)?;
    Ok(outcome)
}

/// The connector's database is the stage's, whatever the connector is called.
fn insert_and_catch_up(ground: &Ground, stage: &Stage, standby: &Postgres) -> Result<()> {
    stage.catch_up(ground).context("on the promoted server")?;
    let sql = "INSERT INTO t SELECT i FROM generate_series(2000, 2009) i";
    standby.psql(&stage.database.name, sql)?;
    stage.catch_up(ground).context("on the promoted server")
}
