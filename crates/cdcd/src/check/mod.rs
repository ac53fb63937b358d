//! `cdcd check`: everything that is wrong with a connector before it runs, and the SQL that mends it.
//!
//! Nothing is changed: no topic, no slot, no publication. [`properties`] reads the file as the connector would,
//! [`source`], [`tables`] and [`slot`] look at PostgreSQL, [`kafka`] at the brokers, [`registry`] at
//! the schema registries, [`sink`] at the account;
//! [`report`] is what they fill.

mod heard;
mod kafka;
mod properties;
mod registry;
pub mod report;
mod sink;
mod slot;
mod source;
mod tables;

use std::io::Write as _;

use crate::connector::properties::Properties;
use crate::exit::{Exit, Failure};
use report::{Mark, Report};

/// `--output` of commands that report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Looks at everything, and prints what was found to standard output.
///
/// # Errors
/// Exit 2 when a finding keeps the connector from running.
pub async fn run(properties: Properties, format: ReportFormat) -> Result<(), Failure> {
    let report = look(properties).await;
    let text = match format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => format!("{}\n", report.json()),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(Exit::Unexpected, error).context("writing to standard output"))?;
    match report.count(Mark::Fail) {
        0 => Ok(()),
        count => Err(Failure::configuration(format!(
            "connector {}: {count} of {} findings must be mended before it can run",
            report.connector,
            report.findings.len()
        ))),
    }
}

/// The report of one connector.
pub async fn look(mut properties: Properties) -> Report {
    let mut report = Report::default();
    if properties::is_sink(&properties) {
        if let Some(settings) = properties::sink(&mut properties, &mut report) {
            sink::look(&settings, &mut report).await;
        }
    } else if let Some(settings) = properties::source(&mut properties, &mut report) {
        let brokers = kafka::look_at_source(&settings, &mut report).await;
        registry::look(&settings, &mut report).await;
        source::look(&settings, brokers, &mut report).await;
    }
    report
}

/// Whether the brokers answered: without them there is no position to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brokers {
    Answer,
    Silent,
}

/// An error with its causes, on one line.
fn chain(error: impl Into<Failure>) -> (String, Vec<String>) {
    let failure: Failure = error.into();
    let text = failure.render();
    let first = text.lines().next().unwrap_or_default();
    (first.strip_prefix("error: ").unwrap_or(first).to_owned(), failure.hints)
}
