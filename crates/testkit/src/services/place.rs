//! Where state and downloads live, who owns them, and the locks that put processes in order.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::progress::Step;

/// Ports are taken from here: below Linux's default range for outgoing connections (32768-60999), so that no
/// connection of a test can sit on a port between the moment it is chosen and the moment it is bound.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How many ports are tried before giving up: more taken ones in a row than a machine has services.
const PORT_ATTEMPTS: u32 = 200;

/// A user id and group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Who runs this process.
pub(super) fn me() -> Result<Owner> {
    let meta = fs::metadata("/proc/self").context("/proc/self: services need Linux's /proc")?;
    Ok(Owner { uid: meta.uid(), gid: meta.gid() })
}

/// The workspace root: the checkout that this binary was compiled from.
fn checkout() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// The state directory of this checkout; made if missing.
fn state_dir() -> Result<PathBuf> {
    if let Some(dir) = env_dir("CDCD_SERVICES_DIR")? {
        return made(dir);
    }
    let checkout = checkout();
    // PostgreSQL refuses to run as root, and its own user cannot pass a folder that only root may enter.
    if me()?.uid != 0 || reachable_by_others(checkout) {
        return made(checkout.join(".services"));
    }
    let mut hasher = DefaultHasher::new();
    checkout.hash(&mut hasher);
    made(PathBuf::from(format!("/var/tmp/cdcd-services-{:016x}", hasher.finish())))
}

/// A state directory inside of the checkout's own, for a purpose such as `demo`.
pub(super) fn state_dir_for(purpose: &str) -> Result<PathBuf> {
    made(state_dir()?.join(purpose))
}

/// The download cache, shared by all checkouts of this user; made if missing.
pub(super) fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = env_dir("CDCD_CACHE_DIR")? {
        return made(dir);
    }
    if me()?.uid == 0 {
        return made(PathBuf::from("/var/cache/cdcd"));
    }
    let cache = match (env_dir("XDG_CACHE_HOME")?, env_dir("HOME")?) {
        (Some(cache), _) => cache,
        (None, Some(home)) => home.join(".cache"),
        (None, None) => bail!("no place for downloads: set CDCD_CACHE_DIR or HOME"),
    };
    made(cache.join("cdcd"))
}

fn env_dir(name: &str) -> Result<Option<PathBuf>> {
    match std::env::var_os(name) {
        Some(value) if !value.is_empty() => {
            let dir = PathBuf::from(value);
            ensure!(dir.is_absolute(), "{name}={}: must be an absolute path", dir.display());
            Ok(Some(dir))
        }
        _ => Ok(None),
    }
}

/// Whether another user may enter this folder and all above it.
fn reachable_by_others(dir: &Path) -> bool {
    dir.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// Makes a folder that others may enter but not write, and refuses one that belongs to somebody else
/// (a name below /var/tmp can be guessed).
fn made(dir: PathBuf) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&dir)
        .with_context(|| format!("{}", dir.display()))?;
    let owner = fs::metadata(&dir).with_context(|| format!("{}", dir.display()))?.uid();
    let me = me()?.uid;
    ensure!(owner == me, "{}: belongs to user {owner}, not to user {me}", dir.display());
    Ok(dir)
}

/// The names of all rooms that exist.
pub(super) fn state_names() -> Result<Vec<String>> {
    let dir = state_dir()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))? {
        let entry = entry.with_context(|| format!("{}", dir.display()))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

/// The cache folder `name`, made in one step: a run that was cut off leaves nothing that looks complete.
pub(super) fn filled(name: &str, source: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let dir = cache.join(name);
    let _lock = lock(&cache.join(format!("{name}.lock")))?;
    if dir.exists() {
        return Ok(dir);
    }
    let step = Step::start(format!("{name} from {source}: download"));
    let new = cache.join(format!("{name}.new"));
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("{}", new.display()))?;
    }
    fs::create_dir(&new).with_context(|| format!("{}", new.display()))?;
    fill(&new)?;
    fs::rename(&new, &dir).with_context(|| format!("{}", dir.display()))?;
    step.done("");
    Ok(dir)
}

/// An exclusive lock between processes; released when dropped.
#[must_use = "the lock is held until this is dropped"]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

/// Waits for the lock on `path`; the file stays behind.
pub(super) fn lock(path: &Path) -> Result<Lock> {
    let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(path);
    let file = open().with_context(|| format!("{}", path.display()))?;
    file.lock().with_context(|| format!("{}: lock", path.display()))?;
    Ok(Lock(file))
}

/// What the last start of a service left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Main process.
    pub(super) pid: u32,
    /// Start time of that process, in clock ticks since boot: ids are used again, this pair is not.
    pub(super) started: u64,
    /// The port that clients use.
    pub(super) port: u16,
    /// A further port (Kafka's controller, the registry's management).
    pub(super) port2: u16,
    /// A listener that clients reach through a proxy only, and the port on which that proxy must listen.
    #[serde(default)]
    pub(super) behind: u16,
    #[serde(default)]
    pub(super) front: u16,
    /// What clients need to log in; empty where there is none.
    pub(super) password: String,
}

/// The folder of one service: `<state>/<id>/`, with its lock and its state file.
#[derive(Debug)]
pub(super) struct Room {
    dir: PathBuf,
}

impl Room {
    /// The room of the service `id`; made if missing.
    pub(super) fn open(id: &str) -> Result<Self> {
        Ok(Self { dir: made(state_dir()?.join(id))? })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Only the holder starts or stops the service.
    pub(super) fn lock(&self) -> Result<Lock> {
        lock(&self.dir.with_extension("lock"))
    }

    /// The state that the last start left, or `None`.
    pub(super) fn state(&self) -> Result<Option<State>> {
        let path = self.path("state.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).with_context(|| format!("{}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }

    /// Stores the state in one step, readable by the owner only.
    pub(super) fn store(&self, state: &State) -> Result<()> {
        let State { pid, started, port, port2, behind, front, password } = state;
        let text = format!(
            "pid = {pid}\nstarted = {started}\nport = {port}\nport2 = {port2}\nbehind = {behind}\nfront = {front}\n\
             password = \"{password}\"\n"
        );
        let (new, path) = (self.path("state.new"), self.path("state.toml"));
        write_private(&new, &text)?;
        fs::rename(&new, &path).with_context(|| format!("{}", path.display()))
    }

    /// Removes everything of this service but its lock file; returns whether there was anything to remove.
    pub(super) fn remove(&self) -> Result<bool> {
        let empty =
            fs::read_dir(&self.dir).with_context(|| format!("{}", self.dir.display()))?.next().is_none();
        fs::remove_dir_all(&self.dir).with_context(|| format!("{}", self.dir.display()))?;
        Ok(!empty)
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{}", path.display()))
}

/// `wanted` if nobody listens there, else another free port.
pub(super) fn free_port(wanted: Option<u16>) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    if let Some(port) = wanted.filter(is_free) {
        return Ok(port);
    }
    let span = u64::from(PORTS.end - PORTS.start);
    for _ in 0..PORT_ATTEMPTS {
        let step = u16::try_from(random_u64()? % span).unwrap_or(0);
        if let Some(port) = Some(PORTS.start + step).filter(is_free) {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {} on 127.0.0.1", PORTS.start, PORTS.end)
}

/// A random number from the kernel.
pub(super) fn random_u64() -> Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("/dev/urandom")?;
    Ok(u64::from_ne_bytes(bytes))
}
