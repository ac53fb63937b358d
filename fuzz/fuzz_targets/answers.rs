//! Any answer of Snowflake's interfaces is read, or is a named error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cdcd_snowflake::fuzzing::read_answer(data));
