//! The map of the house, as `ARCHITECTURE.md` draws it. Both change in the same commit.

/// A crate of the house.
pub(super) struct Crate {
    /// Package name.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The crates of the house that it may use.
    pub(super) may_use: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pure: no socket, clock, runtime.
    Core,
    /// Talks to the outside; a library.
    Edge,
    /// The product's binary.
    Binary,
    /// Beside the house: tools, tests, stand-ins. May point at anything; no crate of the house points at them,
    /// except in its tests.
    Beside,
}

const fn house(name: &'static str, kind: Kind, may_use: &'static [&'static str]) -> Crate {
    Crate { name, kind, may_use }
}

/// Every package of the workspace.
pub(super) const MAP: &[Crate] = &[
    house("cdcd-pgoutput", Kind::Core, &[]),
    house("cdcd-debezium", Kind::Core, &[]),
    house("cdcd-capture", Kind::Core, &["cdcd-pgoutput", "cdcd-debezium"]),
    house("cdcd-sink", Kind::Core, &["cdcd-debezium"]),
    house("cdcd-postgres", Kind::Edge, &["cdcd-pgoutput"]),
    house("cdcd-kafka", Kind::Edge, &["cdcd-debezium"]),
    house("cdcd-snowflake", Kind::Edge, &["cdcd-sink", "cdcd-debezium"]),
    house("cdcd-iceberg", Kind::Edge, &["cdcd-sink", "cdcd-debezium"]),
    house(
        "cdcd",
        Kind::Binary,
        &[
            "cdcd-pgoutput",
            "cdcd-debezium",
            "cdcd-capture",
            "cdcd-sink",
            "cdcd-postgres",
            "cdcd-kafka",
            "cdcd-snowflake",
            "cdcd-iceberg",
        ],
    ),
    house("cdcd-snowflake-emulator", Kind::Beside, &[]),
    house("cdcd-flights", Kind::Beside, &[]),
    house("cdcd-testkit", Kind::Beside, &[]),
    house("cdcd-benches", Kind::Beside, &[]),
    house("xtask", Kind::Beside, &[]),
];

/// Never anywhere in the tree of a core crate: runtimes, sockets, C libraries with threads of their own.
pub(super) const BANNED_BELOW_CORE: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "async-io",
    "smol",
    "socket2",
    "rustls",
    "native-tls",
    "openssl",
    "hyper",
    "reqwest",
    "ureq",
    "postgres",
    "tokio-postgres",
    "rdkafka",
    "rdkafka-sys",
];

/// Never named by a core crate: random numbers and clocks are arguments there.
pub(super) const BANNED_IN_CORE: &[&str] = &["rand", "getrandom", "fastrand"];

/// Never named by a library: these belong to binaries.
pub(super) const BANNED_IN_LIBRARIES: &[&str] = &["anyhow", "eyre", "clap", "tracing-subscriber"];

/// Longest source file. The aim is far below (300); beyond this a file has more than one subject.
pub(super) const FILE_LINES_MAX: usize = 1_500;
