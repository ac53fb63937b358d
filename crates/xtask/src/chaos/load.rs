//! The writers: transactions of 100 changes on three tables, COPY bursts, changed keys, now and then a huge transaction.
//!
//! Every row carries the session that wrote it and the number `n` of its last change. A writer speaks SQL to psql; when
//! the server goes away it comes back, and what was committed meanwhile is for the log to say.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::Postgres;

use super::arena::Arena;
use super::random::Random;

/// Writers side by side, so that transactions interleave in the log.
const SESSIONS: u64 = 2;
/// Rows of a huge transaction: more than librdkafka's queue and the capture's buffers hold.
const HUGE_ROWS: u64 = 120_000;
/// Rows of a COPY burst: all of them have one LSN.
const COPY_ROWS: u64 = 1_000;
/// One transaction in this many is a COPY burst.
const COPY_EVERY: u64 = 40;
/// Keys that a writer remembers for updates and deletes.
const KEYS_MAX: usize = 20_000;
/// How long a writer waits for a server that is away.
const AWAY_LIMIT: Duration = Duration::from_secs(90);
/// How often a paced writer looks whether it is its turn.
const PACE: Duration = Duration::from_millis(10);
/// Wait between two transactions when all that was planned is written.
const TRICKLE: Duration = Duration::from_millis(100);
/// Ids of one session: no two sessions ever write one key.
const IDS_OF_SESSION: u64 = 1_000_000_000_000;

/// How much is written, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Changes in all.
    pub(super) changes: u64,
    /// Changes a second while the faults run.
    pub(super) rate: u64,
    /// Huge transactions besides, spread over the changes.
    pub(super) huge: u64,
}

/// Writers that run.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

struct Shared {
    server: Postgres,
    database: String,
    log: File,
    plan: Plan,
    began: Instant,
    written: AtomicU64,
    huge: AtomicU64,
    /// The faults are over: no pace any more, and an end when all is written.
    unpaced: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    pub(super) fn start(arena: &Arena, plan: Plan) -> Result<Self> {
        let seed = arena.ground.options.seed;
        let log = arena.ground.logs.join("writers.log");
        let shared = Arc::new(Shared {
            server: arena.ground.postgres.clone(),
            database: arena.name.clone(),
            log: File::create(&log).with_context(|| format!("{}", log.display()))?,
            plan,
            began: Instant::now(),
            written: AtomicU64::new(0),
            huge: AtomicU64::new(0),
            unpaced: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let thread = |session| {
            let shared = shared.clone();
            std::thread::spawn(move || Writer::new(session, seed).run(&shared))
        };
        let threads = (1..=SESSIONS).map(thread).collect();
        Ok(Load { shared, threads })
    }

    /// Changes that were sent so far, without the huge transactions.
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// Huge transactions that were sent so far.
    pub(super) fn huge(&self) -> u64 {
        self.shared.huge.load(Ordering::SeqCst)
    }

    /// A writer that has ended is an error: it has nothing to end for.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.threads.iter().all(|thread| !thread.is_finished()), "a writer has ended early");
        Ok(())
    }

    /// No pace any more.
    pub(super) fn release(&self) {
        self.shared.unpaced.store(true, Ordering::SeqCst);
    }

    /// Whether all that was planned was sent.
    pub(super) fn is_done(&self) -> bool {
        self.written() >= self.shared.plan.changes
    }

    /// Ends the writers after their last transaction; returns the changes sent.
    pub(super) fn stop(self) -> Result<u64> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            match thread.join() {
                Ok(ended) => ended.context("a writer")?,
                Err(_) => bail!("a writer panicked"),
            }
        }
        Ok(self.shared.written.load(Ordering::SeqCst) + self.shared.huge.load(Ordering::SeqCst) * HUGE_ROWS)
    }
}

/// One session.
struct Writer {
    session: u64,
    random: Random,
    /// Last id given.
    id: u64,
    /// Number of the last change.
    n: u64,
    /// Living keys of `a`, `b` and `c`, as far as they are remembered.
    keys: [Vec<u64>; 3],
    sql: String,
}

/// psql with its input.
struct Pipe {
    child: Child,
    input: ChildStdin,
}

impl Writer {
    fn new(session: u64, seed: u64) -> Self {
        Writer {
            session,
            random: Random::new(seed, session),
            id: session * IDS_OF_SESSION,
            n: 0,
            keys: [Vec::new(), Vec::new(), Vec::new()],
            sql: String::new(),
        }
    }

