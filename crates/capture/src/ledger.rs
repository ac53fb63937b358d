//! The LSN ledger: what is durable in Kafka, and so how far a restart may skip.
//!
//! Every transaction is one entry. It is done when its commit was seen and each of its records was
//! delivered; the durable LSN moves over done entries from the front only. A record is counted, not
//! remembered, so a transaction of any size costs the same.

use std::collections::VecDeque;

use cdcd_pgoutput::Lsn;

/// Names the transaction that a record belongs to. Running number; travels to Kafka and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

#[derive(Debug)]
struct Entry {
    outstanding: u64,
    /// Set when the entry is closed; keepalives may move it on.
    end_lsn: Option<Lsn>,
    /// End of the commit, if the entry is a transaction.
    commit_end: Option<Lsn>,
}

/// Entries from the oldest that is not durable to the newest.
#[derive(Debug)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Token of the first entry.
    first: u64,
    durable: Lsn,
    durable_commit: Option<Lsn>,
}

impl Ledger {
    /// Everything before `durable` is in Kafka already; `durable_commit` is the end of the last transaction before it.
    pub fn new(durable: Lsn, durable_commit: Option<Lsn>) -> Self {
        // Token 0 is never given out, so that it can stand for "no transaction" elsewhere.
        Ledger { entries: VecDeque::new(), first: 1, durable, durable_commit }
    }

    /// Opens an entry for a transaction.
    pub fn begin(&mut self) -> Token {
        debug_assert!(
            self.entries.back().is_none_or(|entry| entry.end_lsn.is_some()),
            "one open entry at a time"
        );
        self.entries.push_back(Entry { outstanding: 0, end_lsn: None, commit_end: None });
        Token(self.first + self.entries.len() as u64 - 1)
    }

    /// Counts one record of the open entry.
    pub fn emitted(&mut self) {
        match self.entries.back_mut() {
            Some(entry) if entry.end_lsn.is_none() => entry.outstanding += 1,
            _ => debug_assert!(false, "a record belongs to an open entry"),
        }
    }

    /// Closes the open entry, which is a transaction that ends at `end_lsn`.
    pub fn commit(&mut self, end_lsn: Lsn) {
        if let Some(entry) = self.entries.back_mut() {
            entry.commit_end = Some(end_lsn);
        }
        self.close(end_lsn);
    }

    /// Closes the open entry, which is not a transaction (a heartbeat, a snapshot), at `end_lsn`.
    pub fn close(&mut self, end_lsn: Lsn) {
        if let Some(entry) = self.entries.back_mut() {
            entry.end_lsn = Some(end_lsn);
        }
        self.settle();
    }

    /// Nothing of interest lies before `lsn`: moves on if no transaction is open.
    pub fn idle_until(&mut self, lsn: Lsn) {
        match self.entries.back_mut() {
            None => self.durable = self.durable.max(lsn),
            Some(Entry { end_lsn: Some(end_lsn), .. }) => *end_lsn = (*end_lsn).max(lsn),
            Some(_) => {}
        }
    }

    /// Kafka has `count` more records of `token`.
    pub fn delivered(&mut self, token: Token, count: u64) {
        let Some(index) = token.0.checked_sub(self.first) else { return };
        if let Some(entry) = self.entries.get_mut(index as usize) {
            debug_assert!(entry.outstanding >= count, "more deliveries than records");
            entry.outstanding = entry.outstanding.saturating_sub(count);
        }
        self.settle();
    }

    /// Every change before this LSN is durable in Kafka.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// End of the last transaction that is durable as a whole.
    pub fn durable_commit(&self) -> Option<Lsn> {
        self.durable_commit
    }

    /// Whether every record is durable and no transaction is open.
    pub fn is_settled(&self) -> bool {
        self.entries.is_empty()
    }

    fn settle(&mut self) {
        while let Some(Entry { outstanding: 0, end_lsn: Some(end_lsn), commit_end }) = self.entries.front() {
            self.durable = self.durable.max(*end_lsn);
            self.durable_commit = self.durable_commit.max(*commit_end);
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_idle_keepalive_never_passes_an_undelivered_record() {
        let mut ledger = Ledger::new(Lsn(10), None);
        let token = ledger.begin();
        ledger.emitted();
        ledger.idle_until(Lsn(99));
        ledger.commit(Lsn(20));
        ledger.idle_until(Lsn(30));
        assert_eq!(ledger.durable(), Lsn(10));
        ledger.delivered(token, 1);
        assert_eq!(ledger.durable(), Lsn(30));
        ledger.idle_until(Lsn(40));
        assert_eq!(ledger.durable(), Lsn(40));
    }

    proptest! {
        /// Deliveries in any order: the durable LSN is always the end of the longest delivered prefix.
        #[test]
        fn durable_is_the_end_of_the_delivered_prefix(
            sizes in proptest::collection::vec(0u64..4, 1..20),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 60),
        ) {
            let mut ledger = Ledger::new(Lsn(0), None);
            let mut pending = Vec::new();
            let mut left = sizes.clone();
            for (index, size) in sizes.iter().enumerate() {
                let token = ledger.begin();
                for _ in 0..*size {
                    ledger.emitted();
                    pending.push((index, token));
                }
                ledger.commit(Lsn(index as u64 + 1));
            }
            let expected = |left: &[u64]| left.iter().take_while(|n| **n == 0).count() as u64;
            prop_assert_eq!(ledger.durable(), Lsn(expected(&left)));
            for pick in order {
                if pending.is_empty() { break; }
                let (index, token) = pending.swap_remove(pick.index(pending.len()));
                left[index] -= 1;
                ledger.delivered(token, 1);
                prop_assert_eq!(ledger.durable(), Lsn(expected(&left)));
            }
        }
    }
}
