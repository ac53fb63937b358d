//! The services of the sweep, and one case on them: set up, start both sides, run the workload, read both brokers.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::{self, Database, Kafka, Postgres};

use super::connect::{self, Worker};
use super::fixtures::recorder::{Recorder, Recording};
use super::forms::Forms;
use super::options::Setting;
use super::scenario::{self, Scenario};
use super::topics::{Record, Topics};

/// How long a side may take from its start to streaming, or from the workload's end to its last record.
const SIDE_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(40);

/// Who is compared with Debezium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opponent {
    /// `cdcd capture`
    Ours,
    /// Debezium again: everything must be equal.
    Control,
    /// Nobody: what the server sends is kept.
    Recorder,
}

/// What one side gave.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) records: Vec<Record>,
    /// Why it stopped by itself.
    pub(super) stopped: Option<String>,
    /// What the server sent, if that is kept.
    pub(super) recording: Option<Recording>,
}

/// One run of scenarios under one set of options.
pub(super) struct Case<'a> {
    pub(super) name: String,
    pub(super) scenarios: Vec<&'a Scenario>,
    pub(super) settings: Vec<Setting>,
    /// Whether anything is written after the snapshot.
    pub(super) streams: bool,
}

impl Case<'_> {
    fn writes_inserts(&self) -> bool {
        let skips = |setting: &Setting| setting.key == "skipped.operations" && setting.value.contains('c');
        !self.settings.iter().any(skips)
    }
}

/// Everything that runs through the whole sweep.
pub(super) struct Stage {
    postgres: Postgres,
    kafka: [Kafka; 2],
    worker: Worker,
    forms: Forms,
    opponent: Opponent,
    binary: PathBuf,
    dir: PathBuf,
    keep: bool,
}

impl Stage {
    pub(super) fn start(major: u16, release: Option<&str>, opponent: Opponent, keep: bool) -> Result<Self> {
        let binary = build(opponent)?;
        let postgres = services::postgres_cluster("differential", major)?;
        let kafka = [services::kafka()?, services::kafka_cluster("second", 1)?.kafka];
        let worker = Worker::new(&match release {
            Some(release) => services::debezium_release(release)?,
            None => services::debezium()?,
        })?;
        let forms = Forms::new(&services::registry()?)?;
        let dir = services::state_dir_for("differential")?;
        Ok(Stage { postgres, kafka, worker, forms, opponent, binary, dir, keep })
    }

    /// Runs one case; the first side is Debezium.
    pub(super) fn run(&self, case: &Case<'_>) -> Result<[Side; 2]> {
        let database = self.postgres.fresh_database("diff")?;
        std::fs::create_dir_all(self.dir.join(&database.name)).context("making the case's folder")?;
        self.sql(&database, "before.sql", &scenario::before(&case.scenarios))?;
        let has_publication = case.settings.iter().any(|setting| setting.key.starts_with("publication."));
        if !has_publication {
            database.psql("CREATE PUBLICATION differential FOR ALL TABLES")?;
        }
        let mut run = Run::start(self, case, &database)?;
        let streaming = run.wait_streaming(2)?;
        if streaming && !case.streams {
            run.wait_sentinel(scenario::SNAPSHOT_STEP)?;
        } else if streaming {
            for (step, sql) in scenario::after(&case.scenarios, case.writes_inserts()).iter().enumerate() {
                self.sql(&database, "after.sql", sql)?;
                if !run.wait_sentinel(step + scenario::FIRST_STEP)? {
                    break;
                }
            }
        }
        run.stop()?;
        let mut sides = [Side::default(), Side::default()];
        for ((side, topics), stopped) in sides.iter_mut().zip(&run.topics).zip(&run.stopped) {
            let records = topics.read(&run.prefix)?.into_iter();
            side.records = records.map(|record| self.forms.readable(record)).collect::<Result<_>>()?;
            side.stopped.clone_from(stopped);
        }
        if let Some(recorder) = run.recorder.take() {
            sides[1].recording = Some(recorder.finish()?);
        }
        if self.keep {
            eprintln!("kept: database {}, files in {}", database.name, run.dir.display());
            std::mem::forget(database);
        } else {
            for (topics, kafka) in run.topics.iter().zip(&self.kafka) {
                topics.remove(&kafka.bootstrap_servers, &run.prefix)?;
            }
            std::fs::remove_dir_all(&run.dir).context("removing the case's folder")?;
            database.remove()?;
        }
        Ok(sides)
    }

