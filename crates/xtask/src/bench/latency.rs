//! From the commit of a row to the moment when a consumer of committed records has it.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Map, Value, json};

use super::peer::Debezium;
use super::stage::{self, Stage};
use super::{Args, Peer};

/// Commits of one row a second.
const RATE: u64 = 500;
/// Seconds at the beginning that do not count: connections open, code gets warm.
const WARM_UP: u64 = 3;
/// Bound on a start, and on the last rows' way.
const PATIENCE: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE l (id bigint PRIMARY KEY, sent_us bigint, body text)";

struct Contender {
    name: &'static str,
    engine: Engine,
    extra: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Cdcd,
    Debezium,
}

const CONTENDERS: [Contender; 4] = [
    Contender { name: "cdcd, exactly once (default)", engine: Engine::Cdcd, extra: &[] },
    Contender {
        name: "cdcd, at least once",
        engine: Engine::Cdcd,
        extra: &[("cdcd.delivery", "at-least-once")],
    },
    Contender { name: "Debezium, defaults", engine: Engine::Debezium, extra: &[] },
    Contender {
        name: "Debezium, for latency",
        engine: Engine::Debezium,
        extra: &[("poll.interval.ms", "10"), ("producer.override.linger.ms", "0")],
    },
];

pub(super) fn run(args: &Args) -> Result<Value> {
    let stage = Stage::open(args)?;
    stage.database.psql(TABLE)?;
    stage.database.psql("CREATE PUBLICATION bench FOR TABLE l")?;
    let debezium = match args.against {
        Some(Peer::Debezium) => Some(Debezium::open(&stage)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let conditions = stage::conditions(args.pg);
    println!("{RATE} commits of one row a second for {} s, {conditions}", args.seconds);
    println!("{:<32}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "p50 ms", "p95 ms", "p99 ms", "p99.9", "max");
    let mut rows = Vec::new();
    let chosen = CONTENDERS
        .iter()
        .enumerate()
        .filter(|(_, one)| args.only.as_ref().is_none_or(|part| one.name.contains(part)))
        .filter(|(_, one)| one.engine == Engine::Cdcd || debezium.is_some());
    for (index, contender) in chosen {
        let name = format!("{}_{index}", stage.database.name);
        let mut samples = measure(&runtime, &stage, debezium.as_ref(), contender, &name)?;
        samples.sort_unstable();
        let ms = |share: f64| percentile(&samples, share) as f64 / 1000.0;
        let row = [ms(0.5), ms(0.95), ms(0.99), ms(0.999), ms(1.0)];
        println!("{:<32}{}", contender.name, row.iter().map(|ms| format!("{ms:>9.1}")).collect::<String>());
        let [p50, p95, p99, p999, max] = row;
        rows.push(json!({
            "name": contender.name, "rows": samples.len(), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
            "p999_ms": p999, "max_ms": max,
        }));
    }
    let report =
        json!({"commits_per_s": RATE, "seconds": args.seconds, "conditions": conditions, "contenders": rows});
    stage::write_report("latency", &report)?;
    Ok(report)
}

fn percentile(sorted: &[i64], share: f64) -> i64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

/// Latencies in microseconds.
fn measure(
    runtime: &tokio::runtime::Runtime,
    stage: &Stage<'_>,
    debezium: Option<&Debezium>,
    contender: &Contender,
    name: &str,
) -> Result<Vec<i64>> {
    let slot = format!("{name}_slot");
    stage.database.psql("TRUNCATE l")?;
    stage.database.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"))?;
    let config = stage.connector(name, &slot, contender.extra)?;
    let running = Running::start(stage, debezium, contender.engine, name, &config)?;
    let servers = &stage.kafka.bootstrap_servers;
    let topic = format!("{name}.public.l");
    let rows = (WARM_UP + stage.args.seconds) * RATE;
    let samples = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(servers, &topic, rows));
        runtime.block_on(write(&stage.database.url(), rows))?;
        reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
    })?;
    running.stop()?;
    let warm_up = (WARM_UP * RATE) as usize;
    Ok(samples.get(warm_up..).unwrap_or_default().to_vec())
}

/// Either engine; ended when dropped.
enum Running<'a> {
    Cdcd(std::process::Child),
    Debezium(&'a Debezium, String),
}

impl<'a> Running<'a> {
    fn start(
        stage: &Stage<'_>,
        debezium: Option<&'a Debezium>,
        engine: Engine,
        name: &str,
        config: &Map<String, Value>,
    ) -> Result<Self> {
        if engine == Engine::Debezium {
            let debezium = debezium.context("no Debezium was asked for")?;
            debezium.worker.start(name, config)?;
            return Ok(Running::Debezium(debezium, name.to_owned()));
        }
        let mut command = stage.capture(name, config, &[])?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Running::Cdcd(child))
    }

    fn stop(mut self) -> Result<()> {
        match &mut self {
            Running::Cdcd(child) => {
                if let Some(status) = child.try_wait()? {
                    bail!("cdcd capture ended early with {status}");
                }
                child.kill()?;
                child.wait()?;
            }
            Running::Debezium(debezium, name) => debezium.worker.stop(name)?,
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Running::Cdcd(child) = self
            && matches!(child.try_wait(), Ok(None))
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Commits one row every 2 ms by the clock, and notes in the row when it was sent.
async fn write(url: &str, rows: u64) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    let insert = client.prepare("INSERT INTO l VALUES ($1, $2, $3)").await?;
    let body = "some words that are not long".repeat(4);
    let mut ticker = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for id in 0..rows as i64 {
        ticker.tick().await;
        client.execute(&insert, &[&id, &now_us(), &body]).await?;
    }
    drop(client);
    Ok(driver.await??)
}

/// The latency of each row, in order.
fn read(servers: &str, topic: &str, rows: u64) -> Result<Vec<i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "200")
        .create()?;
    let mut assigned = TopicPartitionList::new();
    assigned.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assigned)?;
    let mut samples = Vec::new();
    let mut last = Instant::now();
    while (samples.len() as u64) < rows {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload().context("a row without a value")?;
                samples.push(now_us() - sent_us(value)?);
                last = Instant::now();
            }
            Some(Err(error)) => ignore_missing(&error)?,
            None => ensure!(last.elapsed() < PATIENCE, "no row for {} s", PATIENCE.as_secs()),
        }
    }
    Ok(samples)
}

/// The topic comes with its first record.
fn ignore_missing(error: &rdkafka::error::KafkaError) -> Result<()> {
    use rdkafka::error::RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    match error.rdkafka_error_code() {
        Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition) => Ok(()),
        _ => bail!("reading the topic: {error}"),
    }
}

fn sent_us(value: &[u8]) -> Result<i64> {
    let value: Value = serde_json::from_slice(value)?;
    value.pointer("/after/sent_us").and_then(Value::as_i64).context("an event without after.sent_us")
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
