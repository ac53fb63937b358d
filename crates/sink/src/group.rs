//! What the consumer group remembers of a topic, beside its offsets.

use crate::offset_token::TopicId;
use std::fmt;

/// Metadata of the group's commits: `cdcd1 <topic id> <partitions> <lineage>:<durable offset>`. Earlier commits end
/// before the count or behind it, and so does one of a channel that has no token yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMetadata {
    /// The topic that the offset is of. An offset of another life of the topic is not ours to follow.
    pub(crate) topic_id: TopicId,
    /// How many partitions the topic had when the group came to it.
    pub(crate) partitions: Option<i32>,
    /// What the channel had committed, with the sink's lineage, which names the channel: it never goes back.
    pub(crate) durable: Option<(u32, i64)>,
}

impl CommitMetadata {
    /// Reads what one of our commits says; `None` if it is nobody's or somebody else's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("cdcd1 ")?.split(' ');
        let topic_id = TopicId::parse(words.next()?)?;
        let partitions = words.next().and_then(|count| count.parse().ok());
        let durable = words.next().and_then(|word| {
            let (lineage, offset) = word.split_once(':')?;
            Some((lineage.parse().ok()?, offset.parse().ok()?))
        });
        Some(CommitMetadata { topic_id, partitions, durable })
    }
}

impl fmt::Display for CommitMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cdcd1 {}", self.topic_id)?;
        let Some(count) = self.partitions else { return Ok(()) };
        write!(f, " {count}")?;
        self.durable.map_or(Ok(()), |(lineage, offset)| write!(f, " {lineage}:{offset}"))
    }
}

/// How many partitions the topic had when the group came to it, by all of the group's commits for it.
pub(crate) fn first_partitions<'a>(topic_id: TopicId, commits: impl Iterator<Item = &'a str>) -> Option<i32> {
    let ours = commits.filter_map(CommitMetadata::parse).filter(|commit| commit.topic_id == topic_id);
    ours.filter_map(|commit| commit.partitions).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_back_with_and_without_a_count() {
        let topic_id = TopicId([7; 16]);
        for (partitions, durable) in [(None, None), (Some(3), None), (Some(3), Some((1, 77)))] {
            let metadata = CommitMetadata { topic_id, partitions, durable };
            assert_eq!(CommitMetadata::parse(&metadata.to_string()), Some(metadata));
        }
        for text in ["", "cdcd1 ", "cdcd1 77", "somebody else's"] {
            assert_eq!(CommitMetadata::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_count_of_this_life_of_the_topic_counts() {
        let commit = |byte, partitions| {
            CommitMetadata { topic_id: TopicId([byte; 16]), partitions, durable: None }.to_string()
        };
        let commits = [commit(7, Some(5)), commit(7, None), commit(7, Some(3)), commit(8, Some(1))];
        let commits = || commits.iter().map(String::as_str);
        assert_eq!(first_partitions(TopicId([7; 16]), commits()), Some(3));
        assert_eq!(first_partitions(TopicId([9; 16]), commits()), None);
    }
}
