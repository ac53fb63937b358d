//! Take-over under load: real Debezium, then cdcd from its offset, then Debezium from cdcd's, and so on. Every second time
//! the worker is killed, so that its offset lies behind what it has sent.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::{self, Cluster, Service, Signal};
use cdcd_testkit::wait_until;
use serde_json::{Map, Value};

use super::arena::{Arena, Ground, say};
use super::load::{Load, Plan};
use super::random::Random;
use super::{Options, oracle, process};
use crate::differential::Worker;

/// How long each of the two runs at a time.
const TURN: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(7));
/// How long one may take to give the slot back, or to take it.
const SLOT_LIMIT: Duration = Duration::from_secs(60);
/// How long `cdcd offsets` may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long the rest of the load may take.
const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// How long cdcd may take to come to the present.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(300);
/// The worker's topic, as `testkit` configures it.
const OFFSETS: &str = "offset.storage.topic=testkit_connect_offsets";

#[derive(Debug, Default)]
struct Met {
    stops: u32,
    kills: u32,
    /// Records that Debezium had sent beyond its offset.
    beyond: u64,
    /// Records that cdcd said it would repeat.
    repeated: u64,
}

pub(super) fn run(options: &Options, binary: &Path) -> Result<()> {
    let kafka = services::kafka()?;
    let mut ground = Ground::prepare(options, binary)?;
    ground.cluster = Cluster { kafka, brokers: Vec::new() };
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let converters = [("key.converter", json), ("value.converter", json), ("cdcd.headers", "false")];
    let mut arena = Arena::new(ground, &converters)?;
    let text = std::fs::read_to_string(&arena.connector).context("reading the connector")?;
    let posted: Value = serde_json::from_str(&text)?;
    let config: Map<String, Value> = posted["config"].as_object().cloned().context("a connector")?;
    let mut worker = Worker::new(&services::debezium()?)?;
    worker.start(&arena.name, &config)?;
    wait_for_slot(&arena, true)?;
    let rounds = options.kills.max(1);
    let seconds = u64::from(rounds) * 20;
    let plan = Plan { changes: options.changes, rate: (options.changes / seconds).max(300), huge: 1 };
    let load = Load::start(&arena, plan)?;
    let mut random = Random::new(options.seed, 12_000);
    let mut met = Met::default();
    for round in 1..=rounds {
        arena.ground.in_time()?;
        load.check()?;
        std::thread::sleep(random.between(TURN.0, TURN.1));
        let is_kill = round % 2 == 0;
        if is_kill {
            services::signal(&Service::Debezium, Signal::Kill)?;
            met.kills += 1;
        } else {
            worker.stop(&arena.name)?;
            met.stops += 1;
        }
        wait_for_slot(&arena, false)?;
        let taken = offsets(&arena, "import")?;
        let count = |name: &str| taken[name].as_u64().with_context(|| taken.to_string());
        met.beyond += count("sent_beyond_its_offset")?;
        met.repeated += count("will_be_repeated")?;
        say(&format!(
            "round {round}: cdcd goes on behind {} records that Debezium had sent beyond its offset",
            count("sent_beyond_its_offset")?
        ));
        arena.capture = Some(arena.start_capture(&[])?);
        arena.pause(random.between(TURN.0, TURN.1))?;
        if let Some(mut capture) = arena.capture.take() {
            capture.stop(SLOT_LIMIT)?;
        }
        catch_up(&mut arena)?;
        offsets(&arena, "export")?;
        if is_kill {
            // The connector is still configured: it goes on by itself.
            worker = Worker::new(&services::debezium()?)?;
        } else {
            worker.start(&arena.name, &config)?;
        }
        wait_for_slot(&arena, true)?;
    }
    load.release();
    wait_until("the rest of the load", arena.ground.time_left(LOAD_LIMIT), || {
        load.check()?;
        Ok(load.is_done().then_some(()))
    })?;
    let changes = load.stop()?;
    worker.stop(&arena.name)?;
    wait_for_slot(&arena, false)?;
    offsets(&arena, "import")?;
    catch_up(&mut arena)?;
    println!(
        "take-overs    {} after a stop, {} after a kill; {} records were sent beyond Debezium's offset, {} announced as repeated",
        met.stops, met.kills, met.beyond, met.repeated
    );
    println!("load          {changes} changes sent");
    match oracle::second(&arena) {
        Ok(text) => println!("second oracle {text}"),
        Err(error) => bail!("second oracle {error:#}"),
    }
    ensure!(
        met.kills == 0 || met.beyond > 0,
        "no kill caught Debezium ahead of its offset: this run proves little"
    );
    Ok(())
}

/// Waits until the slot is in use, or is not.
fn wait_for_slot(arena: &Arena, in_use: bool) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots WHERE slot_name = '{}'",
        arena.name
    );
    let what = if in_use { "the slot to be taken" } else { "the slot to be given back" };
    wait_until(what, SLOT_LIMIT, || {
        Ok((arena.database.psql(&sql)? == if in_use { "t" } else { "f" }).then_some(()))
    })
}

/// `cdcd offsets import|export`
fn offsets(arena: &Arena, verb: &str) -> Result<Value> {
    let mut command: Command = process::cdcd(&arena.ground.binary);
    command.args(["offsets", verb]).arg(&arena.connector).args(["--set", OFFSETS]);
    let output = process::output(command, COMMAND_LIMIT)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cdcd offsets {verb} ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("cdcd offsets {verb}: {said}"))
}

/// Lets cdcd come to an end between two transactions.
fn catch_up(arena: &mut Arena) -> Result<()> {
    let mut capture = arena.start_capture(&["--endpos", "now"])?;
    let status = capture.wait(arena.ground.time_left(CATCH_UP_LIMIT))?;
    ensure!(status.success(), "cdcd capture --endpos now ended with {status}:\n{}", capture.tail());
    Ok(())
}
