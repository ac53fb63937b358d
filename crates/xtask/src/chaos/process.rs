//! Capture and sink as processes: started, killed, stopped, waited for.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cdcd_testkit::wait_until;

/// Lines of a log that an error shows.
const TAIL_LINES: usize = 12;
/// Bytes of a log that are looked at for them.
const TAIL_BYTES: u64 = 16 << 10;

/// The binary under test, beside this program or in the sister folder of the other profile.
pub(super) fn binary(release: bool) -> Result<PathBuf> {
    let me = std::env::current_exe().context("finding this program")?;
    let target = me.ancestors().nth(2).context("this program is not in a target folder")?;
    let binary = target.join(if release { "release" } else { "debug" }).join("cdcd");
    ensure!(binary.exists(), "{}: was not built", binary.display());
    Ok(binary)
}

/// A command of the binary, untouched by the shell's own database variables.
pub(super) fn cdcd(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"] {
        command.env_remove(variable);
    }
    command
}

/// A running `cdcd capture` or `cdcd sink`. Its output is appended to a log; it is ended when dropped.
#[derive(Debug)]
pub(super) struct Running {
    verb: &'static str,
    child: Child,
    log: PathBuf,
    /// Where this life begins in the log.
    begins: u64,
}

impl Running {
    pub(super) fn start(
        binary: &Path,
        verb: &'static str,
        connector: &Path,
        log: &Path,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{}", log.display()))?;
        writeln!(file, "---- {verb} starts").with_context(|| format!("{}", log.display()))?;
        let begins = file.metadata().with_context(|| format!("{}", log.display()))?.len();
        let mut command = cdcd(binary);
        command.arg(verb).arg(connector).args(args).envs(variables.iter().copied());
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {verb}"))?;
        Ok(Running { verb, child, log: log.to_owned(), begins })
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("looking at {}", self.verb))
    }

    /// What this life has said.
    pub(super) fn said(&self) -> Result<String> {
        let mut file = File::open(&self.log).with_context(|| format!("{}", self.log.display()))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.begins.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The last lines of what this life has said.
    pub(super) fn tail(&self) -> String {
        let said = self.said().unwrap_or_else(|error| format!("{error:#}"));
        let lines: Vec<&str> = said.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    /// kill -9. A process that has ended by itself is an error: the kill hit nothing.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!(
                "a kill would have hit a dead process: {} had ended with {status}:\n{}",
                self.verb,
                self.tail()
            );
        }
        self.child.kill().context("kill -9")?;
        self.child.wait().context("waiting for what was killed")?;
        Ok(())
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().context("kill")?;
        ensure!(sent.success(), "kill -{name} of {} failed", self.verb);
        Ok(())
    }

    /// Waits for the end.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_until(&format!("the end of {}", self.verb), limit, || self.ended()).with_context(|| self.tail())
    }

    /// SIGTERM; it must deliver, acknowledge and exit 0.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<()> {
        self.signal("TERM")?;
        let status = self.wait(limit)?;
        ensure!(status.success(), "{} ended with {status} on SIGTERM:\n{}", self.verb, self.tail());
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A stopped process takes a kill as well. Nothing can be done about a failure here.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end, or ends it at the limit.
pub(super) fn output(mut command: Command, limit: Duration) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting")?;
    // Both pipes are read while it runs: a full pipe would stop it.
    let mut streams = (child.stdout.take().context("pipe")?, child.stderr.take().context("pipe")?);
    let read = |stream: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        read.map(|_| bytes)
    };
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| read(&mut streams.0));
        let stderr = scope.spawn(|| read(&mut streams.1));
        let status = wait_until("the end of the command", limit, || Ok(child.try_wait()?));
        if status.is_err() {
            child.kill().context("kill")?;
            child.wait().context("wait")?;
        }
        let collect = |joined: std::thread::Result<std::io::Result<Vec<u8>>>| {
            joined.unwrap_or_else(|_| Err(std::io::Error::other("a reader panicked")))
        };
        let (stdout, stderr) = (collect(stdout.join())?, collect(stderr.join())?);
        Ok(Output { status: status?, stdout, stderr })
    })
}
