//! Reading one table over several sessions, in the order of its key as over one.
//!
//! The table is cut into slices of its key's range. The slice at the front is handed out while the other sessions read
//! theirs ahead, each into its own bounded buffer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

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

/// Sessions that see the same moment.
#[derive(Debug)]
pub struct SliceReader {
    /// The front of the table is read by the first one.
    sessions: VecDeque<SnapshotReader>,
    /// How many of them are reading.
    reading: usize,
    /// Statements of the slices that no session has begun.
    waiting: VecDeque<String>,
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
        Ok(SliceReader { sessions, reading: 0, waiting: VecDeque::new(), is_front_done: false })
    }

    /// A session that is not reading, for queries between tables.
    ///
    /// # Errors
    /// [`Error::Closed`] if there is none.
    pub fn session(&mut self) -> Result<&mut SnapshotReader, Error> {
        self.sessions.front_mut().ok_or(Error::Closed)
    }

    /// Starts to read a table's rows in COPY's text format.
    ///
    /// # Errors
    /// [`Error::Server`], for example 42501 without SELECT on the table.
    pub async fn start_table(&mut self, table: &TableRows<'_>) -> Result<(), Error> {
        let bounds = if self.sessions.len() > 1 { self.bounds(table).await? } else { Vec::new() };
        self.waiting = statements(table, &bounds);
        (self.reading, self.is_front_done) = (0, false);
        let Some(first) = self.waiting.pop_front() else { return Ok(()) };
        // The first answer tells whether the table can be read at all.
        self.session()?.start_copy(&first).await?;
        self.reading = 1;
        while self.reading < self.sessions.len() {
            let Some(statement) = self.waiting.pop_front() else { break };
            if let Some(session) = self.sessions.get_mut(self.reading) {
                session.send_copy(&statement).await?;
            }
            self.reading += 1;
        }
        Ok(())
    }

    /// The next row that has arrived, without waiting.
    ///
    /// # Errors
    /// [`Error::Server`] if reading fails halfway.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<CopyMessage<'_>>, Error> {
        if self.is_front_done {
            return Ok(None);
        }
        let is_last = self.reading == 1 && self.waiting.is_empty();
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
        let (sessions, reading) = (&mut self.sessions, self.reading);
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

    /// The front's session takes the next slice, and goes to the end of the line.
    async fn turn(&mut self) -> Result<(), Error> {
        let Some(mut session) = self.sessions.pop_front() else { return Err(Error::Closed) };
        session.end_table().await?;
        self.reading -= 1;
        if let Some(statement) = self.waiting.pop_front() {
            session.send_copy(&statement).await?;
            self.sessions.insert(self.reading, session);
            self.reading += 1;
        } else {
            self.sessions.push_back(session);
        }
        Ok(())
    }

    /// To be called after [`CopyMessage::Done`].
    ///
    /// # Errors
    /// As [`Connection::end_copy_out`].
    pub async fn end_table(&mut self) -> Result<(), Error> {
        self.reading = 0;
        self.session()?.end_table().await
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

    /// Keys that cut the rows into slices of about the same size; none for a small table, and none where the server has
    /// no index for the order.
    async fn bounds(&mut self, table: &TableRows<'_>) -> Result<Vec<Vec<String>>, Error> {
        if table.order.is_empty() || table.order.iter().any(|column| column.by_bytes) {
            return Ok(Vec::new());
        }
        let session = self.session()?;
        let name = PgLiteral::new(&table.full_name()).to_string();
        let size = format!(
            "SELECT coalesce((SELECT sum(pg_table_size(relid)) FROM pg_partition_tree({name}::regclass)), \
             pg_table_size({name}::regclass))::bigint::text"
        );
        let rows = session.query(&size).await?;
        let size = rows.into_iter().flatten().next().flatten().and_then(|text| text.parse::<u64>().ok());
        let slices = size.unwrap_or_default() / SLICE_BYTES;
        if slices < 2 {
            return Ok(Vec::new());
        }
        let rows = session.query(&table.sample_statement(SAMPLE_PERCENT, slices)).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().collect()).collect())
    }
}

fn statements(table: &TableRows<'_>, bounds: &[Vec<String>]) -> VecDeque<String> {
    let mut after = table.after;
    let mut statements = VecDeque::with_capacity(bounds.len() + 1);
    for bound in bounds {
        let slice = TableRows { after, upto: Some(bound), ..table.clone() };
        statements.push_back(slice.copy_statement());
        after = Some(bound);
    }
    statements.push_back(TableRows { after, ..table.clone() }.copy_statement());
    statements
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