    fn sql(&self, database: &Database, name: &str, sql: &str) -> Result<()> {
        let file = self.dir.join(&database.name).join(name);
        std::fs::write(&file, sql).with_context(|| format!("writing {}", file.display()))?;
        self.postgres.psql_file(&database.name, &file)
    }
}

/// The binary under test, freshly built.
fn build(opponent: Opponent) -> Result<PathBuf> {
    let me = std::env::current_exe().context("finding this program")?;
    let binary = me.with_file_name("cdcd");
    if opponent == Opponent::Ours {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--quiet", "--locked", "-p", "cdcd"]).status()?;
        ensure!(built.success(), "cdcd was not built");
    }
    Ok(binary)
}

/// A case while it runs.
struct Run<'s> {
    stage: &'s Stage,
    topics: [Topics; 2],
    dir: PathBuf,
    database: String,
    prefix: String,
    delimiter: String,
    /// Connector names, which are slot names as well.
    names: [String; 2],
    ours: Option<Child>,
    recorder: Option<Recorder>,
    log: PathBuf,
    stopped: [Option<String>; 2],
}

impl<'s> Run<'s> {
    fn start(stage: &'s Stage, case: &Case<'_>, database: &Database) -> Result<Self> {
        let prefix = database.name.replace("t_diff_", "d");
        let names = [format!("{prefix}_a"), format!("{prefix}_b")];
        let delimiter = case.settings.iter().find(|setting| setting.key == "topic.delimiter");
        let dir = stage.dir.join(&database.name);
        let [first, second] = &stage.kafka;
        let mut run = Run {
            stage,
            topics: [Topics::open(&first.bootstrap_servers)?, Topics::open(&second.bootstrap_servers)?],
            log: dir.join("cdcd.log"),
            dir,
            database: database.name.clone(),
            delimiter: delimiter.map_or(".", |setting| setting.value.as_str()).to_owned(),
            ours: None,
            recorder: None,
            stopped: [None, None],
            prefix,
            names,
        };
        let first = run.connector(case, &run.names[0]);
        stage.worker.start(&run.names[0], &connect::connector(&first))?;
        let mut second = run.connector(case, &run.names[1]);
        match stage.opponent {
            Opponent::Control => {
                let servers = &stage.kafka[1].bootstrap_servers;
                for client in ["producer", "consumer", "admin"] {
                    second.push((format!("{client}.override.bootstrap.servers"), servers.clone()));
                }
                // Two connectors of one prefix in one JVM: their metrics need different names.
                second.push(("custom.metric.tags".to_owned(), "side=control".to_owned()));
                run.wait_publication()?;
                stage.worker.start(&run.names[1], &connect::connector(&second))?;
            }
            Opponent::Recorder => {
                // So that both see the same transactions from the first one on.
                if !run.wait_streaming(1)? {
                    return Ok(run);
                }
                run.recorder = Some(Recorder::start(&second)?);
            }
            Opponent::Ours => {
                run.wait_publication()?;
                run.ours = Some(run.spawn(&second)?);
            }
        }
        Ok(run)
    }

    /// The connector file: the same for both sides, but for name and slot.
    fn connector(&self, case: &Case<'_>, name: &str) -> Vec<(String, String)> {
        let postgres = &self.stage.postgres;
        let port = postgres.port.to_string();
        let base = [
            ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
            ("name", name),
            ("tasks.max", "1"),
            ("plugin.name", "pgoutput"),
            ("topic.prefix", &self.prefix),
            ("slot.name", name),
            ("publication.name", "differential"),
            ("database.hostname", &postgres.host),
            ("database.port", &port),
            ("database.user", &postgres.user),
            ("database.password", &postgres.password),
            ("database.dbname", &self.database),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("poll.interval.ms", "20"),
        ];
        let mut pairs: Vec<(String, String)> =
            base.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        for setting in &case.settings {
            pairs.retain(|(key, _)| *key != setting.key);
            pairs.push(self.stage.forms.resolved(setting));
        }
        pairs
    }

    /// Where Debezium makes the publication, the other side starts when it is there: both would make it at once.
    fn wait_publication(&mut self) -> Result<()> {
        let deadline = Instant::now() + SIDE_LIMIT;
        while self.stage.postgres.psql(&self.database, "SELECT count(*) FROM pg_publication")? == "0" {
            std::thread::sleep(POLL);
            self.look_after()?;
            ensure!(
                self.stopped[0].is_none(),
                "debezium stopped: {}",
                self.stopped[0].as_deref().unwrap_or("")
            );
            ensure!(Instant::now() < deadline, "no publication within {} s", SIDE_LIMIT.as_secs());
        }
        Ok(())
    }

