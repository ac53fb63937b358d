//! `cdcd verify --topics CONNECTOR`: proves that the topics of a capture hold what the log of the server demands.
//!
//! [`oracle`] reads the log through a slot that is not the capture's and [`table`] turns each change into the records
//! that it must become; [`reader`] reads all partitions; [`compare`] holds the checkers; [`event`] is a record in a few
//! bytes, [`key`] makes keys equal on both sides, [`report`] prints.
//!
//! An oracle slot that was made before the capture's first change gives the whole history. Without one, a temporary
//! slot gives what commits from now on: a spot check of a running capture.

mod compare;
mod event;
mod key;
mod oracle;
mod reader;
mod report;
mod table;

use std::io::Write as _;
use std::time::{Duration, Instant};

use cdcd_pgoutput::Lsn;
use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::replication;
use cdcd_postgres::{catalog, control, slot};
use tokio_postgres::Client;

use super::fence;
use crate::check::ReportFormat;
use crate::connector::properties::Properties;
use crate::connector::source::{KafkaNeed, SourceSettings};
use crate::exit::{Exit, Failure};
use compare::Findings;
use event::{Expected, Observed, Op};
use oracle::{Expectation, Oracle};
use reader::Contents;
use report::{Report, TableCounts};

/// Flags of the command.
#[derive(Debug, Clone)]
pub struct TopicsOptions {
    /// A pgoutput slot made at or before the capture's first change.
    pub oracle_slot: Option<String>,
    /// How long a temporary slot collects changes.
    pub during: Duration,
    /// Bound on waiting for the capture.
    pub wait: Duration,
    /// How the report looks.
    pub format: ReportFormat,
}

/// Compares, and prints the report to standard output.
///
/// # Errors
/// Exit 5 if a record is missing, twice, unexpected, wrong or out of order; 2 if nothing can be compared; 3 if the
/// capture does not get to the present.
pub async fn run(properties: &Properties, options: &TopicsOptions) -> Result<(), Failure> {
    let settings = SourceSettings::new(properties, KafkaNeed::Required)?;
    if !settings.capture.transforms.is_empty() {
        return Err(Failure::configuration("transforms: records that were transformed cannot be held against the log")
            .hint("verify --topics is for connectors without transforms; their sink can be verified with verify SOURCE SINK"));
    }
    let report = compare_all(&settings, options).await?;
    let text = match options.format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => format!("{}\n", report.json()),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Unexpected, error).context("writing to standard output"))?;
    match report.findings.total() {
        0 => Ok(()),
        count => {
            Err(Failure::new(Exit::Difference, anyhow::anyhow!("{count} violations between log and topics")))
        }
    }
}

