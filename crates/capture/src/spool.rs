//! The door to a place for the changes of transactions in progress.

/// Keeps bytes by transaction until it ends: the files of the run loop. Nothing of it outlives a connection, because a
/// server sends transactions without an end anew on the next one.
pub trait Spool: Send {
    /// Adds bytes behind those that `xid` has.
    ///
    /// # Errors
    /// No room is left, or the place is broken.
    fn append(&mut self, xid: u32, bytes: &[u8]) -> Result<(), SpoolError>;

    /// Reads into `into` what stands at `offset`; 0 only at the end.
    ///
    /// # Errors
    /// The place is broken.
    fn read(&mut self, xid: u32, offset: u64, into: &mut [u8]) -> Result<usize, SpoolError>;

    /// Forgets the bytes of `xid`, if it has any.
    ///
    /// # Errors
    /// The place is broken.
    fn remove(&mut self, xid: u32) -> Result<(), SpoolError>;
}

/// Why bytes could not be kept or given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SpoolError {
    /// A name to look up, what happened and where.
    pub what: String,
    /// What to do.
    pub hint: String,
}
