//! Any bytes in any pieces come out as the same whole messages, or are refused at the same place.
#![no_main]

use cdcd_postgres::buffer::Buffer;
use libfuzzer_sys::fuzz_target;

fn messages(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<(u8, Vec<u8>)>, bool) {
    let mut buffer = Buffer::default();
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.room().extend_from_slice(piece);
        loop {
            let tag = buffer.front_tag();
            match buffer.next_message() {
                Ok(Some(message)) => {
                    assert_eq!(tag, Ok(Some(message.tag)));
                    seen.push((message.tag, message.body.to_vec()));
                }
                Ok(None) => break,
                Err(_) => return (seen, true),
            }
        }
    }
    (seen, false)
}

fuzz_target!(|data: (u8, &[u8])| {
    let (step, bytes) = data;
    // What a length promises is reserved: PostgreSQL's largest message is more than a fuzzer may have.
    if bytes.windows(4).any(|length| matches!(length, [1..=0x7f, ..])) {
        return;
    }
    let whole = messages(&mut std::iter::once(bytes));
    let cut = messages(&mut bytes.chunks(usize::from(step) + 1));
    assert_eq!(whole, cut);
});
