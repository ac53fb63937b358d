//! What every test stands on: services, tables, slots, the connector file, a capture that is kept running.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::{self, Cluster, Database, Postgres};
use cdcd_testkit::wait_until;

use super::Options;
use super::process::Running;

/// How often a wait looks after the capture.
const LOOK: Duration = Duration::from_millis(50);
/// How long the capture may take until its slot exists.
const FIRST_START_LIMIT: Duration = Duration::from_secs(60);
/// Restarts by the supervisor in one test: more is a hot loop.
const RESTARTS_MAX: u32 = 200;
/// How long a supervisor waits before it restarts what has ended.
const RESTART_WAIT: Duration = Duration::from_millis(500);
/// Topics of this many partitions: several, so that order is kept by key and not by luck.
const PARTITIONS: &str = "3";

/// The pgoutput slot that `cdcd verify --topics` reads.
pub(super) const ORACLE_SLOT: &str = "oracle";
/// The test_decoding slot of the second oracle.
pub(super) const COUNT_SLOT: &str = "counting";

/// The tables of the load: a plain key, a key of two columns, a text key with the whole old row.
const TABLES: &str = "
    CREATE TABLE a (id bigint PRIMARY KEY, session int NOT NULL, n bigint NOT NULL, v text);
    CREATE TABLE b (session int, id bigint, n bigint NOT NULL, amount numeric(12,2), at timestamptz DEFAULT now(),
        PRIMARY KEY (session, id));
    CREATE TABLE c (id text PRIMARY KEY, session int NOT NULL, n bigint NOT NULL, doc jsonb);
    ALTER TABLE c REPLICA IDENTITY FULL;";

/// Says what happens, on standard error.
pub(super) fn say(what: &str) {
    eprintln!("chaos: {what}");
}

