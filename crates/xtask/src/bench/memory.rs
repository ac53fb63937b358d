//! Memory over a long backlog, and the time from a start to the first event.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Args;
use super::drain::Backlog;
use super::live::Live;
use super::measure;
use super::stage;

const SLOT: &str = "memory";

/// Contenders: name, arguments, properties.
type Contender = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const CONTENDERS: [Contender; 3] = [
    ("cdcd to nothing", &["--output", "null"], &[]),
    ("cdcd into Kafka, at least once", &[], &[("cdcd.delivery", "at-least-once")]),
    ("cdcd into Kafka, exactly once", &[], &[]),
];

pub(super) fn run(args: &Args) -> Result<Value> {
    let backlog = Backlog::prepare(args)?;
    let conditions = stage::conditions(args.pg);
    println!("{} changes in one go, {conditions}", args.changes);
    println!("{:<34}{:>12}{:>26}", "", "most, MiB", "slope, MiB per 10 M");
    let mut rows = Vec::new();
    for (index, contender) in CONTENDERS.iter().enumerate() {
        if args.only.as_ref().is_some_and(|part| !contender.0.contains(part)) {
            continue;
        }
        let (most, slope) = watch(&backlog, contender, index)?;
        println!("{:<34}{most:>12.1}{slope:>26.2}", contender.0);
        rows.push(json!({"name": contender.0, "rss_mib": most, "slope_mib_per_10m": slope}));
    }
    let first_ms = first_event(&backlog, args.runs)?;
    println!("from the start of the process to the first event, warm slot: {first_ms:.0} ms");
    let report = json!({
        "changes": args.changes, "conditions": conditions, "contenders": rows, "first_event_ms": first_ms,
    });
    stage::write_report("memory", &report)?;
    Ok(report)
}

/// Most memory, and how it grows by the events from a quarter of the way on (least squares).
fn watch(backlog: &Backlog<'_>, (_, args, properties): &Contender, index: usize) -> Result<(f64, f64)> {
    let slot = format!("{SLOT}_{index}");
    backlog.copy_slot(&slot)?;
    let mut command = backlog.capture(&slot, args, properties)?;
    command.args(["--stats-interval", "100ms"]);
    let mut live = Live::start(command)?;
    let mut samples: Vec<(f64, f64)> = Vec::new();
    let changes = backlog.stage.args.changes;
    let most = live.until("the end of the backlog", |live| {
        let (now, most) = live.rss()?;
        let events = live.figures.map_or(0, |figures| figures.events);
        if events >= changes / 4 && events < changes {
            samples.push((events as f64, now));
        }
        Ok((events >= changes).then_some(most))
    })?;
    drop(live);
    std::thread::sleep(Duration::from_millis(500));
    backlog.drop_slot(&slot)?;
    ensure!(samples.len() >= 5, "{} samples are too few: more --changes", samples.len());
    Ok((most, slope(&samples) * 1e7))
}

/// Of the line through the samples.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let (mean_x, mean_y) = (
        samples.iter().map(|(x, _)| x).sum::<f64>() / count,
        samples.iter().map(|(_, y)| y).sum::<f64>() / count,
    );
    let over: f64 = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    over / under
}

/// Milliseconds until the first byte of the first event, the median of several starts.
fn first_event(backlog: &Backlog<'_>, runs: usize) -> Result<f64> {
    let mut times = Vec::new();
    for run in 0..runs.max(1) {
        let slot = format!("{SLOT}_first_{run}");
        backlog.copy_slot(&slot)?;
        let mut command = backlog.capture(&slot, &["--output", "stdout"], &[])?;
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut byte = [0];
        child.stdout.take().context("no standard output")?.read_exact(&mut byte)?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        child.kill()?;
        child.wait()?;
        std::thread::sleep(Duration::from_millis(500));
        backlog.drop_slot(&slot)?;
    }
    Ok(measure::middle(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found() {
        let samples: Vec<(f64, f64)> = (0..10).map(|i| (f64::from(i), 3.0 + 0.5 * f64::from(i))).collect();
        assert!((slope(&samples) - 0.5).abs() < 1e-12);
    }
}
