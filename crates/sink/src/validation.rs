//! May an offset be called durable? Pure judgements on what a channel says about itself.

use crate::destination::ChannelStatus;
use crate::offset_token::{OffsetToken, TopicId};

/// What we know of our channel while it is open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Baseline {
    /// Rows that the channel had inserted when it was opened.
    pub(crate) inserted: Option<u64>,
    /// Sum of rows in the token that was committed when it was opened.
    pub(crate) rows: u64,
    /// Rejected rows that are known and accepted.
    pub(crate) errors: u64,
}

/// Why a channel's word cannot be trusted, or must not be passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Doubt {
    #[error("the destination rejected {rows} row(s) at or before offset token '{upper_bound}': {last_error}")]
    Rejected { rows: u64, upper_bound: String, last_error: String },
    #[error("the committed offset token is not one of ours")]
    ForeignToken,
    #[error("the committed offset went back from {from} to {to}")]
    WentBack { from: i64, to: i64 },
    #[error("the channel inserted {inserted} rows where {sent} were sent")]
    TooManyRows { inserted: u64, sent: u64 },
    #[error(
        "the channel inserted {inserted} rows where {sent} were sent, and its token says that it is done"
    )]
    TooFewRows { inserted: u64, sent: u64 },
}

/// Whose token it must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    pub(crate) lineage: u32,
}

/// Reads a committed token and makes sure that it is ours.
pub(crate) fn read_token(text: Option<&str>, who: Identity) -> Result<Option<OffsetToken>, Doubt> {
    let Some(text) = text else { return Ok(None) };
    let token: OffsetToken = text.parse().map_err(|_| Doubt::ForeignToken)?;
    let ours =
        token.topic_id == who.topic_id && token.partition == who.partition && token.lineage == who.lineage;
    if ours { Ok(Some(token)) } else { Err(Doubt::ForeignToken) }
}

/// Rejected rows beyond the accepted ones.
pub(crate) fn check_rejected(status: &ChannelStatus, accepted: u64) -> Result<(), Doubt> {
    if status.rows_error_count <= accepted {
        return Ok(());
    }
    let unknown = || "unknown".to_owned();
    Err(Doubt::Rejected {
        rows: status.rows_error_count - accepted,
        upper_bound: status.last_error_upper_bound.clone().unwrap_or_else(unknown),
        last_error: status.last_error.clone().unwrap_or_else(unknown),
    })
}

/// Whether all rows up to `token` were inserted. `Ok(Some(_))` means: not yet, ask again; what it is if that stays so.
pub(crate) fn check_rows(
    status: &ChannelStatus,
    token: &OffsetToken,
    base: Baseline,
) -> Result<Option<Doubt>, Doubt> {
    let (Some(now), Some(then)) = (status.rows_inserted, base.inserted) else { return Ok(None) };
    let inserted = now.saturating_sub(then);
    let sent = token.rows.saturating_sub(base.rows);
    if inserted > sent {
        return Err(Doubt::TooManyRows { inserted, sent });
    }
    Ok((inserted < sent).then_some(Doubt::TooFewRows { inserted, sent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(offset: i64, rows: u64) -> OffsetToken {
        let topic_id = TopicId([7; 16]);
        OffsetToken { topic_id, partition: 0, lineage: 0, offset, rows, errors: 0, shape: None, lsn: 0 }
    }

    #[test]
    fn a_rejected_row_is_seen_even_when_the_token_moved_past_it() {
        let status = ChannelStatus { rows_error_count: 3, ..ChannelStatus::default() };
        assert!(matches!(check_rejected(&status, 2), Err(Doubt::Rejected { rows: 1, .. })));
        assert_eq!(check_rejected(&status, 3), Ok(()));
    }

    #[test]
    fn fewer_rows_than_sent_are_not_durable_and_more_are_an_error() {
        let status = |rows| ChannelStatus { rows_inserted: Some(rows), ..ChannelStatus::default() };
        let base = Baseline { inserted: Some(100), rows: 50, errors: 0 };
        assert_eq!(check_rows(&status(110), &token(9, 60), base), Ok(None));
        let short = Doubt::TooFewRows { inserted: 9, sent: 10 };
        assert_eq!(check_rows(&status(109), &token(9, 60), base), Ok(Some(short)));
        assert!(check_rows(&status(111), &token(9, 60), base).is_err());
    }

    #[test]
    fn a_token_of_another_topic_life_is_refused() {
        let who = Identity { topic_id: TopicId([8; 16]), partition: 0, lineage: 0 };
        assert_eq!(read_token(Some(&token(1, 1).to_string()), who), Err(Doubt::ForeignToken));
        assert_eq!(read_token(None, who), Ok(None));
    }
}
