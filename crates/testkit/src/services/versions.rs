//! `versions.toml`, read.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// All pinned versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    pub(super) postgres: Postgres,
    pub(super) kafka: Kafka,
    pub(super) registry: Java,
    pub(super) debezium: Java,
    pub(super) avro: Avro,
    pub(super) maven: Maven,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Postgres {
    pub(super) default: u16,
    pub(super) distribution: Vec<u16>,
    pub(super) npm: Npm,
}

#[derive(Debug, Deserialize)]
pub(super) struct Npm {
    /// Package name by `std::env::consts::ARCH`.
    pub(super) package: BTreeMap<String, String>,
    /// Version by major release.
    #[serde(flatten)]
    pub(super) version: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kafka {
    pub(super) version: String,
    pub(super) scala: String,
    pub(super) log4j: String,
    pub(super) java_min: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Java {
    pub(super) version: String,
    pub(super) java_min: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Avro {
    pub(super) wheel: String,
    pub(super) wheel_version: String,
    pub(super) converter: String,
    pub(super) python_client: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Maven {
    pub(super) dependency_plugin: String,
}

/// Parses the file that was compiled in.
pub(super) fn versions() -> Result<Versions> {
    toml::from_str(include_str!("../../versions.toml")).context("crates/testkit/versions.toml")
}

#[cfg(test)]
mod tests {
    use super::super::POSTGRES_MAJORS;

    #[test]
    fn every_major_can_be_had_without_the_distribution() {
        let postgres = super::versions().unwrap().postgres;
        for major in POSTGRES_MAJORS {
            assert!(postgres.npm.version.contains_key(&major.to_string()), "PostgreSQL {major}");
        }
    }
}
