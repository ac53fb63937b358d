//! The command line: commands, flags, exit codes.

use std::process::ExitCode;
use std::time::Duration;

use cdcd_pgoutput::Lsn;
use clap::{Args, Parser, Subcommand};

use crate::capture::offsets::{self, Verb};
use crate::capture::{self, Accept, CaptureOptions, EndPosition, OutputKind};
use crate::check::{self, ReportFormat};
use crate::connector::properties::{Origin, Properties, PropertyError};
use crate::connector::source::{KafkaNeed, SourceSettings};
use crate::connector::{self, file};
use crate::exit::{Exit, Failure};
use crate::shutdown::Shutdown;
use crate::sink::{self, SinkOptions};
use crate::telemetry::{self, LogFormat};
use crate::verify::topics::{self, TopicsOptions};
use crate::verify::{self, VerifyOptions};

/// PostgreSQL changes to Kafka and Snowflake, without Kafka Connect.
#[derive(Debug, Parser)]
#[command(name = "cdcd", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How logs look; they go to standard error
    #[arg(long, global = true, help_heading = "Logs", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which logs to show, for example debug, or warn,cdcd_kafka=debug
    #[arg(long, global = true, help_heading = "Logs", value_name = "FILTER", default_value = "info")]
    log_level: String,
}

const CAPTURE_EXAMPLES: &str = "\
Examples:
  cdcd capture flights.json --bootstrap-servers kafka:9092     the file you post to Kafka Connect
  cdcd capture flights.json --worker connect-distributed.properties
  cdcd capture postgres://me@localhost/app --topic-prefix try --output stdout --endpos now
                                                               everything to the terminal, acknowledging nothing
  cdcd capture flights.json --set snapshot.mode=no_data --endpos now

The position is kept in the topic __cdcd_position.<name>. SIGTERM delivers what was read and exits 0.
Exit codes: 2 configuration, 3 a dependency stayed away, 4 a guard (going on could lose or repeat data).";

const SINK_EXAMPLES: &str = "\
Examples:
  cdcd sink snowflake.json --bootstrap-servers kafka:9092      the file you post to Kafka Connect
  cdcd sink snowflake.json --worker connect-distributed.properties --until-caught-up

cdcd.landing=log|variant|id_data and cdcd.table.mode=append|view|merge choose what is made (docs/sink.md).
Exit codes: 2 configuration, 3 a dependency stayed away, 4 a guard (going on could lose or repeat data).";

const VERIFY_EXAMPLES: &str = "\
Examples:
  cdcd verify flights.json snowflake.json                      rows of the source against rows of the destination
  cdcd verify --topics flights.json --oracle-slot oracle       the server's log against the topics, event by event
  cdcd verify --topics flights.json --during 30s               the same for what commits in the next 30 s

--topics needs cdcd.headers=true on the source connector. The oracle slot is made before the capture's first change:
SELECT pg_create_logical_replication_slot('oracle', 'pgoutput'); it holds back WAL until it is dropped.
Exit codes: 5 a difference, 2 configuration, 3 capture or sink did not get to the present.";

const OFFSETS_EXAMPLES: &str = "\
Examples:
  cdcd offsets import flights.json --worker connect-distributed.properties
                                                               go on where Debezium was stopped; then cdcd capture
  cdcd offsets export flights.json --worker connect-distributed.properties
                                                               let Debezium go on where cdcd was stopped
  cdcd offsets show flights.json --set offset.storage.topic=connect-offsets
  cdcd offsets import flights.json --set offset.storage.file.filename=connect.offsets

Both connectors name the same name, topic.prefix, slot.name and publication.name, and neither runs meanwhile. import reads the
log behind Debezium's offset and the newest records of the topics: what Debezium had sent beyond its offset is not sent again.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a PostgreSQL source connector: snapshot, then stream, into Kafka
    #[command(after_help = CAPTURE_EXAMPLES)]
    Capture(CaptureArgs),
    /// Runs a Snowflake sink connector: Kafka into log tables and current-state tables
    #[command(after_help = SINK_EXAMPLES)]
    Sink(SinkArgs),
    /// Tells everything that is wrong with a connector before it runs, and the SQL that mends it
    Check(CheckArgs),
    /// Proves that source and destination agree, or log and topics, while writers run
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Shows positions; takes over from Debezium, and gives back
    #[command(after_help = OFFSETS_EXAMPLES)]
    Offsets(OffsetsArgs),
}

