//! Child processes with a log each; ended when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cdcd_testkit::wait_until;

/// How long a part may take to deliver what it has read and to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    pub(crate) fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }

    /// The first line of the log that begins so.
    pub(crate) fn first_line(&self, start: &str) -> Result<Option<String>> {
        Ok(self.log()?.lines().find(|line| line.starts_with(start)).map(str::to_owned))
    }

    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error with the end of its log if the process is not there any more.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            let log = self.log()?;
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n");
            anyhow::bail!("{} ended with {status}:\n{tail}", self.name);
        }
        Ok(())
    }

    /// SIGTERM; the process must deliver, stop and exit 0.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        self.must_run()?;
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "kill -TERM {}", self.name);
        let what = format!("{} to stop", self.name);
        let status = wait_until(&what, STOP_LIMIT, || self.ended())?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
