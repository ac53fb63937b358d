//! The second oracle, which shares nothing with the first: test_decoding counts the changes of each table, Kafka's own
//! console consumer reads the topics, and the rows that the events add up to are compared with the tables.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::arena::{Arena, COUNT_SLOT};

/// Changes that test_decoding writes down at a time: the server keeps them in a temporary file.
const CHANGES_AT_A_TIME: u32 = 300_000;
/// Without a record for this long the console consumer takes the topic for read.
const CONSUMER_IDLE_MS: &str = "6000";
/// Differences that are told; all are counted.
const TOLD_MAX: usize = 3;

/// Tables and the expressions that make a key of a row.
const TABLES: [(&str, &str); 3] = [("a", "id::text"), ("b", "session || '/' || id"), ("c", "id")];

/// Events of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) creates: u64,
    pub(super) updates: u64,
    pub(super) deletes: u64,
    tombstones: u64,
}

/// Compares; returns a line of figures.
pub(super) fn second(arena: &Arena) -> Result<String> {
    let log = counts_of_log(arena)?;
    let mut told = Vec::new();
    let (mut events, mut rows) = (0, 0);
    for ((table, key), demanded) in TABLES.into_iter().zip(log) {
        let (read, state) = fold(arena, table)?;
        events += read.creates + read.updates + read.deletes + read.tombstones;
        if read != demanded {
            told.push(format!("{table}: test_decoding demands {demanded:?}, the topic has {read:?}"));
        }
        rows += state.len();
        told.extend(compare(arena, (table, key), state)?);
    }
    ensure!(told.is_empty(), "DIFFERS: {}", told.join("; "));
    Ok(format!("agrees: {events} events counted, {rows} rows equal"))
}

/// What test_decoding says each topic must hold. A changed key is a delete, a tombstone and a create.
pub(super) fn counts_of_log(arena: &Arena) -> Result<Vec<Counts>> {
    let sql = format!(
        "SELECT split_part(data, ' ', 2), split_part(data, ' ', 3), position('old-key:' IN data) > 0, count(*) \
         FROM pg_logical_slot_get_changes('{COUNT_SLOT}', NULL, {CHANGES_AT_A_TIME}, 'include-xids', '0', \
         'skip-empty-xacts', '1') WHERE data LIKE 'table %' GROUP BY 1, 2, 3"
    );
    let mut counts = vec![Counts::default(); TABLES.len()];
    loop {
        let answer = arena.database.psql(&sql)?;
        if answer.is_empty() {
            return Ok(counts);
        }
        for line in answer.lines() {
            let [table, operation, old_key, count] = line.split('|').collect::<Vec<_>>()[..] else {
                bail!("test_decoding: {line:?}")
            };
            let name = table.trim_start_matches("public.").trim_end_matches(':');
            let Some(index) = TABLES.iter().position(|(known, _)| *known == name) else { continue };
            let Some(counts) = counts.get_mut(index) else { continue };
            let count: u64 = count.parse().with_context(|| line.to_owned())?;
            // Table c sends its old row always, and its key never changes.
            let moved = old_key == "t" && name != "c";
            match operation {
                "INSERT:" => counts.creates += count,
                "UPDATE:" if moved => {
                    counts.creates += count;
                    counts.deletes += count;
                    counts.tombstones += count;
                }
                "UPDATE:" => counts.updates += count,
                "DELETE:" => {
                    counts.deletes += count;
                    counts.tombstones += count;
                }
                other => bail!("test_decoding: {other} on {table}"),
            }
        }
    }
}

/// Reads the topic of a table: counts, and the rows that are left, as key hash and `n`.
fn fold(arena: &Arena, table: &str) -> Result<(Counts, HashMap<u64, i64>)> {
    let topic = format!("{}.public.{table}", arena.name);
    let kafka = &arena.ground.cluster.kafka;
    let mut command = kafka.tool_command("org.apache.kafka.tools.consumer.ConsoleConsumer")?;
    command.args(["--topic", &topic, "--from-beginning", "--isolation-level", "read_committed"]);
    command.args(["--timeout-ms", CONSUMER_IDLE_MS]);
    let log = arena.ground.logs.join(format!("consumer-{table}.log"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
    let mut consumer = Consumer(command.spawn().context("the console consumer")?);
    let lines = BufReader::new(consumer.0.stdout.take().context("pipe")?).lines();
    let mut counts = Counts::default();
    let mut state = HashMap::new();
    for line in lines {
        apply(&line?, table, &mut counts, &mut state).with_context(|| topic.clone())?;
    }
    // It ends with an error when nothing comes any more, which is its only way to end here.
    consumer.0.wait().context("the console consumer")?;
    Ok((counts, state))
}

/// Ended when dropped.
struct Consumer(Child);

impl Drop for Consumer {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn apply(line: &str, table: &str, counts: &mut Counts, state: &mut HashMap<u64, i64>) -> Result<()> {
    if line == "null" {
        counts.tombstones += 1;
        return Ok(());
    }
    let event: Value = serde_json::from_str(line).context("the console consumer printed no JSON")?;
    let (before, after) = (&event["before"], &event["after"]);
    let new_n = || after["n"].as_i64().context("a row without n");
    match event["op"].as_str() {
        Some("c") => {
            counts.creates += 1;
            state.insert(key_of(after, table)?, new_n()?);
        }
        Some("u") => {
            counts.updates += 1;
            state.insert(key_of(after, table)?, new_n()?);
        }
        Some("d") => {
            counts.deletes += 1;
            state.remove(&key_of(before, table)?);
        }
        other => bail!("an event with op {other:?}"),
    }
    Ok(())
}

fn key_of(row: &Value, table: &str) -> Result<u64> {
    let text = match table {
        "a" => row["id"].as_i64().map(|id| id.to_string()),
        "b" => row["session"].as_i64().zip(row["id"].as_i64()).map(|(session, id)| format!("{session}/{id}")),
        _ => row["id"].as_str().map(str::to_owned),
    };
    Ok(hash(&text.context("a row without its key")?))
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The final scan of the table against what the events add up to; takes away what agrees.
fn compare(arena: &Arena, (table, key): (&str, &str), mut state: HashMap<u64, i64>) -> Result<Vec<String>> {
    let mut psql: Command = arena.ground.postgres.psql_command(&arena.name)?;
    psql.args(["-c", &format!("COPY (SELECT {key}, n FROM {table}) TO STDOUT")]);
    let mut scan = Consumer(psql.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("psql")?);
    let lines = BufReader::new(scan.0.stdout.take().context("pipe")?).lines();
    let (mut absent, mut stale) = (0u64, 0u64);
    for line in lines {
        let line = line?;
        let (key, n) = line.split_once('\t').context("a line of COPY")?;
        let n: i64 = n.parse().context("n")?;
        match state.remove(&hash(key)) {
            None => absent += 1,
            Some(other) if other != n => stale += 1,
            Some(_) => {}
        }
    }
    ensure!(scan.0.wait().context("psql")?.success(), "psql failed while it scanned {table}");
    let mut told = Vec::new();
    for (count, what) in [
        (absent, "rows of the table have no event"),
        (stale, "rows have another n than their last event"),
        (state.len() as u64, "rows live on in the topic alone"),
    ] {
        if count > 0 && told.len() < TOLD_MAX {
            told.push(format!("{table}: {count} {what}"));
        }
    }
    Ok(told)
}
