//! Server processes: started apart from their parent, recognised again by id and start time, ended by that.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::place::{Room, State};

/// How often a starting or stopping server is looked at: far below any start time, far above busy waiting.
const POLL: Duration = Duration::from_millis(50);

/// After this a server that was asked to end is killed: Kafka's controlled shutdown takes up to 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection on the loopback either succeeds or fails at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of a log is shown when a start fails.
const LOG_TAIL_LINES: usize = 30;

/// Start time of a living process in clock ticks since boot, or `None` if there is none (a zombie counts as none).
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state ppid …`: the name may hold blanks and brackets. State is field 3, start time field 22.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// The state of the room if its process still lives and its port answers.
pub(super) fn living(room: &Room) -> Result<Option<State>> {
    Ok(room.state()?.filter(|state| start_time(state.pid) == Some(state.started) && answers(state.port)))
}

/// Whether somebody accepts connections on this loopback port.
pub(super) fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT_TIMEOUT).is_ok()
}

/// Runs a command to its end; an error shows the command's own words.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name}: does not start"))?;
    if !output.status.success() {
        let words =
            [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).join("\n");
        bail!("{name}: {}\n{}", output.status, tail(&words));
    }
    Ok(output)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default().join("\n")
}

/// Starts a server in the background, with its output in `log`, and waits until `ready(log text)` holds.
/// Returns its id and start time.
///
/// It gets a process group of its own, so that Ctrl-C on a test run does not end it.
pub(super) fn spawn(
    mut command: Command,
    log: &Path,
    limit: Duration,
    ready: impl Fn(&str) -> bool,
) -> Result<(u32, u64)> {
    let open = || OpenOptions::new().create(true).truncate(true).write(true).open(log);
    let out = open().with_context(|| format!("{}", log.display()))?;
    let err = out.try_clone().with_context(|| format!("{}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("{name}: does not start"))?;
    let deadline = Instant::now() + limit;
    loop {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        if let Some(status) = child.try_wait().with_context(|| name.clone())? {
            bail!("{name}: ended with {status} while starting; end of {}:\n{}", log.display(), tail(&text));
        }
        if ready(&text) {
            let started = start_time(child.id()).with_context(|| format!("{name}: ended after its start"))?;
            return Ok((child.id(), started));
        }
        if Instant::now() > deadline {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("{name}: kill"))?;
            let seconds = limit.as_secs();
            bail!("{name}: not ready within {seconds} s; end of {}:\n{}", log.display(), tail(&text));
        }
        sleep(POLL);
    }
}

/// Ends the room's process if it is still the one that was started; returns whether it was.
pub(super) fn stop(room: &Room) -> Result<bool> {
    let Some(state) = room.state()? else { return Ok(false) };
    let lives = || start_time(state.pid) == Some(state.started);
    if !lives() {
        return Ok(false);
    }
    // PostgreSQL waits for its clients on SIGTERM and ends them on SIGINT; the Java servers take both alike.
    for signal in ["INT", "KILL"] {
        run(Command::new("sh").args(["-c", &format!("kill -{signal} {}", state.pid)]))?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while lives() && Instant::now() < deadline {
            sleep(POLL);
        }
        if !lives() {
            return Ok(true);
        }
    }
    bail!("process {}: does not end, not even on SIGKILL", state.pid)
}

/// What can be done to a service besides stopping it in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGQUIT: for PostgreSQL an immediate shutdown, that is a crash of all its processes.
    Quit,
    /// SIGSTOP: it lives, and does nothing.
    Stop,
    /// SIGCONT.
    Continue,
}

/// Signals the room's process, which must live; waits for its end where the signal ends it.
pub(super) fn signal(room: &Room, signal: Signal) -> Result<()> {
    let state = room.state()?.context("was never started")?;
    let lives = || start_time(state.pid) == Some(state.started);
    if !lives() {
        bail!("process {}: does not live any more, so {signal:?} cannot hit it", state.pid);
    }
    let (name, ends) = match signal {
        Signal::Kill => ("KILL", true),
        Signal::Quit => ("QUIT", true),
        Signal::Stop => ("STOP", false),
        Signal::Continue => ("CONT", false),
    };
    run(Command::new("sh").args(["-c", &format!("kill -{name} {}", state.pid)]))?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    while ends && lives() {
        if Instant::now() > deadline {
            bail!("process {}: does not end on SIG{name}", state.pid);
        }
        sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_tells_the_living_from_the_dead() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = start_time(child.id()).unwrap();
        assert!(started > 0);
        assert_eq!(start_time(child.id()), Some(started));
        child.kill().unwrap();
        // Not waited for yet: a zombie.
        while start_time(child.id()).is_some() {
            sleep(POLL);
        }
        child.wait().unwrap();
        assert_eq!(start_time(child.id()), None);
    }

    #[test]
    fn failed_command_shows_its_own_words() {
        let error =
            run(Command::new("sh").args(["-c", "echo the reason >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("the reason") && error.contains('3'), "{error}");
    }

    #[test]
    fn server_that_ends_while_starting_shows_its_log() {
        let log = std::env::temp_dir().join(format!("cdcd-testkit-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo port is taken; exit 1"]);
        let error = spawn(command, &log, Duration::from_secs(10), |_| false).unwrap_err().to_string();
        assert!(error.contains("port is taken"), "{error}");
        fs::remove_file(log).unwrap();
    }
}
