//! The state machine of one channel: sequencers, the buffer of accepted batches, the committed token, the counters.
//!
//! It knows no clock, no socket and no engine: `now` is an argument (time since the emulator started), and commits are taken
//! out with [`Channel::take_due`] and reported back with [`Channel::handle_committed`] or [`Channel::handle_commit_failed`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

/// One accepted append that is not committed yet.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Newline-delimited JSON, decompressed.
    pub body: Bytes,
    /// `startOffsetToken`, if the client sent one.
    pub start_token: Option<String>,
    /// `endOffsetToken` (or `offsetToken`): becomes the committed token with these rows.
    pub end_token: Option<String>,
    /// When the append was accepted, since the emulator started.
    pub accepted_at: Duration,
}

/// What a channel has done since it was created; never reset by a reopen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows that are in the table.
    pub rows_inserted: u64,
    /// Rows that were read, good and bad.
    pub rows_parsed: u64,
    /// Rows that were dropped because a value did not convert.
    pub rows_error_count: u64,
    /// Why the last bad row was dropped.
    pub last_error_message: Option<String>,
    /// End token of the batch that held the last bad row.
    pub last_error_offset_upper_bound: Option<String>,
    /// When the last bad row was met, milliseconds since the Unix epoch.
    pub last_error_timestamp_ms: Option<i64>,
    /// From acceptance to commit, running mean over batches, milliseconds.
    pub avg_processing_latency_ms: u64,
}

/// What one commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Rows written to the table.
    pub rows_inserted: u64,
    /// Rows dropped with an error.
    pub rows_errors: u64,
    /// The last error: message, end token of its batch, milliseconds since the Unix epoch.
    pub last_error: Option<(String, Option<String>, i64)>,
}

/// Why an append or an open is refused; the code is what Snowflake answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The token belongs to an older open of the channel.
    StaleSequencer { token: String, client_sequencer: u64 },
    /// The token is not one that this emulator could have given.
    MalformedToken { token: String },
    /// The token was used before.
    RowSequencerUsed { token: String, expected: u64 },
    /// The token is ahead of the channel.
    RowSequencerGap { token: String, expected: u64 },
    /// The channel lost its buffer (restart) and must be opened again.
    MustReopen,
    /// The pipe's table was dropped or replaced.
    InvalidPipe { message: String },
    /// `fail_on_uncommitted_rows` and accepted rows are still in flight.
    Uncommitted { batches: usize },
    /// The buffer is full; try again.
    Saturated { buffered_bytes: usize },
}

impl Refusal {
    /// Snowflake's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::StaleSequencer { .. } => "STALE_CONTINUATION_TOKEN_SEQUENCER",
            Refusal::MalformedToken { .. } => "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER",
            Refusal::RowSequencerUsed { .. } => "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER",
            Refusal::RowSequencerGap { .. } => "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
            Refusal::MustReopen => "ERR_CHANNEL_MUST_BE_REOPENED",
            Refusal::InvalidPipe { .. } => "ERR_PIPE_IN_INVALID_STATE",
            Refusal::Uncommitted { .. } => "ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
            Refusal::Saturated { .. } => "ReceiverSaturated",
        }
    }

    /// HTTP status of the reply.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Uncommitted { .. } | Refusal::InvalidPipe { .. } => 409,
            Refusal::Saturated { .. } => 429,
            _ => 400,
        }
    }

    /// A sentence for the reply's `message`.
    pub fn message(&self) -> String {
        match self {
            Refusal::StaleSequencer { token, client_sequencer } => {
                format!(
                    "continuation token {token} is stale: the channel was opened again (sequencer {client_sequencer})"
                )
            }
            Refusal::MalformedToken { token } => format!("continuation token {token:?} is not well formed"),
            Refusal::RowSequencerUsed { token, expected } => {
                format!(
                    "continuation token {token} was used before; the channel expects row sequencer {expected}"
                )
            }
            Refusal::RowSequencerGap { token, expected } => {
                format!(
                    "continuation token {token} is ahead of the channel, which expects row sequencer {expected}"
                )
            }
            Refusal::MustReopen => "the channel must be reopened before rows can be appended".to_owned(),
            Refusal::InvalidPipe { message } => message.clone(),
            Refusal::Uncommitted { batches } => {
                format!(
                    "the channel has {batches} uncommitted batches; retry, or open without fail_on_uncommitted_rows"
                )
            }
            Refusal::Saturated { buffered_bytes } => {
                format!("the channel buffers {buffered_bytes} bytes that are not committed yet; retry later")
            }
        }
    }
}

