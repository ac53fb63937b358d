//! The one Java object that a standalone worker keeps its offsets in: a `HashMap<byte[], byte[]>`.
//!
//! Java Object Serialization Specification, version 6.4 (grammar of the stream); `FileOffsetBackingStore` of Kafka
//! Connect writes it, Debezium's engine with it. Nothing else is read: no other class, no field that this map has not.

use std::path::Path;

/// A file of offsets has some entries of some hundred bytes; this is far above.
const FILE_BYTES_MAX: u64 = 16 << 20;

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_CLASSDESC: u8 = 0x72;
const TC_OBJECT: u8 = 0x73;
const TC_ARRAY: u8 = 0x75;
const TC_BLOCKDATA: u8 = 0x77;
const TC_ENDBLOCKDATA: u8 = 0x78;

/// `| magic 0xaced | version 5 |`
const HEAD: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
/// `| name | serialVersionUID | flags: own writeObject, serializable | 2 fields | F loadFactor | I threshold |`
const HASH_MAP: &[u8] = b"\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09threshold";
/// `| name | serialVersionUID | flags: serializable | no fields |`
const BYTE_ARRAY: &[u8] = b"\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00";
/// The first object of a stream that can be referred to.
const BASE_HANDLE: u32 = 0x7e_0000;

/// An entry; either side may be null.
pub(super) type Entry = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Why a file is not one of offsets.
#[derive(Debug, thiserror::Error)]
pub(super) enum JavaMapError {
    #[error("cannot be read")]
    Io(#[from] std::io::Error),
    #[error("has {0} bytes, where offsets have some thousand and {FILE_BYTES_MAX} is the limit")]
    Size(u64),
    #[error("is no serialized HashMap<byte[], byte[]>: at byte {at}: {what}")]
    Format { at: usize, what: &'static str },
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, JavaMapError> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(JavaMapError::Size(size));
    }
    parse(&std::fs::read(path)?)
}

/// Reads a stream.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, JavaMapError> {
    let mut reader = Reader { bytes, at: 0, objects: Vec::new() };
    reader.expect(&HEAD, "no Java object stream")?;
    reader.expect(&[TC_OBJECT, TC_CLASSDESC], "no object")?;
    reader.expect(HASH_MAP, "an object of another class than java.util.HashMap")?;
    reader.expect(&[TC_ENDBLOCKDATA, TC_NULL], "a HashMap with annotations or a superclass")?;
    reader.objects.extend([Object::Other, Object::Other]);
    // Fields loadFactor and threshold, then capacity and size.
    reader.take(8)?;
    reader.expect(&[TC_BLOCKDATA, 8], "no capacity and size")?;
    reader.take(4)?;
    let size = reader.length()?;
    let mut entries = Vec::new();
    for _ in 0..size {
        entries.push((reader.array()?, reader.array()?));
    }
    reader.expect(&[TC_ENDBLOCKDATA], "more than the entries that were announced")?;
    match reader.at == bytes.len() {
        true => Ok(entries),
        false => Err(reader.error("bytes behind the map")),
    }
}

/// What a handle refers to.
enum Object {
    ByteArrayClass,
    Bytes(Vec<u8>),
    Other,
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    /// In the order of their handles.
    objects: Vec<Object>,
}

