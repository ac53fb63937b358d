//! `cdcd verify SOURCE SINK`: proves that source and destination agree, while writers run.
//!
//! [`fence`] exports a snapshot of the source at one LSN and waits until the sink has passed it; [`table`] reads the
//! source there, [`destination`] rebuilds each row from what landed before the fence; [`compare`] goes chunk by
//! chunk and then, where chunks differ, key by key through the whole history of each; [`cell`] makes equal values
//! equal texts.
//!
//! The log keeps the WAL position of each change, not of its commit. A change below the fence may therefore belong
//! to a transaction that was still open at the fence. Such a transaction began after the slot for the fence was
//! asked for, because making a slot waits for all that ran before: only changes in that short span are in doubt,
//! and there each state from the span is accepted.
//!
//! [`topics`] is the other comparison, `cdcd verify --topics CONNECTOR`: the topics of a capture against the log.

mod cell;
mod compare;
mod destination;
mod fence;
mod key;
mod report;
mod table;
pub mod topics;

use std::io::Write as _;
use std::time::{Duration, Instant};

use cdcd_kafka::consumer::Topics;
use cdcd_postgres::{catalog, control};
use cdcd_snowflake::Snowflake;
use tokio_postgres::Client;

use crate::check::ReportFormat;
use crate::connector::properties::{Properties, PropertyError};
use crate::connector::sink::{self, SinkSettings};
use crate::connector::source::{KafkaNeed, SourceSettings};
use crate::exit::{Exit, Failure};
use compare::Manner;
use destination::DestinationTable;
use report::{Report, TableReport};
use table::SourceTable;

/// Flags of the command.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Rows of a chunk: what is in memory at a time, on both sides.
    pub chunk_rows: usize,
    /// `schema.table` names; empty for all that land somewhere.
    pub tables: Vec<String>,
    /// Bound on waiting for the capture, and again for the sink.
    pub wait: Duration,
    /// How long a merged row may be behind its log.
    pub patience: Duration,
    /// Show the values that differ, not only the names of their columns.
    pub show_values: bool,
    /// How the report looks.
    pub format: ReportFormat,
}

/// Compares, and prints the report to standard output.
///
/// # Errors
/// Exit 5 if a row differs, 2 if a table cannot be compared, 3 if the capture or the sink does not pass the fence.
pub async fn run(source: &Properties, mut sink: Properties, options: &VerifyOptions) -> Result<(), Failure> {
    let source = SourceSettings::new(source, KafkaNeed::None)?;
    for note in sink::add_environment(&mut sink, |name| std::env::var(name).ok()) {
        tracing::warn!("{note}");
    }
    let sink = SinkSettings::read(&sink)?;
    let report = compare_all(&source, &sink, options).await?;
    let text = match options.format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => format!("{}\n", report.json()),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Unexpected, error).context("writing to standard output"))?;
    match (report.differences(), report.obstacles()) {
        (0, obstacles) if obstacles.is_empty() => Ok(()),
        (0, obstacles) => {
            Err(Failure::configuration(format!("not everything was compared: {}", obstacles.join("; ")))
                .hint("name the tables that matter with --tables"))
        }
        (count, _) => Err(Failure::new(
            Exit::Difference,
            anyhow::anyhow!("{count} rows differ between source and destination"),
        )),
    }
}

async fn compare_all(
    source: &SourceSettings,
    sink: &SinkSettings,
    options: &VerifyOptions,
) -> Result<Report, Failure> {
    let began = Instant::now();
    let account =
        Snowflake::new(&sink.snowflake).map_err(|error| PropertyError::new(error.setting, error.problem))?;
    let control = control::connect(&source.database, source.query_timeout).await?;
    let tables = pairs(source, sink, &control, &options.tables).await?;
    let mut fence = fence::raise(source, &control).await?;
    fence::wait_for_capture(source, &control, fence.lsn, options.wait).await?;
    let topics = tables.iter().map(|table| table.topic.clone()).collect();
    fence::wait_for_sink(sink, topics, options.wait).await?;
    let manner = Manner { chunk_rows: options.chunk_rows.max(1), patience: options.patience };
    let mut reports = Vec::new();
    for table in &tables {
        let report = match table.obstacle.clone() {
            Some(why) => TableReport::not_compared(table, why),
            None => match DestinationTable::open(&account, table, sink, fence.lsn).await? {
                Ok(destination) => compare::table(table, &destination, &mut fence, manner).await?,
                Err(why) => TableReport::not_compared(table, why),
            },
        };
        reports.push(report);
    }
    let lsn = fence.lsn;
    fence.reader.commit().await?;
    Ok(Report {
        fence: lsn,
        tables: reports,
        seconds: began.elapsed().as_secs_f64(),
        shows_values: options.show_values,
    })
}

/// The captured tables whose topics the sink reads.
async fn pairs(
    source: &SourceSettings,
    sink: &SinkSettings,
    control: &Client,
    wanted: &[String],
) -> Result<Vec<SourceTable>, Failure> {
    let pattern = match &sink.topics {
        Topics::Pattern(pattern) => Some(
            regex::Regex::new(&format!("^(?:{pattern})$"))
                .map_err(|error| Failure::configuration(format!("topics.regex: {error}")))?,
        ),
        Topics::Names(_) => None,
    };
    let reads = |topic: &str| match (&sink.topics, &pattern) {
        (Topics::Names(names), _) => names.iter().any(|name| name == topic),
        (_, Some(pattern)) => pattern.is_match(topic),
        (_, None) => false,
    };
    let via_root = source.publication.via_partition_root;
    let mut tables = Vec::new();
    let mut unread = Vec::new();
    for found in catalog::tables(control).await? {
        let name = format!("{}.{}", found.schema, found.name);
        let is_leaf = if via_root { !found.is_partition } else { !found.is_partitioned };
        if !is_leaf || !source.capture.filters.captures(&found.schema, &found.name) {
            continue;
        }
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let (prefix, delimiter) = (&source.capture.topic_prefix, &source.capture.topic_delimiter);
        let topic = cdcd_debezium::topic::data_topic(prefix, delimiter, &found.schema, &found.name);
        match reads(&topic) {
            true => {
                let place = (topic.clone(), sink.routes.table(&topic));
                tables.push(SourceTable::read(control, &found, place, sink).await?);
            }
            false => unread.push(name),
        }
    }
    let known = |name: &String| tables.iter().any(|table| table.full_name() == *name);
    if let Some(absent) = wanted.iter().find(|name| !known(name)) {
        return Err(Failure::configuration(format!(
            "--tables: {absent} is not captured, or the sink does not read its topic"
        )));
    }
    if tables.is_empty() {
        return Err(Failure::configuration("the sink reads none of the captured tables' topics")
            .hint("compare topic.prefix of the source with topics of the sink"));
    }
    if !unread.is_empty() {
        tracing::info!(tables = unread.join(", "), "captured, but not read by this sink");
    }
    Ok(tables)
}
