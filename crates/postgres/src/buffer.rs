//! The receive buffer: bytes from the socket, handed out as whole messages without copying.

/// Room that a read is given at least; a full one means that more is waiting.
const READ_BYTES: usize = 256 << 10;
/// Capacity that is kept after an unusually large message.
const KEPT_BYTES: usize = 1 << 20;
/// Largest message: PostgreSQL builds none above 1 GiB, and text doubles it at most once.
const MESSAGE_BYTES_MAX: usize = (2 << 30) - 1;

/// A message's tag and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawMessage<'a> {
    /// What kind of message.
    pub tag: u8,
    /// Its payload.
    pub body: &'a [u8],
}

/// Why the next message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLength(pub i64);

/// Bytes that were received and not taken yet.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The vector to read into, with room behind what is there.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            self.bytes.shrink_to(KEPT_BYTES);
        }
        let wanted = self.pending_message().saturating_sub(self.bytes.len()).max(READ_BYTES);
        self.bytes.reserve(wanted);
        &mut self.bytes
    }

    /// Bytes that were not taken.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Length of the message at the front, if its header is there and sane.
    fn pending_message(&self) -> usize {
        match self.bytes.get(1..5).and_then(|length| <[u8; 4]>::try_from(length).ok()) {
            Some(length) => (u32::from_be_bytes(length) as usize).min(MESSAGE_BYTES_MAX) + 1,
            None => 0,
        }
    }

    /// Takes the next whole message.
    ///
    /// # Errors
    /// A length that no message has.
    #[inline]
    pub fn next_message(&mut self) -> Result<Option<RawMessage<'_>>, BadLength> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some((header, after)) = rest.split_first_chunk::<5>() else { return Ok(None) };
        let [tag, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(BadLength(length as i64));
        }
        match after.get(..length - 4) {
            Some(body) => {
                self.start += length + 1;
                Ok(Some(RawMessage { tag, body }))
            }
            None => Ok(None),
        }
    }

    /// The tag of the next whole message, which stays.
    ///
    /// # Errors
    /// A length that no message has.
    #[inline]
    pub fn front_tag(&self) -> Result<Option<u8>, BadLength> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some((header, after)) = rest.split_first_chunk::<5>() else { return Ok(None) };
        let [tag, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(BadLength(length as i64));
        }
        Ok((after.len() + 4 >= length).then_some(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_whatever_the_reads() {
        let stream: Vec<u8> = (0u8..5)
            .flat_map(|n| {
                let body = vec![n; usize::from(n) * 3];
                [vec![b'd'], (body.len() as u32 + 4).to_be_bytes().to_vec(), body].concat()
            })
            .collect();
        for step in 1..stream.len() {
            let mut buffer = Buffer::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                buffer.room().extend_from_slice(piece);
                while let Some(message) = buffer.next_message().unwrap() {
                    seen.push((message.tag, message.body.to_vec()));
                }
            }
            let expected: Vec<_> = (0u8..5).map(|n| (b'd', vec![n; usize::from(n) * 3])).collect();
            assert_eq!(seen, expected, "step {step}");
        }
    }

    /// T10: a session cut in two at every byte, and into equal pieces of many sizes.
    #[test]
    fn a_session_is_the_same_wherever_it_is_cut() {
        let mut seed = 7u32;
        let mut session = Vec::new();
        while session.len() < 20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let body = vec![seed as u8; (seed >> 20) as usize % 300];
            session.push(b"dkEZ"[(seed >> 8) as usize % 4]);
            session.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            session.extend_from_slice(&body);
        }
        let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut buffer = Buffer::default();
            let mut hash = 0u64;
            for piece in pieces {
                buffer.room().extend_from_slice(piece);
                while let Some(message) = buffer.next_message().unwrap() {
                    let first = message.body.first().copied().unwrap_or_default();
                    let part =
                        u64::from(message.tag) << 32 | u64::from(first) << 16 | message.body.len() as u64;
                    hash = (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
            hash
        };
        let whole = read(&mut std::iter::once(session.as_slice()));
        for cut in 0..session.len() {
            let (head, tail) = session.split_at(cut);
            assert_eq!(read(&mut [head, tail].into_iter()), whole, "cut at {cut}");
        }
        for size in (1..64).chain((64..4_096).step_by(61)) {
            assert_eq!(read(&mut session.chunks(size)), whole, "pieces of {size}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0u32, 3, u32::MAX] {
            let mut buffer = Buffer::default();
            buffer.room().extend_from_slice(&[&[b'd'][..], &length.to_be_bytes()].concat());
            assert_eq!(buffer.next_message(), Err(BadLength(length.into())));
        }
    }
}