impl Reader<'_> {
    fn error(&self, what: &'static str) -> JavaMapError {
        JavaMapError::Format { at: self.at, what }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], JavaMapError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let taken =
            end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| self.error("it ends here"))?;
        self.at += length;
        Ok(taken)
    }

    fn expect(&mut self, wanted: &[u8], otherwise: &'static str) -> Result<(), JavaMapError> {
        let at = self.at;
        match self.take(wanted.len())? == wanted {
            true => Ok(()),
            false => Err(JavaMapError::Format { at, what: otherwise }),
        }
    }

    fn word(&mut self) -> Result<u32, JavaMapError> {
        let bytes = self.take(4)?.try_into().unwrap_or_default();
        Ok(u32::from_be_bytes(bytes))
    }

    /// A Java int that counts something.
    fn length(&mut self) -> Result<usize, JavaMapError> {
        let at = self.at;
        i32::try_from(self.word()?)
            .ok()
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(JavaMapError::Format { at, what: "a negative length" })
    }

    fn tag(&mut self) -> Result<u8, JavaMapError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn referred(&mut self) -> Result<&Object, JavaMapError> {
        let at = self.at;
        let handle = self.word()?.checked_sub(BASE_HANDLE).and_then(|index| usize::try_from(index).ok());
        let object = handle.and_then(|index| self.objects.get(index));
        object.ok_or(JavaMapError::Format { at, what: "a reference to nothing" })
    }

    fn array(&mut self) -> Result<Option<Vec<u8>>, JavaMapError> {
        let at = self.at;
        let unexpected = JavaMapError::Format { at, what: "something else than a byte array" };
        match self.tag()? {
            TC_NULL => Ok(None),
            TC_REFERENCE => match self.referred()? {
                Object::Bytes(bytes) => Ok(Some(bytes.clone())),
                Object::ByteArrayClass | Object::Other => Err(unexpected),
            },
            TC_ARRAY => {
                self.byte_array_class()?;
                let length = self.length()?;
                let bytes = self.take(length)?.to_vec();
                self.objects.push(Object::Bytes(bytes.clone()));
                Ok(Some(bytes))
            }
            _ => Err(unexpected),
        }
    }

    /// The class is told with the first array and referred to by the others.
    fn byte_array_class(&mut self) -> Result<(), JavaMapError> {
        let at = self.at;
        let unexpected = JavaMapError::Format { at, what: "an array of something else than bytes" };
        match self.tag()? {
            TC_CLASSDESC => {
                self.expect(BYTE_ARRAY, "an array of something else than bytes")?;
                self.expect(&[TC_ENDBLOCKDATA, TC_NULL], "a class with annotations or a superclass")?;
                self.objects.push(Object::ByteArrayClass);
                Ok(())
            }
            TC_REFERENCE => match self.referred()? {
                Object::ByteArrayClass => Ok(()),
                Object::Bytes(_) | Object::Other => Err(unexpected),
            },
            _ => Err(unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by ConnectStandalone of Kafka 4.3.1 with Debezium 3.6.3.Final and FileStreamSource.
    const REAL: &[u8] = include_bytes!("../../../../../proto-fixtures/connect/connect.offsets");

    fn told(entries: &[Entry]) -> Vec<String> {
        let text = |side: &Option<Vec<u8>>| match side {
            Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            None => "null".to_owned(),
        };
        entries.iter().map(|(key, value)| format!("{} = {}", text(key), text(value))).collect()
    }

    #[test]
    fn the_file_of_a_standalone_worker_is_read() {
        let entries = told(&parse(REAL).unwrap());
        assert_eq!(entries.len(), 2);
        let flights = r#"["flights",{"server":"air"}] = {"lsn_proc":109347112,"messageType":"INSERT","lsn_commit":109347112"#;
        assert!(entries[0].starts_with(flights), "{entries:?}");
        assert!(
            entries[1].starts_with(r#"["lines",{"filename":"#) && entries[1].ends_with(r#"{"position":4}"#)
        );
    }

    #[test]
    fn a_file_that_ends_early_or_says_more_is_refused_at_every_byte() {
        for end in 0..REAL.len() {
            assert!(parse(&REAL[..end]).is_err(), "cut at {end}");
        }
        let more = [REAL, b"\0"].concat();
        assert!(parse(&more).unwrap_err().to_string().contains("bytes behind the map"));
    }

    /// Any byte of the frame that is another one is an error or another map, never a panic or much memory.
    #[test]
    fn no_byte_is_trusted() {
        for at in 0..REAL.len() {
            for byte in [0x00, 0x01, 0x70, 0x71, 0x7f, 0x80, 0xff] {
                let mut bytes = REAL.to_vec();
                bytes[at] = byte;
                if let Ok(entries) = parse(&bytes) {
                    assert_eq!(entries.len(), 2, "byte {at} as {byte:#x}");
                }
            }
        }
    }

    /// Debezium's engine may have null for a value; an object that was written before is told by its handle.
    #[test]
    fn nulls_and_objects_that_were_written_before_are_read() {
        let mut bytes = REAL[..0x51].to_vec();
        bytes.extend_from_slice(&[TC_ARRAY, TC_CLASSDESC]);
        bytes.extend_from_slice(BYTE_ARRAY);
        bytes.extend_from_slice(&[TC_ENDBLOCKDATA, TC_NULL, 0, 0, 0, 1, b'k', TC_NULL]);
        bytes.extend_from_slice(&[TC_NULL, TC_REFERENCE, 0, 0x7e, 0, 3, TC_ENDBLOCKDATA]);
        assert_eq!(told(&parse(&bytes).unwrap()), ["k = null", "null = k"]);
        let at = bytes.len() - 2;
        for handle in [0, 1, 2, 4] {
            bytes[at] = handle;
            assert!(parse(&bytes).is_err(), "handle {handle} is no byte array");
        }
    }

    #[test]
    fn another_object_is_told_where() {
        let mut bytes = REAL.to_vec();
        bytes[0x12] = b'T';
        let said = parse(&bytes).unwrap_err().to_string();
        assert!(said.contains("at byte 6") && said.contains("java.util.HashMap"), "{said}");
        let absent = read(Path::new("/nonexistent/connect.offsets")).unwrap_err();
        assert!(matches!(absent, JavaMapError::Io(_)));
    }
}
