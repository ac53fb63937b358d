//! `cargo xtask bench <what>`: whole commands on real services, ours beside a peer or a ceiling on the same backlog, in one
//! run. One table, and the same as JSON in `target/bench`.

mod all;
mod bigtxn;
mod charts;
mod drain;
mod latency;
mod live;
mod measure;
mod memory;
mod peer;
mod snapshot;
mod stage;
mod tables;

use anyhow::Result;

#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// Which bench
    what: What,
    /// Row changes in the backlog
    #[arg(long, default_value_t = 1_000_000)]
    changes: u64,
    /// How often each contender runs; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// PostgreSQL's major release
    #[arg(long, default_value_t = 15)]
    pg: u16,
    /// Only contenders whose name holds this
    #[arg(long)]
    only: Option<String>,
    /// Beside which peer
    #[arg(long, value_name = "PEER")]
    against: Option<Peer>,
    /// Seconds of steady load
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A connector property of every capture, KEY=VALUE; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// One slot's backlog: pg_recvlogical to nothing, cdcd to nothing, cdcd into Kafka at least once and exactly once
    Drain,
    /// From the commit of single rows to the moment when a consumer of committed records has them
    Latency,
    /// One transaction of all changes: from its COMMIT to its last event
    Bigtxn,
    /// Memory over a long backlog, and the time from a start to the first event
    Memory,
    /// All of them, and each figure beside its target
    All,
    /// Draws the last drain, latency and snapshot from their JSON into docs/charts; runs nothing
    Charts,
    /// A whole table: COPY, and cdcd's snapshot by one and by two sessions
    Snapshot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// On Kafka Connect, with the same connector
    Debezium,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.what {
        What::Drain => drain::run(args),
        What::Latency => latency::run(args),
        What::All => all::run(args),
        What::Bigtxn => bigtxn::run(args),
        What::Memory => memory::run(args),
        What::Charts => return charts::run(),
        What::Snapshot => snapshot::run(args),
    }
    .map(|_| ())
}