    fn spawn(&self, connector: &[(String, String)]) -> Result<Child> {
        let name = &self.names[1];
        let file = self.dir.join("connector.json");
        std::fs::write(&file, connect::posted(name, &connect::connector(connector))?)?;
        let log = File::create(&self.log).with_context(|| format!("making {}", self.log.display()))?;
        let mut command = Command::new(&self.stage.binary);
        for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"] {
            command.env_remove(variable);
        }
        command
            .arg("capture")
            .arg(&file)
            .args(["--bootstrap-servers", &self.stage.kafka[1].bootstrap_servers]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        child.with_context(|| format!("starting {}", self.stage.binary.display()))
    }

    /// Until so many slots are in use; `false` if a side stopped before.
    fn wait_streaming(&mut self, slots: usize) -> Result<bool> {
        let (database, names) = (self.database.clone(), self.names.join("', '"));
        // A slot is active while it is being made as well: only its sender's state tells that the snapshot is over.
        let sql = format!(
            "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid \
             WHERE s.slot_name IN ('{names}') AND r.state IN ('catchup', 'streaming')"
        );
        let deadline = Instant::now() + SIDE_LIMIT;
        let mut looked = Instant::now();
        while self.stage.postgres.psql(&database, &sql)? != slots.to_string() {
            std::thread::sleep(POLL);
            if looked.elapsed() > Duration::from_millis(400) {
                looked = Instant::now();
                self.look_after()?;
                if self.stopped.iter().any(Option::is_some) {
                    return Ok(false);
                }
            }
            ensure!(Instant::now() < deadline, "a side does not stream within {} s", SIDE_LIMIT.as_secs());
        }
        Ok(true)
    }

    /// Until both sides have delivered the row that ends a step; `false` if one of them has stopped.
    fn wait_sentinel(&mut self, step: usize) -> Result<bool> {
        let topic = format!("{0}{1}zzz{1}sentinel", self.prefix, self.delimiter);
        let forms = &self.stage.forms;
        let is_last = |value: &[u8]| {
            let plain = forms.plain(value).ok().flatten();
            let text = String::from_utf8_lossy(plain.as_deref().unwrap_or(value));
            let is_in =
                |name: &str| [',', '}'].iter().any(|end| text.contains(&format!("{name}{step}{end}")));
            is_in("\"step\":") || is_in("step=")
        };
        let both: &[usize] = if self.recorder.is_some() { &[0] } else { &[1, 0] };
        for &index in both {
            let Some(kafka) = self.stage.kafka.get(index) else { continue };
            let servers = &kafka.bootstrap_servers;
            let topics = Topics::open(servers)?;
            let waited = topics.wait_for(&topic, SIDE_LIMIT, is_last, || {
                self.look_after()?;
                match self.stopped.get(index) {
                    Some(Some(_)) => bail!("stopped"),
                    _ => Ok(()),
                }
            });
            if let Err(error) = waited
                && self.stopped.get(index).is_some_and(Option::is_none)
            {
                return Err(error.context(if index == 0 { "debezium" } else { "the other side" }));
            }
        }
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.drain()
        {
            self.stopped[1] = Some(format!("{error:#}"));
        }
        Ok(self.stopped.iter().all(Option::is_none))
    }

    /// How many of the sides run in Kafka Connect.
    fn connectors(&self) -> usize {
        if self.stage.opponent == Opponent::Control { 2 } else { 1 }
    }

    /// Notes which side has stopped by itself.
    fn look_after(&mut self) -> Result<()> {
        for index in 0..self.connectors() {
            if let (Some(slot), Some(name)) = (self.stopped.get_mut(index), self.names.get(index)) {
                *slot = self.stage.worker.failure(name)?;
            }
        }
        if let Some(child) = &mut self.ours
            && let Some(status) = child.try_wait()?
        {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().join(" | ");
            self.stopped[1] = Some(format!("{status}: {tail}"));
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.look_after()?;
        self.stage.worker.stop(&self.names[0])?;
        if self.stage.opponent == Opponent::Control {
            self.stage.worker.stop(&self.names[1])?;
        }
        let Some(child) = &mut self.ours else { return Ok(()) };
        if child.try_wait()?.is_none() {
            let pid = child.id().to_string();
            ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "kill -TERM {pid}");
        }
        let deadline = Instant::now() + SIDE_LIMIT;
        while child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "cdcd does not stop within {} s", SIDE_LIMIT.as_secs());
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.ours
            && matches!(child.try_wait(), Ok(None))
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.names {
            let _ = self.stage.worker.stop(name);
        }
    }
}
