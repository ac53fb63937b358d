//! The streams that the benches run over: deterministic, made here, never recorded from anybody's database.

pub mod engine;
pub mod streams;
