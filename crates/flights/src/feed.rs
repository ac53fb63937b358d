//! The run loop of the writer: so many row changes per second, some things on schedule, and a summary.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use crate::changes::Changes;
use crate::writer::{Tally, Writer};

/// Transactions per second that are aimed at; above it, transactions grow.
const TRANSACTIONS_PER_SECOND: f64 = 200.0;

/// Most row changes of an ordinary transaction.
const TRANSACTION_ROWS_MAX: f64 = 1_000.0;

/// How much of a stall is made up for afterwards: a burst of more would say nothing about the rate that was asked for.
const CATCH_UP: Duration = Duration::from_secs(1);

/// A line of progress is printed this often.
const PROGRESS: Duration = Duration::from_secs(10);

/// What the run loop should do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Row changes per second; positive.
    pub rate: f64,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Stop after this number of row changes (the last transaction is not cut).
    pub changes: Option<u64>,
    /// A transaction of `big_rows` inserts this often.
    pub big_every: Option<Duration>,
    /// Rows of the big transaction.
    pub big_rows: usize,
    /// TRUNCATE of `flight_events` this often.
    pub truncate_every: Option<Duration>,
    /// ALTER TABLE … ADD COLUMN on `flights_current` this often.
    pub ddl_every: Option<Duration>,
}

/// Something that happens at fixed intervals; the first time after one of them.
struct Schedule(Option<(Duration, Instant)>);

impl Schedule {
    fn new(every: Option<Duration>, start: Instant) -> Self {
        Self(every.map(|every| (every, start + every)))
    }

    fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            Some((every, at)) if *at <= now => {
                *at = now + *every;
                true
            }
            _ => false,
        }
    }
}

/// Writes until `stop` resolves or a limit of `options` is reached; the transaction that runs is finished.
///
/// # Errors
/// When the database refuses.
pub async fn run(
    writer: &mut Writer,
    changes: &mut Changes,
    options: &Options,
    stop: impl Future<Output = ()>,
) -> Result<Tally> {
    let start = Instant::now();
    let end = options.duration.map(|duration| start + duration);
    let mut stop = pin!(stop);
    let rows = (options.rate / TRANSACTIONS_PER_SECOND).clamp(1.0, TRANSACTION_ROWS_MAX) as usize;
    let (mut big, mut truncate) =
        (Schedule::new(options.big_every, start), Schedule::new(options.truncate_every, start));
    let (mut ddl, mut progress) =
        (Schedule::new(options.ddl_every, start), Schedule::new(Some(PROGRESS), start));
    let mut tally = Tally::default();
    // When the next transaction is due; moves by the time that the last one was worth.
    let mut due = start;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = sleep_until(end.map_or(due, |end| due.min(end))) => {}
        }
        let now = Instant::now();
        let enough = options.changes.is_some_and(|limit| tally.rows() >= limit);
        if enough || end.is_some_and(|end| now >= end) {
            break;
        }
        if truncate.is_due(now) {
            writer.truncate_events().await?;
            eprintln!("flights: flight_events truncated");
        }
        if ddl.is_due(now) {
            eprintln!("flights: flights_current has a new column {}", writer.add_column().await?);
        }
        if big.is_due(now) {
            let done = writer.apply(&changes.bulk(options.big_rows)).await?;
            eprintln!("flights: one transaction of {} rows", done.rows());
            tally.add(done);
        }
        let done = writer.apply(&changes.transaction(rows)).await?;
        due += Duration::from_secs_f64(done.rows() as f64 / options.rate);
        due = due.max(Instant::now().checked_sub(CATCH_UP).unwrap_or(due));
        tally.add(done);
        if progress.is_due(now) {
            eprintln!("flights: {}", describe(&tally, start.elapsed()));
        }
    }
    eprintln!("flights: {}", describe(&tally, start.elapsed()));
    Ok(tally)
}

fn describe(tally: &Tally, elapsed: Duration) -> String {
    let Tally { inserted, updated, deleted, transactions } = tally;
    let rate = tally.rows() as f64 / elapsed.as_secs_f64().max(1e-9);
    format!(
        "{} rows in {transactions} transactions in {:.1} s ({rate:.0} rows/s): {inserted} inserted, {updated} updated, \
         {deleted} deleted",
        tally.rows(),
        elapsed.as_secs_f64()
    )
}
