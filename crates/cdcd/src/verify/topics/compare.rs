//! The checkers: what the log demands against what the topics hold.
//!
//! Each works on sorted arrays of small values, so that ten million events are compared in half a gigabyte.

use cdcd_pgoutput::Lsn;

use super::event::{EventId, Expected, Observed, Op};

/// Examples kept of each kind of violation; all of them are counted.
const EXAMPLES_MAX: usize = 5;

/// How a record breaks the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The log has it, no topic has it.
    Missing,
    /// A topic has it more than once.
    Duplicate,
    /// A topic has it, the log does not.
    Unexpected,
    /// It is there, in another topic than its table's.
    WrongTopic,
    /// It is there with another operation.
    WrongOperation,
    /// It is there under another key.
    WrongKey,
    /// It stands behind a later change of its key.
    KeyOrder,
    /// It stands behind a record of a transaction that committed later.
    CommitOrder,
}

impl Kind {
    pub(super) const ALL: [Kind; 8] = [
        Kind::Missing,
        Kind::Duplicate,
        Kind::Unexpected,
        Kind::WrongTopic,
        Kind::WrongOperation,
        Kind::WrongKey,
        Kind::KeyOrder,
        Kind::CommitOrder,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Duplicate => "duplicate",
            Kind::Unexpected => "unexpected",
            Kind::WrongTopic => "wrong_topic",
            Kind::WrongOperation => "wrong_operation",
            Kind::WrongKey => "wrong_key",
            Kind::KeyOrder => "key_order",
            Kind::CommitOrder => "commit_order",
        }
    }
}

/// One violation. Never a row value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) kind: Kind,
    pub(super) id: EventId,
    pub(super) op: Op,
    /// Index into the captured tables, where the log has the record.
    pub(super) table: Option<u16>,
    /// Partition and offset behind its first, where a topic has it.
    pub(super) place: Option<(u16, u32)>,
}

/// All violations.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    counts: [u64; Kind::ALL.len()],
    pub(super) examples: Vec<Example>,
}

impl Findings {
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.counts.get(kind as usize).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, example: Example) {
        if let Some(count) = self.counts.get_mut(example.kind as usize) {
            *count += 1;
            if *count <= EXAMPLES_MAX as u64 {
                self.examples.push(example);
            }
        }
    }

    fn observed(&mut self, kind: Kind, record: &Observed) {
        let place = Some((record.partition, record.offset));
        self.add(Example { kind, id: record.id, op: record.op, table: None, place });
    }
}

/// Checks one partition in offset order: transactions in commit order, and the changes of each key in theirs.
pub(super) fn order(partition: &[Observed], findings: &mut Findings) {
    let mut latest = Lsn::ZERO;
    let mut ascends = true;
    for pair in partition.windows(2) {
        if let [before, after] = pair {
            ascends &= before.id < after.id;
        }
    }
    if ascends {
        return;
    }
    for record in partition {
        if record.id.commit_lsn < latest {
            findings.observed(Kind::CommitOrder, record);
        }
        latest = latest.max(record.id.commit_lsn);
    }
    let mut keys: Vec<(u64, u32)> = (0..)
        .zip(partition)
        .filter(|(_, record)| record.key != 0)
        .map(|(i, record)| (record.key, i))
        .collect();
    keys.sort_unstable();
    for of_key in keys.chunk_by(|a, b| a.0 == b.0) {
        let mut latest: Option<EventId> = None;
        for record in of_key.iter().filter_map(|(_, index)| partition.get(*index as usize)) {
            if latest.is_some_and(|latest| record.id < latest) {
                findings.observed(Kind::KeyOrder, record);
            }
            latest = latest.max(Some(record.id));
        }
    }
}

/// Compares the sets. `expected` ascends, `observed` is sorted here; `table_of` gives the table of a partition.
pub(super) fn sets(
    expected: &[Expected],
    observed: &mut [Observed],
    table_of: impl Fn(u16) -> Option<u16>,
    findings: &mut Findings,
) {
    observed.sort_unstable_by_key(|record| (record.id, record.partition, record.offset));
    let mut wanted = expected.iter().peekable();
    for same in observed.chunk_by(|a, b| a.id == b.id) {
        let Some(first) = same.first() else { continue };
        while let Some(missing) = wanted.next_if(|wanted| wanted.id < first.id) {
            findings.add(missed(missing));
        }
        for again in same.iter().skip(1) {
            findings.observed(Kind::Duplicate, again);
        }
        match wanted.next_if(|wanted| wanted.id == first.id) {
            Some(wanted) => pair(wanted, first, &table_of, findings),
            None => findings.observed(Kind::Unexpected, first),
        }
    }
    for missing in wanted {
        findings.add(missed(missing));
    }
}

fn missed(missing: &Expected) -> Example {
    let Expected { id, op, table, .. } = *missing;
    Example { kind: Kind::Missing, id, op, table: Some(table), place: None }
}

