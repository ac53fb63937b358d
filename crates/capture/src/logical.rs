//! Logical decoding messages: what their records are written with.

use cdcd_debezium::format::json::Frame;
use cdcd_debezium::schema::Kind;
use cdcd_debezium::source::TableFragment;
use cdcd_debezium::value::ValueWriter;
use cdcd_pgoutput::Lsn;

use crate::config::{BinaryMode, Modes};
use crate::types;

/// How messages are written.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) topic: String,
    /// Of the key and the value, once a message has come: its topic may never be needed.
    pub(crate) frames: [Frame; 2],
    pub(crate) is_framed: bool,
    /// The part of `source` that has no table.
    pub(crate) source: TableFragment,
    /// Waits for the ids of its schemas.
    pub(crate) held: Option<Held>,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) prefix: String,
    pub(crate) content: Vec<u8>,
    pub(crate) transactional: bool,
    pub(crate) lsn: Lsn,
    pub(crate) now_ns: i64,
}

impl Messages {
    /// What content is in this mode.
    pub(crate) fn kind(modes: &Modes) -> Kind {
        if modes.binary == BinaryMode::Bytes { Kind::Bytes } else { Kind::String }
    }
}

/// Writes content as `binary.handling.mode` has it.
pub(crate) fn write_content<W: ValueWriter>(mode: BinaryMode, content: &[u8], writer: &mut W) {
    match mode {
        BinaryMode::Bytes => writer.bytes(content),
        BinaryMode::Base64 => writer.string(&types::base64(content)),
        BinaryMode::Base64UrlSafe => writer.string(&types::base64_url(content)),
        BinaryMode::Hex => writer.string(&types::hex(content)),
    }
}
