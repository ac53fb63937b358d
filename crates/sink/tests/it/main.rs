//! The sink against the in-memory destination: the shared suite, and seeded simulations.

mod added;
mod channels;
mod resnapshot;
mod shapes;
mod simulation;
mod world;

use cdcd_sink::destination_suite;
use cdcd_sink::memory::{Commit, Memory, MemoryEncoder};

#[test]
fn the_memory_destination_keeps_the_rules_of_the_port() {
    let memory = Memory::new(Commit::Immediate);
    let mut encoder = MemoryEncoder::default();
    let suite = destination_suite::run(&memory, &mut encoder, "SUITE", || std::future::ready(()));
    assert_eq!(world::block_on(suite), Ok(()));
}