/// What a second append with the token of an append that was applied gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameToken {
    /// Refused: nothing may be built on a retry being recognised.
    #[default]
    Stale,
    /// Answered with the token that the first one got, and not applied again, if the offset tokens are the same.
    Idempotent,
}

/// What happens to an open while rows are not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenPolicy {
    /// The rows are discarded and the older writer is fenced.
    Discard,
    /// The open is refused (`fail_on_uncommitted_rows`).
    Refuse,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Validity {
    Open,
    MustReopen,
    InvalidPipe(String),
}

/// Batches that were taken out for one commit.
#[derive(Debug)]
pub struct CommitJob {
    /// The open to which these batches belong.
    pub client_sequencer: u64,
    /// In the order of acceptance, never empty.
    pub batches: Vec<Batch>,
}

impl CommitJob {
    /// The token that becomes the committed one: the last that a batch carries.
    pub fn end_token(&self) -> Option<&str> {
        self.batches.iter().rev().find_map(|batch| batch.end_token.as_deref())
    }
}

/// One channel of one pipe.
#[derive(Debug)]
pub struct Channel {
    client_sequencer: u64,
    row_sequencer: u64,
    committed_token: Option<String>,
    counters: Counters,
    buffered: VecDeque<Batch>,
    buffered_bytes: usize,
    committing: usize,
    validity: Validity,
    last_append: Option<(Option<String>, Option<String>)>,
}

/// Bytes that one channel holds before it answers 429: a client that appends faster than the engine commits must feel it.
pub const CHANNEL_BUFFER_BYTES_MAX: usize = 64 << 20;

/// Bytes that one commit takes: bounds the memory of the conversion and the length of an engine transaction.
pub const COMMIT_BYTES_MAX: usize = 16 << 20;

impl Channel {
    /// A channel as it was stored: it has no buffer and must be opened before it accepts rows.
    pub fn restored(client_sequencer: u64, committed_token: Option<String>, counters: Counters) -> Channel {
        Channel {
            client_sequencer,
            row_sequencer: 0,
            committed_token,
            counters,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            committing: 0,
            validity: Validity::MustReopen,
            last_append: None,
        }
    }

    /// The sequencer of the present open.
    pub fn client_sequencer(&self) -> u64 {
        self.client_sequencer
    }

    /// The committed offset token.
    pub fn committed_token(&self) -> Option<&str> {
        self.committed_token.as_deref()
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Accepted batches that are not committed, those in a running commit included.
    pub fn uncommitted_batches(&self) -> usize {
        self.buffered.len() + self.committing
    }

    /// Whether a commit is running, so that an open has to wait for its end.
    pub fn is_committing(&self) -> bool {
        self.committing > 0
    }

    /// `SUCCESS`, or the code of what is wrong with the channel.
    pub fn status_code(&self) -> &'static str {
        match self.validity {
            Validity::Open | Validity::MustReopen => "SUCCESS",
            Validity::InvalidPipe(_) => "ERR_PIPE_IN_INVALID_STATE",
        }
    }

    /// Whether [`Channel::open`] would succeed.
    ///
    /// # Errors
    /// [`Refusal::Uncommitted`] under [`OpenPolicy::Refuse`] while rows are not committed.
    pub fn may_open(&self, policy: OpenPolicy) -> Result<(), Refusal> {
        debug_assert!(!self.is_committing(), "an open waits for the end of a running commit");
        match policy {
            OpenPolicy::Refuse if self.uncommitted_batches() > 0 => {
                Err(Refusal::Uncommitted { batches: self.uncommitted_batches() })
            }
            OpenPolicy::Refuse | OpenPolicy::Discard => Ok(()),
        }
    }

    /// Opens the channel with what is stored: the new sequencer fences the older writer, and what is not committed is discarded.
    pub fn take_over(&mut self, client_sequencer: u64, committed_token: Option<String>, counters: Counters) {
        debug_assert!(client_sequencer > self.client_sequencer, "a sequencer never comes back");
        *self = Channel::restored(client_sequencer, committed_token, counters);
        self.row_sequencer = 1;
        self.validity = Validity::Open;
    }

