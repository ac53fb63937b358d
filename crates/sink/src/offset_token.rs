//! What a channel remembers for us, and what the channel is called.

use cdcd_debezium::event::Shape;
use std::fmt;

/// Kafka's own id of a topic: a topic that is made again under the same name has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// The first eight hexadecimal digits, enough to tell two lives of one topic apart in a column.
    pub fn tag(&self) -> String {
        self.to_string().chars().take(8).collect()
    }

    pub(crate) fn parse(text: &str) -> Option<TopicId> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|id| TopicId(id.to_be_bytes()))
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Version 1 of the token, stored with each committed batch.
///
/// `1|topic id (32 hex)|partition|lineage|last offset|rows|errors|shape|lsn`
///
/// A bare Kafka offset would say nothing after a topic was made again; `rows` and `errors` are the sums that the
/// channel must show when this token is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToken {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The sink's lineage.
    pub lineage: u32,
    /// All records up to this Kafka offset are in the channel, or need not be.
    pub offset: i64,
    /// Rows sent through this channel since its first open, this batch included.
    pub rows: u64,
    /// Rejected rows that were known, and accepted, when the batch was made.
    pub errors: u64,
    /// Shape of the last change event, which says what a tombstone means.
    pub shape: Option<Shape>,
    /// Highest LSN met so far: a tombstone that is a delete ranks just above it.
    pub lsn: u64,
}

impl fmt::Display for OffsetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OffsetToken { topic_id, partition, lineage, offset, rows, errors, shape, lsn } = self;
        let shape = shape.map_or('-', Shape::letter);
        write!(f, "1|{topic_id}|{partition}|{lineage}|{offset}|{rows}|{errors}|{shape}|{lsn}")
    }
}

impl std::str::FromStr for OffsetToken {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let parts: Vec<&str> = text.split('|').collect();
        let ["1", topic_id, partition, lineage, offset, rows, errors, shape, lsn] = parts.as_slice() else {
            return Err(NotOurs);
        };
        let token = OffsetToken {
            topic_id: TopicId::parse(topic_id).ok_or(NotOurs)?,
            partition: partition.parse().map_err(|_| NotOurs)?,
            lineage: lineage.parse().map_err(|_| NotOurs)?,
            offset: offset.parse().map_err(|_| NotOurs)?,
            rows: rows.parse().map_err(|_| NotOurs)?,
            errors: errors.parse().map_err(|_| NotOurs)?,
            shape: match *shape {
                "-" => None,
                letter => Some(letter.parse().ok().and_then(Shape::from_letter).ok_or(NotOurs)?),
            },
            lsn: lsn.parse().map_err(|_| NotOurs)?,
        };
        if token.to_string() == text { Ok(token) } else { Err(NotOurs) }
    }
}

/// A token that this sink did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel's offset token was not written by this sink")]
pub struct NotOurs;

/// The channel of one partition: `<sink>_<topic id>_<lineage>_<partition>`.
pub fn channel_name(sink_id: &str, topic_id: TopicId, lineage: u32, partition: i32) -> String {
    format!("{sink_id}_{topic_id}_{lineage}_{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_read_back_as_written(id: [u8; 16], partition: i32, lineage: u32, offset: i64, rows: u64,
                                           errors: u64, shape in 0usize..5, lsn: u64) {
            let shape = ['e', 'u', 'w', 's'].get(shape).copied().and_then(Shape::from_letter);
            let token = OffsetToken { topic_id: TopicId(id), partition, lineage, offset, rows, errors, shape, lsn };
            prop_assert_eq!(token.to_string().parse::<OffsetToken>(), Ok(token));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = text.parse::<OffsetToken>();
        }
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for text in ["", "77", "1|0|0|0|0|0|0|-|0", "2|00000000000000000000000000000000|0|0|0|0|0|-|0"] {
            assert_eq!(text.parse::<OffsetToken>(), Err(NotOurs), "{text}");
        }
    }
}
