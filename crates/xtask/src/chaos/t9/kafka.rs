//! Somebody loses what Kafka keeps: the position, or the topics that it speaks of.

use std::time::Duration;

use anyhow::{Result, ensure};
use cdcd_testkit::wait_until;

use super::{Outcome, Stage, wal_end};
use crate::chaos::arena::Ground;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
/// How long the broker may take to forget a topic.
const GONE_LIMIT: Duration = Duration::from_secs(30);

fn delete_topic(ground: &Ground, topic: &str) -> Result<()> {
    let kafka = &ground.cluster.kafka;
    kafka.tool(TOPICS, &["--delete", "--topic", topic], "")?;
    wait_until("the end of a topic", GONE_LIMIT, || {
        let left = kafka.tool(TOPICS, &["--list"], "")?;
        Ok((!left.lines().any(|line| line == topic)).then_some(()))
    })
}

pub(super) fn position_lost(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    delete_topic(ground, &format!("__cdcd_position.{}", stage.name))?;
    stage.insert(1_000)?;
    stage.watch(ground)
}

/// What a later version of the program might have written.
pub(super) fn position_unreadable(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    let topic = format!("__cdcd_position.{}", stage.name);
    let line = format!("{}\t{{\"v\":999}}\n", stage.name);
    let args = ["--topic", &topic, "--reader-property", "parse.key=true"];
    ground.cluster.kafka.tool("org.apache.kafka.tools.ConsoleProducer", &args, &line)?;
    stage.insert(1_000)?;
    stage.watch(ground)
}

/// The events before the position are gone, and consumers of the new topic will never see them.
pub(super) fn topic_recreated(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    let topic = format!("{}.public.t", stage.name);
    delete_topic(ground, &topic)?;
    let args = ["--create", "--topic", &topic, "--partitions", "3", "--replication-factor", "1"];
    ground.cluster.kafka.tool(TOPICS, &args, "")?;
    stage.insert(1_000)?;
    stage.watch(ground)
}

/// The server may keep little WAL, and the capture was away too long.
pub(super) fn slot_invalidated(ground: &mut Ground) -> Result<Outcome> {
    let stage = Stage::new(ground)?;
    let admin = |sql: &str| ground.postgres.psql("postgres", sql).map(|_| ());
    admin("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")?;
    admin("SELECT pg_reload_conf()")?;
    let before = wal_end(&ground.postgres)?;
    for _ in 0..12 {
        stage.sql("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 10000)")?;
        stage.sql("SELECT pg_switch_wal()")?;
    }
    admin("CHECKPOINT")?;
    let lost = format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{}'", stage.name);
    let status = stage.sql(&lost)?;
    let outcome = stage.watch(ground);
    admin("ALTER SYSTEM RESET max_slot_wal_keep_size")?;
    admin("SELECT pg_reload_conf()")?;
    ensure!(status == "lost", "the slot is {status} after the log grew from {before}");
    outcome
}