/// What every connector command takes.
#[derive(Debug, Args)]
struct ConnectorArgs {
    /// The JSON or .properties file that you post to Kafka Connect, '-' for standard input, or a postgres:// URL
    connector: String,
    /// Kafka Connect worker properties: bootstrap.servers, converters, producer.* …
    #[arg(long, value_name = "FILE")]
    worker: Option<String>,
    /// Short for --set bootstrap.servers=HOSTS
    #[arg(long, value_name = "HOSTS")]
    bootstrap_servers: Option<String>,
    /// Short for --set topic.prefix=PREFIX
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
    /// Sets one property, stronger than any file; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Args)]
struct CaptureArgs {
    #[command(flatten)]
    connector: ConnectorArgs,
    /// Stop with exit 0 when everything committed up to here is durable and acknowledged
    #[arg(long, value_name = "LSN|now", value_parser = end_position)]
    endpos: Option<EndPosition>,
    /// Where records go
    #[arg(long, value_enum, default_value_t = OutputKind::Kafka)]
    output: OutputKind,
    #[command(flatten)]
    accept: AcceptArgs,
    /// Print a line of figures this often, for example 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stats_interval: Option<Duration>,
}

/// Consent, good for one start and logged with what it gives up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Consent where a guard stops")]
struct AcceptArgs {
    /// Another server or another history of it: start anew here under the next lineage
    #[arg(long)]
    accept_lineage: bool,
    /// No position, or one of another Kafka cluster: start all the same
    #[arg(long)]
    accept_position: bool,
    /// Changes that cannot be read any more: go on without them
    #[arg(long)]
    accept_loss: bool,
}

#[derive(Debug, Args)]
struct SinkArgs {
    #[command(flatten)]
    connector: ConnectorArgs,
    /// Stop with exit 0 when all offsets that existed at the start are durable and merged
    #[arg(long)]
    until_caught_up: bool,
    /// Print a line of figures this often, for example 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stats_interval: Option<Duration>,
}

#[derive(Debug, Args)]
struct OffsetsArgs {
    /// What to do
    #[arg(value_enum)]
    verb: Verb,
    #[command(flatten)]
    connector: ConnectorArgs,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    connector: ConnectorArgs,
    /// For people, or as one JSON object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    output: ReportFormat,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The source connector's file
    #[arg(required_unless_present = "topics")]
    source: Option<String>,
    /// The sink connector's file
    #[arg(required_unless_present = "topics")]
    sink: Option<String>,
    /// Compare the topics of this source connector with the server's log instead
    #[arg(long, value_name = "CONNECTOR", conflicts_with_all = ["source", "sink", "tables", "set_sink"])]
    topics: Option<String>,
    /// With --topics: a pgoutput slot made before the capture's first change; nothing is acknowledged on it
    #[arg(long, value_name = "SLOT", requires = "topics")]
    oracle_slot: Option<String>,
    /// With --topics and without --oracle-slot: how long a temporary slot collects changes
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    during: Duration,
    /// Kafka Connect worker properties, for both
    #[arg(long, value_name = "FILE")]
    worker: Option<String>,
    /// Short for --set bootstrap.servers=HOSTS
    #[arg(long, value_name = "HOSTS")]
    bootstrap_servers: Option<String>,
    /// Sets one property of the source, stronger than any file; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Sets one property of the sink, stronger than any file; repeatable
    #[arg(long = "set-sink", value_name = "KEY=VALUE")]
    set_sink: Vec<String>,
    /// Compare only these tables: schema.table,…
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Vec<String>,
    /// Rows in memory at a time, on each side
    #[arg(long, value_name = "ROWS", default_value_t = 20_000)]
    chunk_rows: usize,
    /// How long to wait for the capture, and again for the sink, to pass the fence
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    wait: Duration,
    /// How long a merged row may be behind its log
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    patience: Duration,
    /// Show the values that differ, not only the names of their columns
    #[arg(long)]
    show_values: bool,
    /// For people, or as one JSON object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    output: ReportFormat,
}

impl VerifyArgs {
    async fn run(self) -> Result<(), Failure> {
        let connector = |connector: String, set: Vec<String>| ConnectorArgs {
            connector,
            worker: self.worker.clone(),
            bootstrap_servers: self.bootstrap_servers.clone(),
            topic_prefix: None,
            set,
        };
        if let Some(topics) = self.topics {
            let options = TopicsOptions {
                oracle_slot: self.oracle_slot,
                during: self.during,
                wait: self.wait,
                format: self.output,
            };
            return topics::run(&connector(topics, self.set).properties()?, &options).await;
        }
        let source = connector(self.source.unwrap_or_default(), self.set).properties()?;
        let sink = connector(self.sink.unwrap_or_default(), self.set_sink).properties()?;
        let options = VerifyOptions {
            chunk_rows: self.chunk_rows,
            tables: self.tables,
            wait: self.wait,
            patience: self.patience,
            show_values: self.show_values,
            format: self.output,
        };
        verify::run(&source, sink, &options).await
    }
}

fn end_position(text: &str) -> Result<EndPosition, String> {
    match text {
        "now" => Ok(EndPosition::Now),
        lsn => lsn.parse::<Lsn>().map(EndPosition::Lsn).map_err(|error| error.to_string()),
    }
}

/// `500ms`, `5s`, `2m`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("'{text}' is not a duration such as 500ms, 5s or 2m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("'{unit}' is not a unit: use ms, s or m")),
    }
}