    fn run(&mut self, shared: &Shared) -> Result<()> {
        let mut pipe = connect(shared)?;
        while !shared.stop.load(Ordering::SeqCst) {
            let wait = Self::wait(shared);
            sleep(wait);
            if wait == PACE {
                continue;
            }
            self.sql.clear();
            let changes = self.transaction(shared)?;
            if pipe.input.write_all(self.sql.as_bytes()).is_err() {
                pipe = connect(shared)?;
            }
            shared.written.fetch_add(changes, Ordering::SeqCst);
        }
        let Pipe { mut child, input } = pipe;
        drop(input);
        // A server that went away at the very end took the last transactions with it, and the log says which.
        child.wait().context("psql")?;
        Ok(())
    }

    /// How long to wait before the next transaction; zero for not at all.
    fn wait(shared: &Shared) -> Duration {
        let written = shared.written.load(Ordering::SeqCst);
        if shared.unpaced.load(Ordering::SeqCst) {
            // A trickle goes on when all is written: the last phase is load without faults.
            return if written < shared.plan.changes { Duration::ZERO } else { TRICKLE };
        }
        let due = shared.began.elapsed().as_secs_f64() * shared.plan.rate as f64;
        if (written as f64) < due { Duration::ZERO } else { PACE }
    }

    /// Writes one transaction into `sql`; returns its changes.
    fn transaction(&mut self, shared: &Shared) -> Result<u64> {
        let huge = shared.huge.load(Ordering::SeqCst);
        // One of one comes in the middle, the first of two after a third.
        let due = shared.plan.changes / (shared.plan.huge + 1) * (huge + 1);
        let is_due = huge < shared.plan.huge && shared.written.load(Ordering::SeqCst) >= due;
        let is_mine =
            |next| shared.huge.compare_exchange(huge, next, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if is_due && is_mine(huge + 1) {
            return self.huge();
        }
        if self.random.below(COPY_EVERY) == 0 { self.copy() } else { self.mixed() }
    }

    /// 75 inserts, 20 updates and 5 deletes, a changed key among them now and then.
    fn mixed(&mut self) -> Result<u64> {
        let session = self.session;
        self.sql.push_str("BEGIN;\n");
        let mut changes = 0;
        for (table, (inserts, updates, deletes)) in
            [(25, 7, 2), (25, 7, 2), (25, 6, 1)].into_iter().enumerate()
        {
            self.n += 1;
            let (first, n) = (self.id + 1, self.n);
            self.id += inserts;
            let last = self.id;
            match table {
                0 => writeln!(
                    self.sql,
                    "INSERT INTO a SELECT i, {session}, {n}, md5(i::text) FROM generate_series({first}, {last}) i;"
                )?,
                1 => writeln!(
                    self.sql,
                    "INSERT INTO b SELECT {session}, i, {n}, i % 1000 + 0.25 FROM generate_series({first}, {last}) i;"
                )?,
                _ => writeln!(
                    self.sql,
                    "INSERT INTO c SELECT 'k' || i, {session}, {n}, jsonb_build_object('i', i) FROM generate_series({first}, {last}) i;"
                )?,
            }
            changes += inserts + self.update(table, updates)? + self.delete(table, deletes)?;
            self.remember(table, first..=last);
        }
        if self.random.below(5) == 0 {
            changes += self.change_key()?;
        }
        self.sql.push_str("COMMIT;\n");
        Ok(changes)
    }

    fn remember(&mut self, table: usize, ids: impl Iterator<Item = u64>) {
        let Some(keys) = self.keys.get_mut(table) else { return };
        keys.extend(ids);
        if keys.len() > KEYS_MAX {
            keys.drain(..KEYS_MAX / 4);
        }
    }

    /// Distinct living keys as a list for SQL; taken out where they are to be deleted.
    fn pick(&mut self, table: usize, count: u64, take: bool) -> (u64, String) {
        let Some(keys) = self.keys.get_mut(table) else { return (0, String::new()) };
        let mut picked = Vec::new();
        for _ in 0..count.min(keys.len() as u64) {
            let index = self.random.below(keys.len() as u64) as usize;
            picked.push(keys.swap_remove(index));
        }
        if !take {
            keys.extend(&picked);
        }
        let text = |id: &u64| if table == 2 { format!("'k{id}'") } else { id.to_string() };
        (picked.len() as u64, picked.iter().map(text).collect::<Vec<_>>().join(","))
    }

    fn update(&mut self, table: usize, count: u64) -> Result<u64> {
        let (count, ids) = self.pick(table, count, false);
        if count == 0 {
            return Ok(0);
        }
        self.n += 1;
        let (session, n) = (self.session, self.n);
        match table {
            0 => writeln!(self.sql, "UPDATE a SET n = {n}, v = md5(v) WHERE id IN ({ids});")?,
            1 => writeln!(
                self.sql,
                "UPDATE b SET n = {n}, amount = amount + 1, at = clock_timestamp() WHERE session = {session} AND id IN ({ids});"
            )?,
            _ => writeln!(
                self.sql,
                "UPDATE c SET n = {n}, doc = doc || '{{\"u\": {n}}}' WHERE id IN ({ids});"
            )?,
        }
        Ok(count)
    }

    fn delete(&mut self, table: usize, count: u64) -> Result<u64> {
        let (count, ids) = self.pick(table, count, true);
        if count == 0 {
            return Ok(0);
        }
        let session = self.session;
        match table {
            0 => writeln!(self.sql, "DELETE FROM a WHERE id IN ({ids});")?,
            1 => writeln!(self.sql, "DELETE FROM b WHERE session = {session} AND id IN ({ids});")?,
            _ => writeln!(self.sql, "DELETE FROM c WHERE id IN ({ids});")?,
        }
        Ok(count)
    }

    /// Moves one row of `a` or `b` to a key that was never used.
    fn change_key(&mut self) -> Result<u64> {
        let table = self.random.below(2) as usize;
        let (count, old) = self.pick(table, 1, true);
        if count == 0 {
            return Ok(0);
        }
        self.n += 1;
        self.id += 1;
        let (session, n, new) = (self.session, self.n, self.id);
        match table {
            0 => writeln!(self.sql, "UPDATE a SET id = {new}, n = {n} WHERE id = {old};")?,
            _ => writeln!(
                self.sql,
                "UPDATE b SET id = {new}, n = {n} WHERE session = {session} AND id = {old};"
            )?,
        }
        self.remember(table, new..=new);
        Ok(1)
    }

    fn copy(&mut self) -> Result<u64> {
        let session = self.session;
        self.n += 1;
        let (n, table, first) = (self.n, self.random.below(3) as usize, self.id + 1);
        self.id += COPY_ROWS;
        let header = match table {
            0 => "COPY a (id, session, n, v) FROM STDIN;",
            1 => "COPY b (id, session, n, amount) FROM STDIN;",
            _ => "COPY c (id, session, n, doc) FROM STDIN;",
        };
        writeln!(self.sql, "{header}")?;
        for id in first..=self.id {
            match table {
                0 => writeln!(self.sql, "{id}\t{session}\t{n}\tcopied")?,
                1 => writeln!(self.sql, "{id}\t{session}\t{n}\t1.50")?,
                _ => writeln!(self.sql, "k{id}\t{session}\t{n}\t{{\"copied\": true}}")?,
            }
        }
        self.sql.push_str("\\.\n");
        self.remember(table, first..=self.id);
        Ok(COPY_ROWS)
    }

    fn huge(&mut self) -> Result<u64> {
        self.n += 1;
        let (session, n, first) = (self.session, self.n, self.id + 1);
        self.id += HUGE_ROWS;
        let last = self.id;
        writeln!(
            self.sql,
            "INSERT INTO a SELECT i, {session}, {n}, 'huge' FROM generate_series({first}, {last}) i;"
        )?;
        // On top of what was planned, so that it does not use the pace up.
        Ok(0)
    }
}

/// Starts psql as soon as the server answers.
fn connect(shared: &Shared) -> Result<Pipe> {
    let deadline = Instant::now() + AWAY_LIMIT;
    while let Err(error) = shared.server.psql(&shared.database, "SELECT 1") {
        ensure!(
            Instant::now() < deadline,
            "the server stayed away for {} s: {error:#}",
            AWAY_LIMIT.as_secs()
        );
        sleep(Duration::from_millis(100));
    }
    let mut command = shared.server.psql_command(&shared.database)?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(shared.log.try_clone()?)
        .spawn()
        .context("psql")?;
    let input = child.stdin.take().context("psql: no input")?;
    Ok(Pipe { child, input })
}
