//! Reading tables over several sessions, in the order of the queue, and each in the order of its key, as over one.
//!
//! A large table is cut into slices of its key's range, a small one is a slice. The slice at the front is handed out while
//! the other sessions read theirs ahead, each into its own bounded buffer, of the next tables as well.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::connection::{Connection, CopyMessage};
use crate::error::Error;
use crate::snapshot::{SnapshotReader, TableRows};
use crate::sql::PgLiteral;

/// Size of a slice in the table's files; its text is about as large.
const SLICE_BYTES: u64 = 4 << 20;
/// Most bytes that a session reads ahead.
const READ_AHEAD_BYTES: usize = 4 << 20;
/// Share of the table's pages that is looked at for the bounds of slices, in percent.
const SAMPLE_PERCENT: u32 = 2;

/// A part of a table's rows.
#[derive(Debug, PartialEq, Eq)]
struct Slice {
    statement: String,
    is_last: bool,
}

/// Sessions that see the same moment.
#[derive(Debug)]
pub struct SliceReader {
    /// The front is read by the first one.
    sessions: VecDeque<SnapshotReader>,
    /// Of each of the first ones, which are reading, whether its slice is the last of its table.
    reading: VecDeque<bool>,
    /// Slices that no session has begun.
    waiting: VecDeque<Slice>,
    /// The first session has sent its slice.
    is_front_done: bool,
}

impl SliceReader {
    /// `first` has begun its transaction, in the snapshot `exported` if there is one; `more` see the same.
    ///
    /// # Errors
    /// As [`SnapshotReader::begin`].
    pub async fn begin(
        mut first: SnapshotReader,
        more: Vec<Connection>,
        exported: Option<&str>,
    ) -> Result<Self, Error> {
        let mut sessions = VecDeque::with_capacity(more.len() + 1);
        let shared = match exported {
            Some(name) => name.to_owned(),
            None if more.is_empty() => String::new(),
            None => first.export().await?,
        };
        sessions.push_back(first);
        for connection in more {
            sessions.push_back(SnapshotReader::begin(connection, Some(&shared)).await?);
        }
        Ok(SliceReader { sessions, reading: VecDeque::new(), waiting: VecDeque::new(), is_front_done: false })
    }

    /// A session for queries before the first table is queued.
    ///
    /// # Errors
    /// [`Error::Closed`] if there is none.
    pub fn session(&mut self) -> Result<&mut SnapshotReader, Error> {
        self.sessions.front_mut().ok_or(Error::Closed)
    }

    /// How many tables are worth queueing at a time.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Puts a table's rows behind those of the tables that are queued already, in COPY's text format. `control` is asked
    /// where to cut: another moment's answer only makes slices less equal. What the server refuses, for example 42501
    /// without SELECT on the table, comes in place of the first row.
    ///
    /// # Errors
    /// [`Error::Control`] of the question, [`Error::Io`] of a session.
    pub async fn queue_table(&mut self, control: &Client, table: &TableRows<'_>) -> Result<(), Error> {
        let bounds = if self.sessions.len() > 1 { bounds(control, table).await? } else { Vec::new() };
        self.waiting.extend(slices(table, &bounds));
        self.begin_waiting().await
    }

    /// Gives slices to sessions that have none.
    async fn begin_waiting(&mut self) -> Result<(), Error> {
        while let Some(session) = self.sessions.get_mut(self.reading.len()) {
            let Some(slice) = self.waiting.pop_front() else { break };
            session.send_copy(&slice.statement).await?;
            self.reading.push_back(slice.is_last);
        }
        Ok(())
    }