fn pair(
    wanted: &Expected,
    record: &Observed,
    table_of: &impl Fn(u16) -> Option<u16>,
    findings: &mut Findings,
) {
    if table_of(record.partition) != Some(wanted.table) {
        findings.observed(Kind::WrongTopic, record);
    }
    if record.op != wanted.op && record.op != Op::Unknown {
        findings.observed(Kind::WrongOperation, record);
    }
    if wanted.has_key && record.key as u32 != wanted.key {
        findings.observed(Kind::WrongKey, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(lsn: u64, ordinal: u64) -> EventId {
        EventId::new(Lsn(lsn), ordinal, 0).unwrap()
    }

    /// Ten transactions of ten changes on seven keys, all in table 0; what the log demands and a topic that has it.
    fn world() -> (Vec<Expected>, Vec<Observed>) {
        let mut expected = Vec::new();
        let mut observed = Vec::new();
        for (offset, number) in (0..100).enumerate() {
            let (id, key) = (id(100 + number / 10, number % 10), 1 + number % 7);
            expected.push(Expected { id, key: key as u32, table: 0, op: Op::Create, has_key: true });
            observed.push(Observed { id, key, offset: offset as u32, partition: 0, op: Op::Create });
        }
        (expected, observed)
    }

    /// All checkers; the counts that are not zero.
    fn check(expected: &[Expected], observed: &[Observed]) -> Vec<(Kind, u64)> {
        let mut findings = Findings::default();
        order(observed, &mut findings);
        let mut observed = observed.to_vec();
        sets(expected, &mut observed, Some, &mut findings);
        Kind::ALL
            .into_iter()
            .map(|kind| (kind, findings.count(kind)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    #[test]
    fn a_whole_topic_has_no_violation() {
        let (expected, observed) = world();
        assert_eq!(check(&expected, &observed), []);
    }

    #[test]
    fn every_loss_is_found_wherever_it_is() {
        for lost in [0, 50, 99] {
            let (expected, mut observed) = world();
            observed.remove(lost);
            assert_eq!(check(&expected, &observed), [(Kind::Missing, 1)], "{lost}");
        }
        let (expected, _) = world();
        assert_eq!(check(&expected, &[]), [(Kind::Missing, 100)]);
    }

    #[test]
    fn every_duplicate_is_found_also_when_it_follows_at_once() {
        let (expected, mut observed) = world();
        observed.insert(51, observed[50]);
        observed.insert(51, observed[50]);
        assert_eq!(check(&expected, &observed), [(Kind::Duplicate, 2)]);
    }

    #[test]
    fn a_replay_is_a_duplicate_and_breaks_both_orders() {
        let (expected, mut observed) = world();
        let replay = observed[80..].to_vec();
        observed.extend(replay);
        // The first record again is behind commit 109; all ten of 108 are, and each key's first ones are behind its last.
        let found = check(&expected, &observed);
        assert_eq!(found[0], (Kind::Duplicate, 20));
        assert!(found.contains(&(Kind::CommitOrder, 10)), "{found:?}");
        assert!(found.iter().any(|(kind, count)| *kind == Kind::KeyOrder && *count >= 7), "{found:?}");
    }

    #[test]
    fn two_changes_of_one_key_in_the_wrong_order_are_found_inside_of_one_transaction() {
        let (expected, mut observed) = world();
        // Ordinals 0 and 7 of the first transaction have one key.
        observed.swap(0, 7);
        assert_eq!(check(&expected, &observed), [(Kind::KeyOrder, 1)]);
        // Neighbours have different keys: nobody who reads by key can tell.
        let (expected, mut observed) = world();
        observed.swap(3, 4);
        assert_eq!(check(&expected, &observed), []);
    }

    #[test]
    fn transactions_in_the_wrong_order_are_found() {
        let (expected, mut observed) = world();
        observed.swap(9, 10);
        assert_eq!(check(&expected, &observed), [(Kind::CommitOrder, 1)]);
    }

    #[test]
    fn what_the_log_does_not_have_is_found() {
        let (mut expected, observed) = world();
        expected.remove(30);
        assert_eq!(check(&expected, &observed), [(Kind::Unexpected, 1)]);
    }

    #[test]
    fn a_wrong_topic_operation_or_key_is_found() {
        let (expected, mut observed) = world();
        observed[10].partition = 1;
        assert_eq!(check(&expected, &observed), [(Kind::WrongTopic, 1)]);
        let (expected, mut observed) = world();
        observed[10].op = Op::Delete;
        assert_eq!(check(&expected, &observed), [(Kind::WrongOperation, 1)]);
        let (expected, mut observed) = world();
        observed[10].key = 999;
        assert_eq!(check(&expected, &observed), [(Kind::WrongKey, 1)]);
    }

    #[test]
    fn examples_are_few_and_counts_are_whole() {
        let (expected, _) = world();
        let mut findings = Findings::default();
        sets(&expected, &mut [], Some, &mut findings);
        assert_eq!((findings.total(), findings.examples.len()), (100, EXAMPLES_MAX));
    }
}