    /// Accepts a batch and gives the next continuation token. Accepted is not committed.
    ///
    /// # Errors
    /// A [`Refusal`] when the token is not the one that the last reply gave, or the channel cannot take rows.
    pub fn append(&mut self, token: &str, batch: Batch, same_token: SameToken) -> Result<String, Refusal> {
        match &self.validity {
            Validity::Open => {}
            Validity::MustReopen => return Err(Refusal::MustReopen),
            Validity::InvalidPipe(message) => return Err(Refusal::InvalidPipe { message: message.clone() }),
        }
        let (client, row) =
            parse_token(token).ok_or_else(|| Refusal::MalformedToken { token: token.to_owned() })?;
        if client != self.client_sequencer {
            return Err(Refusal::StaleSequencer {
                token: token.to_owned(),
                client_sequencer: self.client_sequencer,
            });
        }
        let tokens = (batch.start_token.clone(), batch.end_token.clone());
        if row < self.row_sequencer {
            let repeated = row + 1 == self.row_sequencer && self.last_append.as_ref() == Some(&tokens);
            return match same_token {
                SameToken::Idempotent if repeated => Ok(self.continuation_token()),
                _ => Err(Refusal::RowSequencerUsed { token: token.to_owned(), expected: self.row_sequencer }),
            };
        }
        if row > self.row_sequencer {
            return Err(Refusal::RowSequencerGap { token: token.to_owned(), expected: self.row_sequencer });
        }
        if self.buffered_bytes > 0 && self.buffered_bytes + batch.body.len() > CHANNEL_BUFFER_BYTES_MAX {
            return Err(Refusal::Saturated { buffered_bytes: self.buffered_bytes });
        }
        self.row_sequencer += 1;
        self.last_append = Some(tokens);
        self.buffered_bytes += batch.body.len();
        self.buffered.push_back(batch);
        Ok(self.continuation_token())
    }

    /// When the oldest accepted batch is due for commit, if one waits and no commit runs.
    pub fn due_at(&self, commit_delay: Duration) -> Option<Duration> {
        if self.is_committing() {
            return None;
        }
        self.buffered.front().map(|batch| batch.accepted_at + commit_delay)
    }

