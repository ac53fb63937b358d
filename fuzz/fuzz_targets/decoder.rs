//! Any bytes give a message or an error that says where; what decodes can be encoded and decodes again.
#![no_main]

use cdcd_pgoutput::replication::Frame;
use cdcd_pgoutput::tuple::CopyRow;
use cdcd_pgoutput::{Decoder, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Frame::read(data);
    let values = CopyRow::default().split(data).iter().count();
    assert_eq!(values, 1 + data.strip_suffix(b"\n").unwrap_or(data).iter().filter(|byte| **byte == b'\t').count());
    // The first byte says whether a streamed block is open.
    let Some((first, body)) = data.split_first() else { return };
    let mut decoder = decoder(*first);
    let Ok(message) = decoder.decode(body) else { return };
    let mut encoded = Vec::new();
    encode::message(&mut encoded, &message);
    let mut again = self::decoder(*first);
    let decoded = again.decode(&encoded).expect("what was decoded can be encoded and decoded again");
    let mut twice = Vec::new();
    encode::message(&mut twice, &decoded);
    assert_eq!(twice, encoded);
});

fn decoder(first: u8) -> Decoder {
    let mut decoder = Decoder::new();
    if first & 1 == 1 {
        decoder.decode(b"S\0\0\0\x01\x01").expect("a valid StreamStart");
    }
    decoder
}
