use crate::error::{DecodeError, ErrorKind};
use crate::lsn::Lsn;

/// A checked cursor over one payload. Every read names its field, so that every error says where.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    message: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0, message: 0 }
    }

    /// Reads the message's tag and remembers it for errors.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<u8, DecodeError> {
        self.message = self.u8("message tag")?;
        Ok(self.message)
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[cold]
    pub(crate) fn error(&self, field: &'static str, offset: usize, kind: ErrorKind) -> DecodeError {
        DecodeError { message: self.message, field, offset, kind }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.error(field, self.at, ErrorKind::UnexpectedEnd)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.array(field).map(u64::from_be_bytes).map(Lsn)
    }

    /// A length (int32) and as many bytes; gives the offset and length of the bytes.
    #[inline]
    pub(crate) fn counted(&mut self, field: &'static str) -> Result<(usize, usize), DecodeError> {
        let start = self.at;
        let length = self.i32(field)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => {
                let at = self.at;
                self.at += length;
                Ok((at, length))
            }
            _ => Err(self.error(field, start, ErrorKind::BadLength(length.into()))),
        }
    }

    /// A length (int32) and as many bytes.
    pub(crate) fn counted_bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (at, length) = self.counted(field)?;
        Ok(self.bytes.get(at..at + length).unwrap_or_default())
    }

    /// A name that ends with a zero byte.
    pub(crate) fn cstr(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let end =
            memchr::memchr(0, rest).ok_or_else(|| self.error(field, start, ErrorKind::UnexpectedEnd))?;
        self.at = start + end + 1;
        let name = rest.get(..end).unwrap_or_default();
        std::str::from_utf8(name).map_err(|_| self.error(field, start, ErrorKind::NotUtf8))
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Refuses trailing bytes.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error("end of message", self.at, ErrorKind::TrailingBytes))
        }
    }
}