    /// Takes what is due at `now`, up to [`COMMIT_BYTES_MAX`] but at least one batch.
    pub fn take_due(&mut self, now: Duration, commit_delay: Duration) -> Option<CommitJob> {
        if self.due_at(commit_delay)? > now {
            return None;
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = self.buffered.front() {
            let due = batch.accepted_at + commit_delay <= now;
            if !due || (!batches.is_empty() && bytes + batch.body.len() > COMMIT_BYTES_MAX) {
                break;
            }
            bytes += batch.body.len();
            batches.extend(self.buffered.pop_front());
        }
        self.buffered_bytes -= bytes;
        self.committing = batches.len();
        Some(CommitJob { client_sequencer: self.client_sequencer, batches })
    }

    /// The engine has made the job durable.
    pub fn handle_committed(&mut self, job: &CommitJob, outcome: &CommitOutcome, now: Duration) {
        debug_assert_eq!(job.client_sequencer, self.client_sequencer, "an open waits for a running commit");
        self.committing = 0;
        if let Some(token) = job.end_token() {
            self.committed_token = Some(token.to_owned());
        }
        self.counters.add(outcome);
        if let Some(first) = job.batches.first() {
            let latency = now.saturating_sub(first.accepted_at).as_millis().try_into().unwrap_or(u64::MAX);
            let mean = self.counters.avg_processing_latency_ms;
            self.counters.avg_processing_latency_ms =
                if mean == 0 { latency } else { (mean * 7 + latency) / 8 };
        }
    }

    /// The engine could not store the job now: it goes back to the front of the buffer.
    pub fn handle_commit_failed(&mut self, job: CommitJob) {
        self.committing = 0;
        for batch in job.batches.into_iter().rev() {
            self.buffered_bytes += batch.body.len();
            self.buffered.push_front(batch);
        }
    }

    /// The pipe's table is gone: what is buffered is lost, and appends are refused until the channel is opened again.
    pub fn invalidate(&mut self, message: &str) {
        self.committing = 0;
        self.buffered.clear();
        self.buffered_bytes = 0;
        self.validity = Validity::InvalidPipe(message.to_owned());
    }

    /// The token that the next append must carry.
    pub fn continuation_token(&self) -> String {
        format!("{}_{}", self.client_sequencer, self.row_sequencer)
    }
}

impl Counters {
    /// Adds what one commit did.
    pub fn add(&mut self, outcome: &CommitOutcome) {
        self.rows_inserted += outcome.rows_inserted;
        self.rows_error_count += outcome.rows_errors;
        self.rows_parsed += outcome.rows_inserted + outcome.rows_errors;
        if let Some((message, upper_bound, at)) = &outcome.last_error {
            self.last_error_message = Some(message.clone());
            self.last_error_offset_upper_bound.clone_from(upper_bound);
            self.last_error_timestamp_ms = Some(*at);
        }
    }
}

/// `<client sequencer>_<row sequencer>`; clients treat it as opaque.
fn parse_token(token: &str) -> Option<(u64, u64)> {
    let (client, row) = token.split_once('_')?;
    Some((client.parse().ok()?, row.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn batch(end_token: &str, accepted_ms: u64) -> Batch {
        Batch {
            body: Bytes::from_static(b"{\"A\":1}\n"),
            start_token: Some(end_token.to_owned()),
            end_token: Some(end_token.to_owned()),
            accepted_at: at(accepted_ms),
        }
    }

    /// Opens as the registry does, which keeps token and counters in the engine.
    fn open(channel: &mut Channel, offset_token: Option<&str>) -> String {
        let token = offset_token.or(channel.committed_token()).map(str::to_owned);
        channel.take_over(channel.client_sequencer() + 1, token, channel.counters().clone());
        channel.continuation_token()
    }

    fn opened() -> (Channel, String) {
        let mut channel = Channel::restored(0, None, Counters::default());
        let token = open(&mut channel, None);
        (channel, token)
    }

    fn commit(channel: &mut Channel, now_ms: u64) -> Option<String> {
        let job = channel.take_due(at(now_ms), DELAY)?;
        let outcome = CommitOutcome { rows_inserted: job.batches.len() as u64, ..Default::default() };
        channel.handle_committed(&job, &outcome, at(now_ms));
        channel.committed_token().map(str::to_owned)
    }

    #[test]
    fn first_open_gives_1_1_and_each_append_the_next() {
        let (mut channel, token) = opened();
        assert_eq!(token, "1_1");
        assert_eq!(channel.append(&token, batch("0", 0), SameToken::Stale), Ok("1_2".to_owned()));
        assert_eq!(channel.append("1_2", batch("1", 0), SameToken::Stale), Ok("1_3".to_owned()));
    }

    #[test]
    fn accepted_rows_are_committed_only_after_the_delay_and_in_order() {
        let (mut channel, token) = opened();
        let token = channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        channel.append(&token, batch("20", 50), SameToken::Stale).expect("accepted");
        assert_eq!(commit(&mut channel, 99), None);
        assert_eq!(channel.committed_token(), None);
        assert_eq!(commit(&mut channel, 100), Some("10".to_owned()));
        assert_eq!(commit(&mut channel, 149), None);
        assert_eq!(commit(&mut channel, 150), Some("20".to_owned()));
        assert_eq!(channel.counters().rows_inserted, 2);
    }

    #[test]
    fn a_reopen_fences_the_older_writer_and_discards_what_it_had_not_committed() {
        let (mut channel, token) = opened();
        let token = channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        commit(&mut channel, 200);
        let token = channel.append(&token, batch("20", 200), SameToken::Stale).expect("accepted");
        let new_token = open(&mut channel, None);
        assert_eq!(new_token, "2_1");
        assert_eq!(channel.committed_token(), Some("10"));
        assert_eq!(commit(&mut channel, 1_000), None, "batch 20 died with the older open");
        let refused = channel.append(&token, batch("30", 0), SameToken::Stale).expect_err("fenced");
        assert_eq!(refused.code(), "STALE_CONTINUATION_TOKEN_SEQUENCER");
        assert_eq!(channel.append(&new_token, batch("20", 0), SameToken::Stale), Ok("2_2".to_owned()));
    }

    #[test]
    fn an_open_that_must_not_cut_off_a_predecessor_is_refused_until_its_rows_are_committed() {
        let (mut channel, token) = opened();
        channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        let refused = channel.may_open(OpenPolicy::Refuse).expect_err("uncommitted");
        assert_eq!((refused.status(), refused.code()), (409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"));
        assert_eq!(channel.may_open(OpenPolicy::Discard), Ok(()));
        commit(&mut channel, 200);
        assert_eq!(channel.may_open(OpenPolicy::Refuse), Ok(()));
    }

    #[test]
    fn a_token_that_was_used_is_refused_or_answered_again_but_never_applied_twice() {
        let (mut channel, token) = opened();
        channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        let refused = channel.append(&token, batch("10", 0), SameToken::Stale).expect_err("used");
        assert_eq!(refused.code(), "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER");
        assert_eq!(channel.append(&token, batch("10", 0), SameToken::Idempotent), Ok("1_2".to_owned()));
        assert_eq!(channel.uncommitted_batches(), 1);
        let other = channel.append(&token, batch("11", 0), SameToken::Idempotent).expect_err("other rows");
        assert_eq!(other.code(), "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER");
    }

    #[test]
    fn a_token_ahead_of_the_channel_is_a_gap() {
        let (mut channel, _) = opened();
        let refused = channel.append("1_5", batch("10", 0), SameToken::Stale).expect_err("gap");
        assert_eq!(refused.code(), "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP");
        let refused = channel.append("x", batch("10", 0), SameToken::Stale).expect_err("malformed");
        assert_eq!(refused.code(), "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER");
    }

    #[test]
    fn a_restored_channel_keeps_its_token_and_wants_to_be_opened() {
        let counters = Counters { rows_inserted: 7, ..Default::default() };
        let mut channel = Channel::restored(3, Some("42".to_owned()), counters);
        let refused = channel.append("3_2", batch("43", 0), SameToken::Idempotent).expect_err("lost buffer");
        assert_eq!(refused.code(), "ERR_CHANNEL_MUST_BE_REOPENED");
        assert_eq!(open(&mut channel, None), "4_1");
        assert_eq!((channel.committed_token(), channel.counters().rows_inserted), (Some("42"), 7));
    }

    #[test]
    fn an_open_with_a_token_overrides_the_stored_one() {
        let (mut channel, token) = opened();
        channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        commit(&mut channel, 200);
        open(&mut channel, Some("77"));
        assert_eq!(channel.committed_token(), Some("77"));
    }

    #[test]
    fn a_failed_commit_loses_nothing_and_keeps_the_order() {
        let (mut channel, token) = opened();
        let token = channel.append(&token, batch("10", 0), SameToken::Stale).expect("accepted");
        channel.append(&token, batch("20", 0), SameToken::Stale).expect("accepted");
        let job = channel.take_due(at(100), DELAY).expect("due");
        assert!(channel.is_committing());
        assert_eq!(channel.due_at(DELAY), None, "one commit at a time");
        channel.handle_commit_failed(job);
        let job = channel.take_due(at(100), DELAY).expect("due again");
        let ends: Vec<_> = job.batches.iter().filter_map(|batch| batch.end_token.as_deref()).collect();
        assert_eq!(ends, ["10", "20"]);
        assert_eq!(job.end_token(), Some("20"));
    }

    #[test]
    fn a_full_buffer_is_refused_with_429_but_one_big_batch_passes() {
        let (mut channel, token) = opened();
        let big = Batch { body: Bytes::from(vec![b'\n'; CHANNEL_BUFFER_BYTES_MAX]), ..batch("1", 0) };
        let token = channel.append(&token, big, SameToken::Stale).expect("first batch passes");
        let refused = channel.append(&token, batch("2", 0), SameToken::Stale).expect_err("full");
        assert_eq!((refused.status(), refused.code()), (429, "ReceiverSaturated"));
        assert!(commit(&mut channel, 200).is_some());
        assert!(channel.append(&token, batch("2", 0), SameToken::Stale).is_ok(), "the token was not spent");
    }

    #[test]
    fn a_channel_of_a_dropped_table_refuses_rows_until_it_is_opened() {
        let (mut channel, token) = opened();
        let token = channel.append(&token, batch("1", 0), SameToken::Stale).expect("accepted");
        channel.invalidate("the table was dropped");
        assert_eq!(channel.status_code(), "ERR_PIPE_IN_INVALID_STATE");
        let refused = channel.append(&token, batch("2", 0), SameToken::Stale).expect_err("invalid");
        assert_eq!((refused.status(), refused.code()), (409, "ERR_PIPE_IN_INVALID_STATE"));
        assert_eq!(channel.uncommitted_batches(), 0);
    }

    #[test]
    fn one_commit_takes_a_bounded_number_of_bytes() {
        let (mut channel, mut token) = opened();
        for n in 0..4 {
            let body = Bytes::from(vec![b'\n'; COMMIT_BYTES_MAX / 2]);
            let batch = Batch { body, ..batch(&n.to_string(), 0) };
            token = channel.append(&token, batch, SameToken::Stale).expect("accepted");
        }
        let job = channel.take_due(at(500), DELAY).expect("due");
        assert_eq!(job.batches.len(), 2);
        channel.handle_committed(&job, &CommitOutcome::default(), at(500));
        assert_eq!(channel.take_due(at(500), DELAY).expect("due").batches.len(), 2);
    }
}
