//! Somebody else moves the slot.

use std::time::Duration;

use anyhow::{Result, bail};
use cdcd_testkit::proxy::Proxy;
use cdcd_testkit::wait_until;

use super::{Outcome, Stage, WATCH, watch};
use crate::chaos::arena::{Ground, write_connector};

/// A way to the server that is slow enough for a look in between.
const SLOW: Duration = Duration::from_millis(400);

pub(super) fn recreated(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    stage.insert(1_000)?;
    let name = &stage.name;
    stage.sql(&format!("SELECT pg_drop_replication_slot('{name}')"))?;
    stage.sql(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"))?;
    stage.insert(2_000)?;
    stage.watch(ground)
}

pub(super) fn advanced(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    stage.insert(1_000)?;
    stage.sql(&advance(&stage.name))?;
    stage.insert(2_000)?;
    stage.watch(ground)
}

fn advance(slot: &str) -> String {
    format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_flush_lsn())")
}

/// The capture has seen a slot in order and asks to start, and meanwhile the slot moves.
pub(super) fn advanced_in_between(ground: &mut Ground) -> Result<Outcome> {
    let mut stage = Stage::new(ground)?;
    stage.insert(1_000)?;
    let target = ([127, 0, 0, 1], ground.postgres.port).into();
    let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), target, ground.options.seed)?;
    let mut server = ground.postgres.clone();
    server.port = proxy.address().port();
    stage.connector = write_connector(ground, &server, &stage.name, super::EXTRA)?;
    proxy.latency(SLOW, Duration::ZERO);
    let capture = stage.start(ground, &[])?;
    // Our own sessions do not come through the slow way and have another name.
    let looked = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'cdcd%' \
         AND query LIKE '%FROM pg_replication_slots%' AND state = 'idle'",
        stage.name
    );
    wait_until("the capture's look at its slot", Duration::from_secs(60), || {
        Ok((stage.sql(&looked)? != "0").then_some(()))
    })?;
    let moved = stage.sql(&advance(&stage.name));
    proxy.heal();
    if let Err(error) = moved {
        bail!("the slot could not be moved in time: {error:#}");
    }
    stage.insert(2_000)?;
    watch(capture, WATCH)
}

pub(super) fn stolen(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    stage.insert(1_000)?;
    let name = &stage.name;
    let read = stage.sql(&format!(
        "SELECT count(*) FROM pg_logical_slot_get_binary_changes('{name}', NULL, NULL, 'proto_version', '1', \
         'publication_names', '{name}')"
    ))?;
    if read == "0" {
        bail!("the other consumer got nothing");
    }
    stage.insert(2_000)?;
    stage.watch(ground)
}