    /// The next row of the table at the front that has arrived, without waiting.
    ///
    /// # Errors
    /// [`Error::Server`] if reading fails halfway.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<CopyMessage<'_>>, Error> {
        if self.is_front_done {
            return Ok(None);
        }
        let is_last = self.reading.front().is_none_or(|is_last| *is_last);
        let front = self.sessions.front_mut().ok_or(Error::Closed)?;
        match front.next_row()? {
            Some(CopyMessage::Done) if !is_last => {
                self.is_front_done = true;
                Ok(None)
            }
            message => Ok(message),
        }
    }

    /// Waits for more rows of the front, and lets the other sessions read ahead meanwhile. Not to be cancelled.
    ///
    /// # Errors
    /// As [`Connection::fill`].
    pub async fn fill(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.is_front_done) {
            return self.turn().await;
        }
        let (sessions, reading) = (&mut self.sessions, self.reading.len());
        poll_fn(|context| {
            let mut sessions = sessions.iter_mut().take(reading);
            let Some(front) = sessions.next() else { return Poll::Ready(Err(Error::Closed)) };
            for session in sessions {
                if let Err(error) = read_ahead(session, context) {
                    return Poll::Ready(Err(error));
                }
            }
            pin!(front.fill()).poll(context).map_ok(|_| ())
        })
        .await
    }

    /// The front's session goes to the end of the line.
    async fn turn(&mut self) -> Result<(), Error> {
        let Some(mut session) = self.sessions.pop_front() else { return Err(Error::Closed) };
        session.end_table().await?;
        self.reading.pop_front();
        self.sessions.push_back(session);
        self.begin_waiting().await
    }

    /// To be called after [`CopyMessage::Done`]: the next table comes to the front.
    ///
    /// # Errors
    /// As [`Connection::end_copy_out`].
    pub async fn end_table(&mut self) -> Result<(), Error> {
        self.turn().await
    }

    /// Ends the transactions.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn commit(self) -> Result<(), Error> {
        for session in self.sessions {
            session.commit().await?;
        }
        Ok(())
    }
}

/// Keys that cut the rows into slices of about the same size; none for a small table, and none where the server has
/// no index for the order.
async fn bounds(control: &Client, table: &TableRows<'_>) -> Result<Vec<Vec<String>>, Error> {
    if table.order.is_empty() || table.order.iter().any(|column| column.by_bytes) {
        return Ok(Vec::new());
    }
    let name = PgLiteral::new(&table.full_name()).to_string();
    let size = format!(
        "SELECT coalesce((SELECT sum(pg_table_size(relid)) FROM pg_partition_tree({name}::regclass)), \
         pg_table_size({name}::regclass))::bigint"
    );
    let size = texts(control, &size).await?;
    let size = size.into_iter().flatten().next().and_then(|text| text.parse::<u64>().ok());
    let slices = size.unwrap_or_default() / SLICE_BYTES;
    if slices < 2 {
        return Ok(Vec::new());
    }
    texts(control, &table.sample_statement(SAMPLE_PERCENT, slices)).await
}

/// Rows without a null among them, as text.
async fn texts(control: &Client, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let answer = control.simple_query(sql).await;
    let answer = answer.map_err(|error| Error::control("looking where to cut a table", error))?;
    let values = |row: &SimpleQueryRow| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect();
    Ok(answer
        .iter()
        .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { values(row) } else { None })
        .collect())
}

fn slices(table: &TableRows<'_>, bounds: &[Vec<String>]) -> Vec<Slice> {
    let mut after = table.after;
    let mut slices = Vec::with_capacity(bounds.len() + 1);
    for bound in bounds {
        let slice = TableRows { after, upto: Some(bound), ..table.clone() };
        slices.push(Slice { statement: slice.copy_statement(), is_last: false });
        after = Some(bound);
    }
    let rest = TableRows { after, ..table.clone() };
    slices.push(Slice { statement: rest.copy_statement(), is_last: true });
    slices
}

/// Takes what has arrived, as far as there is room.
fn read_ahead(session: &mut SnapshotReader, context: &mut Context<'_>) -> Result<(), Error> {
    while session.buffered() < READ_AHEAD_BYTES {
        match pin!(session.fill()).poll(context) {
            Poll::Ready(filled) => filled?,
            Poll::Pending => break,
        };
    }
    Ok(())
}
