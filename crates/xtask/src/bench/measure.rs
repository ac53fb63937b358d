//! A command's time, CPU and memory, and the server's CPU meanwhile.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::services::Postgres;
use serde::Serialize;

/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Bound on one command.
const LIMIT: Duration = Duration::from_secs(600);
/// Ticks of the kernel's accounting in a second, on every Linux.
const TICKS: f64 = 100.0;

/// What one run cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// CPU-seconds of the command and of what it has started.
    pub(super) cpu: f64,
    /// CPU-seconds of the server's processes that ended meanwhile: the walsender.
    pub(super) server_cpu: f64,
    /// Most resident memory, MiB.
    pub(super) rss_mib: f64,
}

/// Fields of `/proc/<pid>/stat` behind the name: state is the first.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("stat without a name")?;
    Ok(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], range: std::ops::Range<usize>) -> f64 {
    let sum: u64 =
        fields.get(range).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    sum as f64 / TICKS
}

/// CPU-seconds of the server's processes that have ended.
pub(super) fn server_cpu(postgres: &Postgres) -> Result<f64> {
    // The session's own parent is the postmaster; the session itself has ended when it is looked up.
    let answer = postgres.psql("postgres", "SELECT pg_read_file('postmaster.pid', 0, 20)")?;
    let pid: u32 = answer.lines().next().unwrap_or_default().trim().parse().context("postmaster.pid")?;
    Ok(ticks(&stat(pid)?, 13..15))
}

/// CPU-seconds of a process so far.
pub(super) fn cpu(pid: u32) -> Result<f64> {
    Ok(ticks(&stat(pid)?, 11..13))
}

/// Runs a command to its end, which must be a good one.
pub(super) fn run(mut command: Command, postgres: &Postgres) -> Result<Cost> {
    let before = server_cpu(postgres)?;
    let log = tempfile::NamedTempFile::new()?;
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.reopen()?)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let (pid, mut rss_mib) = (child.id(), 0.0f64);
    let cpu = loop {
        let fields = stat(pid)?;
        if fields.first().is_some_and(|state| state == "Z") {
            break ticks(&fields, 11..15);
        }
        rss_mib = rss_mib.max(rss(pid).unwrap_or_default());
        if began.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} took longer than {} s", LIMIT.as_secs());
        }
        std::thread::sleep(LOOK);
    };
    let seconds = began.elapsed().as_secs_f64();
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}: {}", std::fs::read_to_string(log.path())?);
    // The walsender ends a moment later.
    std::thread::sleep(Duration::from_millis(300));
    Ok(Cost { seconds, cpu, server_cpu: server_cpu(postgres)? - before, rss_mib })
}

/// Most resident memory of a process so far, MiB.
pub(super) fn rss(pid: u32) -> Option<f64> {
    status_mib(pid, "VmHWM:")
}

/// Resident memory of a process now, MiB.
pub(super) fn rss_now(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

fn status_mib(pid: u32, field: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    Some(line.split_ascii_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// The one in the middle.
pub(super) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The run in the middle by its time.
pub(super) fn median(mut runs: Vec<Cost>) -> Option<Cost> {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs.get(runs.len() / 2).copied()
}
