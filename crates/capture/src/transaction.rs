//! The transaction that is being received: who its changes are, and which of them are in Kafka already.

use cdcd_pgoutput::Lsn;

use crate::error::Error;
use crate::position::{Counts, LsnText, OpenTransaction, PrefixHash};

/// Seconds between 1970-01-01 and PostgreSQL's epoch, 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Microseconds since 1970 of a time on the wire.
pub(crate) fn unix_us(postgres_us: i64) -> i64 {
    postgres_us.saturating_add(POSTGRES_EPOCH_US)
}

/// An open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) commit_lsn: Lsn,
    /// µs since 1970.
    pub(crate) committed_at_us: i64,
    pub(crate) xid: u32,
    /// Data messages received so far, before any filter: the next one's ordinal.
    pub(crate) ordinal: u64,
    /// Over these messages.
    pub(crate) prefix_hash: PrefixHash,
}

impl Transaction {
    /// Counts one data message.
    #[inline]
    pub(crate) fn count(&mut self, lsn: Lsn, body: &[u8]) {
        self.ordinal += 1;
        self.prefix_hash.add(lsn, body);
    }

    /// For the position, if anything of the transaction was received or written; there are counts if its BEGIN was.
    pub(crate) fn open(&self, counts: Option<&Counts>) -> Option<OpenTransaction> {
        (self.ordinal > 0 || counts.is_some()).then(|| OpenTransaction {
            commit_lsn: LsnText(self.commit_lsn),
            xid: self.xid,
            ordinal_next: self.ordinal,
            prefix_hash: self.prefix_hash,
            counts: counts.cloned(),
        })
    }
}

/// Drops the part of a transaction that is in Kafka already, and checks that it is the same part.
#[derive(Debug)]
pub(crate) struct Replay {
    part: OpenTransaction,
}

impl Replay {
    pub(crate) fn new(part: OpenTransaction) -> Self {
        Replay { part }
    }

    /// The part that is in Kafka.
    pub(crate) fn part(&self) -> &OpenTransaction {
        &self.part
    }

    /// The transaction's BEGIN was told only now: nothing of the part was counted.
    pub(crate) fn told(&mut self, counts: Counts) {
        self.part.counts = Some(counts);
    }

    /// The first transaction of the stream must be the one that was cut.
    pub(crate) fn begin(&self, transaction: &Transaction) -> Result<(), Error> {
        let OpenTransaction { commit_lsn, xid, .. } = &self.part;
        if commit_lsn.0 == transaction.commit_lsn && *xid == transaction.xid {
            return Ok(());
        }
        Err(self.differs(format!(
            "the first transaction commits at {} with xid {}",
            transaction.commit_lsn, transaction.xid
        )))
    }

    /// Whether the message just counted is in Kafka already.
    pub(crate) fn covers(&self, transaction: &Transaction) -> Result<bool, Error> {
        if transaction.ordinal == self.part.ordinal_next && transaction.prefix_hash != self.part.prefix_hash {
            return Err(self.differs("its changes are not the ones that were sent before".to_owned()));
        }
        Ok(transaction.ordinal <= self.part.ordinal_next)
    }

    /// A transaction must not end before the part that is in Kafka.
    pub(crate) fn commit(&self, transaction: &Transaction) -> Result<(), Error> {
        if transaction.ordinal >= self.part.ordinal_next {
            return Ok(());
        }
        Err(self.differs(format!("it has {} changes only", transaction.ordinal)))
    }

    #[cold]
    fn differs(&self, found: String) -> Error {
        let OpenTransaction { commit_lsn, xid, ordinal_next, .. } = &self.part;
        Error::Nondeterministic {
            lsn: commit_lsn.0,
            what: format!(
                "{ordinal_next} changes of the transaction that commits at {} with xid {xid} are in Kafka, and on \
                 replay {found}",
                commit_lsn.0
            ),
        }
    }
}
