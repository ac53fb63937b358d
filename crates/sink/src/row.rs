//! One change to one encoded row.

use crate::destination::StoredType;
use cdcd_debezium::event::value::{Value, ValueError};

/// The written form of a row, which is the destination's choice. Rows are appended to one buffer.
pub trait RowEncoder: Send {
    /// Starts a row.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Writes one column. [`Value::Null`] and [`Value::Unavailable`] may be left out.
    ///
    /// # Errors
    /// When the value has no form in the destination (year 294247, NaN in an exact number …).
    fn field(
        &mut self,
        out: &mut Vec<u8>,
        column: &str,
        stored: &StoredType,
        value: &Value<'_>,
    ) -> Result<(), ValueError>;

    /// Ends the row.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Names of the log's own columns.
pub mod column {
    /// Debezium's operation letter.
    pub const OP: &str = "_OP";
    /// Order of the changes of a key: [`crate::sequence`].
    pub const SEQ: &str = "_SEQ";
    /// Commit time in the source.
    pub const TS: &str = "_TS";
    /// Topic tag, partition and offset of the record: [`crate::merge::offset_text`].
    pub const OFFSET: &str = "_OFFSET";
    /// `,COL1,COL2,`: unchanged TOAST columns that the source did not send.
    pub const UNCHANGED: &str = "_UNCHANGED";
    /// In merged tables: the row is deleted.
    pub const DELETED: &str = "_DELETED";
    /// Variant landing: the record's value.
    pub const RECORD_CONTENT: &str = "RECORD_CONTENT";
    /// Variant landing: where the record came from.
    pub const RECORD_METADATA: &str = "RECORD_METADATA";
    /// Id/data landing: the key.
    pub const ID: &str = "ID";
    /// Id/data landing: the message.
    pub const DATA: &str = "DATA";
    /// Id/data landing: time of the last merge of the row.
    pub const LAST_UPDATED: &str = "LAST_UPDATED";
}