/// `KEY=VALUE` words.
pub(super) fn pairs(words: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |word: &String| {
        let (key, value) = word.split_once('=').with_context(|| format!("--set {word}: is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Services of one test.
pub(super) struct Ground {
    pub(super) postgres: Postgres,
    pub(super) cluster: Cluster,
    pub(super) binary: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) options: Options,
}

impl Ground {
    pub(super) fn prepare(options: &Options, binary: &Path) -> Result<Self> {
        let logs = services::state_dir_for("logs")?;
        for entry in fs::read_dir(&logs).with_context(|| format!("{}", logs.display()))? {
            fs::remove_file(entry?.path())?;
        }
        let cluster = services::kafka_cluster("chaos", options.brokers)?;
        let postgres = services::postgres_cluster("chaos", options.pg)?;
        Ok(Ground { postgres, cluster, binary: binary.to_owned(), logs, options: options.clone() })
    }

    /// An error when the time of the test is over.
    pub(super) fn in_time(&self) -> Result<()> {
        ensure!(Instant::now() < self.options.deadline, "the test took longer than --seconds");
        Ok(())
    }

    /// Time that is left, at most `limit`.
    pub(super) fn time_left(&self, limit: Duration) -> Duration {
        self.options.deadline.saturating_duration_since(Instant::now()).min(limit)
    }
}

/// One connector on its ground.
pub(super) struct Arena {
    pub(super) ground: Ground,
    pub(super) database: Database,
    /// Name of the connector, prefix of its topics, name of its slot and its publication.
    pub(super) name: String,
    pub(super) connector: PathBuf,
    pub(super) capture: Option<Running>,
    pub(super) restarts: u32,
}

impl Arena {
    /// Tables, publication, the slots of both oracles, and the connector file; no capture yet.
    pub(super) fn new(ground: Ground, extra: &[(&str, &str)]) -> Result<Self> {
        let database = ground.postgres.fresh_database("chaos")?;
        let name = database.name.clone();
        database.psql(TABLES)?;
        database.psql(&format!("CREATE PUBLICATION {name} FOR TABLE a, b, c"))?;
        database.psql(&format!("SELECT pg_create_logical_replication_slot('{ORACLE_SLOT}', 'pgoutput')"))?;
        database
            .psql(&format!("SELECT pg_create_logical_replication_slot('{COUNT_SLOT}', 'test_decoding')"))?;
        let connector = write_connector(&ground, &ground.postgres, &name, extra)?;
        Ok(Arena { ground, database, name, connector, capture: None, restarts: 0 })
    }

    pub(super) fn log(&self) -> PathBuf {
        self.ground.logs.join("capture.log")
    }

    pub(super) fn start_capture(&self, args: &[&str]) -> Result<Running> {
        Running::start(&self.ground.binary, "capture", &self.connector, &self.log(), args, &[])
    }

    /// Starts the capture with these variables in its environment.
    pub(super) fn start_capture_with(&self, variables: &[(&str, &str)]) -> Result<Running> {
        Running::start(&self.ground.binary, "capture", &self.connector, &self.log(), &[], variables)
    }

    /// Starts the capture and waits until it has its slot: from then on nothing is missed.
    pub(super) fn first_start(&mut self) -> Result<()> {
        let mut capture = self.start_capture(&[])?;
        let exists =
            format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND active", self.name);
        wait_until("the capture's slot", FIRST_START_LIMIT, || {
            if let Some(status) = capture.ended()? {
                bail!("the capture ended with {status} at its first start:\n{}", capture.tail());
            }
            Ok((self.database.psql(&exists)? == "1").then_some(()))
        })?;
        self.capture = Some(capture);
        Ok(())
    }

    /// Restarts the capture as a supervisor would: after exit 1 and 3. Everything else is for a person, so an error.
    pub(super) fn keep_running(&mut self) -> Result<()> {
        let Some(capture) = &mut self.capture else {
            self.capture = Some(self.start_capture(&[])?);
            return Ok(());
        };
        let Some(status) = capture.ended()? else { return Ok(()) };
        match status.code() {
            Some(1 | 3) if self.restarts < RESTARTS_MAX => {
                self.restarts += 1;
                say(&format!("the capture ended with {status}, the supervisor restarts it"));
                sleep(RESTART_WAIT);
                self.capture = Some(self.start_capture(&[])?);
                Ok(())
            }
            _ => bail!("the capture ended with {status}:\n{}", capture.tail()),
        }
    }

    /// Waits and keeps the capture running.
    pub(super) fn pause(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.ground.in_time()?;
            self.keep_running()?;
            sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Waits for something and keeps the capture running.
    pub(super) fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        mut is: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<Duration> {
        let (began, limit) = (Instant::now(), self.ground.time_left(limit));
        while !is(self)? {
            ensure!(began.elapsed() < limit, "{what}: not within {} s:\n{}", limit.as_secs(), self.tail());
            self.pause(Duration::from_millis(200))?;
        }
        Ok(began.elapsed())
    }

    fn tail(&self) -> String {
        self.capture.as_ref().map_or_else(String::new, Running::tail)
    }

    /// The end of WAL.
    pub(super) fn wal_end(&self) -> Result<String> {
        self.database.psql("SELECT pg_current_wal_flush_lsn()")
    }

    /// Whether the capture has acknowledged everything before an LSN.
    pub(super) fn has_confirmed(&self, lsn: &str) -> Result<bool> {
        let sql = format!(
            "SELECT coalesce(bool_and(confirmed_flush_lsn >= '{lsn}'), false) FROM pg_replication_slots \
             WHERE slot_name = '{}'",
            self.name
        );
        Ok(self.database.psql(&sql)? == "t")
    }

    /// Bytes of WAL that the server has sent to the capture and that it has not acknowledged; `None` without a sender.
    pub(super) fn in_flight(&self) -> Result<Option<u64>> {
        let sql = format!(
            "SELECT greatest(r.sent_lsn - s.confirmed_flush_lsn, 0)::bigint FROM pg_replication_slots s \
             JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = '{}'",
            self.name
        );
        let answer = self.database.psql(&sql)?;
        if answer.is_empty() { Ok(None) } else { Ok(Some(answer.parse().with_context(|| answer.clone())?)) }
    }
}

/// The connector file, readable by its owner only: it holds the password.
pub(super) fn write_connector(
    ground: &Ground,
    postgres: &Postgres,
    name: &str,
    extra: &[(&str, &str)],
) -> Result<PathBuf> {
    let (port, copies) = (postgres.port.to_string(), ground.options.brokers.to_string());
    let own = [
        ("name", name),
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("plugin.name", "pgoutput"),
        ("topic.prefix", name),
        ("slot.name", name),
        ("publication.name", name),
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", "no_data"),
        ("database.hostname", &postgres.host),
        ("database.port", &port),
        ("database.user", &postgres.user),
        ("database.password", &postgres.password),
        ("database.dbname", name),
        ("bootstrap.servers", &ground.cluster.kafka.bootstrap_servers),
        ("topic.creation.default.partitions", PARTITIONS),
        ("topic.creation.default.replication.factor", &copies),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
        ("cdcd.headers", "true"),
        // Our own predecessor's walsender may need a moment to notice that its client is gone.
        ("slot.max.retries", "120"),
        ("slot.retry.delay.ms", "250"),
        ("retriable.restart.connector.wait.ms", "1000"),
    ];
    let mut config: BTreeMap<&str, &str> = own.into_iter().collect();
    config.extend(extra.iter().copied());
    config.extend(ground.options.set.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    write_file(ground, name, &serde_json::json!({ "name": name, "config": config }))
}

/// A connector file in the test's folder, for its owner only.
pub(super) fn write_file(ground: &Ground, name: &str, connector: &serde_json::Value) -> Result<PathBuf> {
    let path = ground.logs.join(format!("{name}.json"));
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    file.write_all(connector.to_string().as_bytes()).with_context(|| format!("{}", path.display()))?;
    Ok(path)
}