impl ConnectorArgs {
    /// Merges all sources by strength and resolves `${provider:…}`.
    fn properties(&self) -> Result<Properties, PropertyError> {
        let mut properties = Properties::default();
        let connector = file::read_connector(&self.connector)?;
        file::add_environment(&mut properties);
        let is_sink =
            |(key, value): &(String, String)| key == "connector.class" && value.contains("snowflake");
        if connector.iter().any(is_sink) {
            let notes = connector::sink::add_environment(&mut properties, |name| std::env::var(name).ok());
            for note in notes {
                tracing::info!("{note}");
            }
        }
        let mut set = |pairs: Vec<(String, String)>, origin| -> Result<(), PropertyError> {
            for (key, value) in pairs {
                let value = file::resolve_providers(&key, &value)?;
                properties.set(key, value, origin);
            }
            Ok(())
        };
        if let Some(worker) = &self.worker {
            set(file::read_properties(worker)?, Origin::Worker)?;
        }
        set(connector, Origin::Connector)?;
        let mut flags = Vec::new();
        if let Some(prefix) = &self.topic_prefix {
            flags.push(("topic.prefix".to_owned(), prefix.clone()));
        }
        if let Some(hosts) = &self.bootstrap_servers {
            flags.push(("bootstrap.servers".to_owned(), hosts.clone()));
        }
        // Last, because of two flags for one key the plain one is the stronger.
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| PropertyError::new("--set", format!("'{pair}' is not KEY=VALUE")))?;
            flags.push((key.to_owned(), value.to_owned()));
        }
        set(flags, Origin::CommandLine)?;
        Ok(properties)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "failpoints")]
    let _failpoints = crate::failpoint::set_up();
    if let Err(problem) = telemetry::init(cli.log_format, &cli.log_level) {
        eprintln!("error: {problem}");
        return ExitCode::from(Exit::Configuration as u8);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(execute(cli.command));
            // A blocked name look-up must not hold the process.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome
        }
        Err(error) => Err(Failure::new(Exit::Unexpected, error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, cli.log_format);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn report(failure: &Failure, format: LogFormat) {
    match format {
        LogFormat::Text => eprintln!("{}", failure.render()),
        LogFormat::Json => tracing::error!(
            exit = failure.exit as u8,
            hints = failure.hints.join("; "),
            "{}",
            failure.render().lines().next().unwrap_or_default()
        ),
    }
}

async fn execute(command: Command) -> Result<(), Failure> {
    let shutdown = Shutdown::default();
    shutdown.on_signals().map_err(|error| Failure::new(Exit::Unexpected, error))?;
    match command {
        Command::Capture(args) => {
            let need = match args.output {
                OutputKind::Kafka => KafkaNeed::Required,
                OutputKind::Stdout | OutputKind::Null => KafkaNeed::None,
            };
            let settings = SourceSettings::new(&args.connector.properties()?, need)?;
            let accept = Accept {
                lineage: args.accept.accept_lineage,
                position: args.accept.accept_position,
                loss: args.accept.accept_loss,
            };
            let options = CaptureOptions {
                output: args.output,
                end: args.endpos,
                accept,
                stats_interval: args.stats_interval,
            };
            capture::run(&settings, &options, &shutdown).await
        }
        Command::Check(args) => tokio::select! {
            outcome = check::run(args.connector.properties()?, args.output) => outcome,
            () = shutdown.requested() => Err(Failure::new(Exit::Unexpected, anyhow::anyhow!("interrupted"))),
        },
        Command::Offsets(args) => {
            let properties = args.connector.properties()?;
            tokio::select! {
                outcome = offsets::run(&properties, args.verb, args.dry_run) => outcome,
                () = shutdown.requested() => Err(Failure::new(Exit::Unexpected, anyhow::anyhow!("interrupted"))),
            }
        }
        Command::Verify(args) => tokio::select! {
            outcome = args.run() => outcome,
            () = shutdown.requested() => Err(Failure::new(Exit::Unexpected, anyhow::anyhow!("interrupted"))),
        },
        Command::Sink(args) => {
            let options =
                SinkOptions { until_caught_up: args.until_caught_up, stats_interval: args.stats_interval };
            let properties = args.connector.properties()?;
            Ok(sink::run(&properties, options, shutdown.requested()).await?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_and_positions_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert!(duration("5h").is_err());
        assert_eq!(end_position("now"), Ok(EndPosition::Now));
        assert_eq!(end_position("0/A"), Ok(EndPosition::Lsn(Lsn(10))));
        assert!(end_position("later").is_err());
    }
}
