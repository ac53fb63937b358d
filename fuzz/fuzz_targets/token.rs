//! Any text is an offset token of ours or is refused; what is accepted is written back as it was.
#![no_main]

use cdcd_sink::offset_token::OffsetToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<OffsetToken>() {
        assert_eq!(token.to_string(), text);
    }
});