async fn compare_all(settings: &SourceSettings, options: &TopicsOptions) -> Result<Report, Failure> {
    let began = Instant::now();
    let control = control::connect(&settings.database, settings.query_timeout).await?;
    let mut connection = Connection::connect(&settings.database, Purpose::Replication).await?;
    let (slot, from) = open_slot(settings, &control, &mut connection, options).await?;
    let fence = slot::current_wal_flush_lsn(&control).await?;
    let stream = settings.stream_options(control::server_version(&control).await?);
    replication::start(&mut connection, &slot, Lsn::ZERO, &stream.text()).await?;
    tracing::info!(slot, %from, %fence, "reading the log");
    let mut expectation = Oracle::new(&settings.capture, &control, fence).run(&mut connection).await?;
    drop(connection);
    add_quiet_tables(settings, &control, &mut expectation).await?;
    tracing::info!(records = expectation.events.len(), "waiting for the capture");
    fence::wait_for_capture(settings, &control, fence, options.wait).await?;
    let topics: Vec<String> = expectation.tables.iter().map(|(_, topic)| topic.clone()).collect();
    tracing::info!(topics = topics.len(), "reading the topics");
    let consumer = settings.consumer.clone();
    let contents = tokio::task::spawn_blocking(move || reader::read(&consumer, &topics, from, fence))
        .await
        .map_err(|error| Failure::new(Exit::Unexpected, error))??;
    refuse_nameless(&contents)?;
    let mut report = judge(&expectation, contents);
    (report.slot, report.from, report.fence) = (slot, from, fence);
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// The slot to read the log through, and where it begins.
async fn open_slot(
    settings: &SourceSettings,
    control: &Client,
    connection: &mut Connection,
    options: &TopicsOptions,
) -> Result<(String, Lsn), Failure> {
    let Some(name) = &options.oracle_slot else {
        let name = format!("cdcd_verify_{}", uuid::Uuid::new_v4().simple());
        let version = control::server_version(control).await?;
        tracing::info!(slot = name, "making a temporary slot, which goes away with this command");
        let created = replication::create_temporary_slot(connection, &name, version).await?;
        tracing::info!(from = %created.consistent_point, seconds = options.during.as_secs(), "collecting changes");
        tokio::time::sleep(options.during).await;
        return Ok((name, created.consistent_point));
    };
    let wrong = |what: &str| {
        Err(Failure::configuration(format!("--oracle-slot {name}: {what}")).hint(format!(
            "make it before the capture's first change: SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
        )))
    };
    let Some(found) = slot::find(control, name).await? else { return wrong("there is no such slot") };
    if *name == settings.slot.name {
        return wrong("it is the capture's own slot");
    }
    match (found.plugin.as_deref(), found.confirmed_flush_lsn) {
        (Some("pgoutput"), Some(from)) => Ok((name.clone(), from)),
        _ => wrong("it does not decode with pgoutput"),
    }
}

/// Captured tables that did not change have topics too, where nothing may be that the log does not have.
async fn add_quiet_tables(
    settings: &SourceSettings,
    control: &Client,
    expectation: &mut Expectation,
) -> Result<(), Failure> {
    let config = &settings.capture;
    for table in catalog::tables(control).await? {
        let name = format!("{}.{}", table.schema, table.name);
        let known = expectation.tables.iter().any(|(known, _)| *known == name);
        if !known && config.filters.captures(&table.schema, &table.name) {
            let (prefix, delimiter) = (&config.topic_prefix, &config.topic_delimiter);
            let topic = cdcd_debezium::topic::data_topic(prefix, delimiter, &table.schema, &table.name);
            expectation.tables.push((name, topic));
        }
    }
    Ok(())
}

fn refuse_nameless(contents: &Contents) -> Result<(), Failure> {
    let Some((partition, offset)) = contents.first_nameless else { return Ok(()) };
    let place = contents
        .partitions
        .get(partition)
        .map_or_else(String::new, |found| format!("{}-{} offset {offset}", found.topic, found.partition));
    Err(Failure::configuration(format!(
        "{} streamed records have no header cdcd.eid, the first at {place}",
        contents.nameless
    ))
    .hint("set cdcd.headers=true on the source connector from its first start on: only named events can be compared"))
}

/// Runs all checkers.
fn judge(expectation: &Expectation, contents: Contents) -> Report {
    let mut findings = Findings::default();
    let mut all: Vec<Observed> = Vec::with_capacity(contents.records.iter().map(Vec::len).sum());
    for mut partition in contents.records {
        compare::order(&partition, &mut findings);
        all.append(&mut partition);
    }
    let partitions = contents.partitions;
    let table_of: Vec<Option<u16>> = partitions
        .iter()
        .map(|partition| {
            let index = expectation.tables.iter().position(|(_, topic)| *topic == partition.topic);
            index.and_then(|index| u16::try_from(index).ok())
        })
        .collect();
    let table_of = |partition: u16| table_of.get(usize::from(partition)).copied().flatten();
    compare::sets(&expectation.events, &mut all, table_of, &mut findings);
    Report {
        slot: String::new(),
        from: Lsn::ZERO,
        fence: Lsn::ZERO,
        transactions: expectation.transactions,
        tables: count(expectation, &all, table_of),
        partitions,
        snapshot: contents.snapshot,
        outside: contents.outside,
        lineages: contents.lineages,
        findings,
        seconds: 0.0,
    }
}

fn count(
    expectation: &Expectation,
    all: &[Observed],
    table_of: impl Fn(u16) -> Option<u16>,
) -> Vec<TableCounts> {
    let none = [0; Op::ALL.len()];
    let mut tables: Vec<TableCounts> = expectation
        .tables
        .iter()
        .map(|(name, topic)| TableCounts {
            name: name.clone(),
            topic: topic.clone(),
            expected: none,
            read: none,
        })
        .collect();
    for Expected { table, op, .. } in &expectation.events {
        let counts = tables.get_mut(usize::from(*table)).map(|table| &mut table.expected);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(*op as usize)) {
            *count += 1;
        }
    }
    for Observed { partition, op, .. } in all {
        let table = table_of(*partition).and_then(|table| tables.get_mut(usize::from(table)));
        if let Some(count) = table.and_then(|table| table.read.get_mut(*op as usize)) {
            *count += 1;
        }
    }
    tables
}
