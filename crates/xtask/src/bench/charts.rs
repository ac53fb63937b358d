//! Bars of the last reports, as SVG for the README.

use anyhow::{Context as _, Result};
use plotters::prelude::*;
use serde_json::Value;

const FOLDER: &str = "docs/charts";
const WIDTH: u32 = 860;
/// Height of the title, and of one bar with the space around it.
const TITLE: u32 = 44;
const BAR: u32 = 30;
/// Where bars begin, and the room that figures need behind the longest.
const LEFT: i32 = 300;
const RIGHT: i32 = 110;
const OURS: RGBColor = RGBColor(0x2f, 0x6f, 0xb7);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa0, 0xa6);

/// One chart of one field of a report.
struct Chart {
    report: &'static str,
    field: &'static str,
    title: &'static str,
}

const CHARTS: [Chart; 4] = [
    Chart {
        report: "drain",
        field: "events_per_s",
        title: "One slot's backlog, events a second (more is better)",
    },
    Chart {
        report: "drain",
        field: "cpu_s_per_million",
        title: "CPU-seconds per million events (less is better)",
    },
    Chart { report: "latency", field: "p50_ms", title: "COMMIT to consumer, ms, median (less is better)" },
    Chart {
        report: "latency",
        field: "p99_ms",
        title: "COMMIT to consumer, ms, 99th percentile (less is better)",
    },
];

/// Draws what `target/bench` holds.
pub(super) fn run() -> Result<()> {
    std::fs::create_dir_all(FOLDER)?;
    for chart in &CHARTS {
        let path = format!("{FOLDER}/{}-{}.svg", chart.report, chart.field.replace('_', "-"));
        let bars = bars(chart).with_context(|| format!("run `cargo xtask bench {}` first", chart.report))?;
        draw(&path, chart.title, &bars)?;
        println!("{path}");
    }
    Ok(())
}

fn bars(chart: &Chart) -> Result<Vec<(String, f64)>> {
    let path = format!("target/bench/{}.json", chart.report);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).context(path)?)?;
    let all = report.get("contenders").and_then(Value::as_array).context("a report without contenders")?;
    all.iter()
        .map(|one| {
            let name = one.get("name").and_then(Value::as_str).context("a contender without a name")?;
            let figure = one.get(chart.field).and_then(Value::as_f64).context(chart.field)?;
            Ok((name.to_owned(), figure))
        })
        .collect()
}

fn draw(path: &str, title: &str, bars: &[(String, f64)]) -> Result<()> {
    let area = SVGBackend::new(path, (WIDTH, TITLE + BAR * bars.len() as u32 + 10)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(title, (16, 14), ("sans-serif", 18).into_font()))?;
    let most = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(WIDTH as i32 - LEFT - RIGHT);
    let label = ("sans-serif", 15).into_font();
    for (nth, (name, figure)) in bars.iter().enumerate() {
        let top = (TITLE + BAR * nth as u32) as i32;
        let end = LEFT + (room * figure / most).max(1.0) as i32;
        let color = if name.starts_with("cdcd") { OURS } else { THEIRS };
        area.draw(&Text::new(name.as_str(), (16, top + 4), label.clone()))?;
        area.draw(&Rectangle::new([(LEFT, top), (end, top + 22)], color.filled()))?;
        area.draw(&Text::new(short(*figure), (end + 8, top + 4), label.clone()))?;
    }
    area.present()?;
    Ok(())
}

/// Three digits that matter.
fn short(figure: f64) -> String {
    match figure {
        f if f >= 10_000.0 => format!("{:.0} k", f / 1e3),
        f if f >= 100.0 => format!("{f:.0}"),
        f if f >= 10.0 => format!("{f:.1}"),
        f => format!("{f:.2}"),
    }
}
