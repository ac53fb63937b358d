//! A TCP proxy that does to connections what networks do: delay, throttle, cut, half-open, refuse, reorder.
//!
//! It listens on a loopback port and forwards to one target. Everything can be changed while it runs; every delay has a
//! bound; what is random comes from a seed. It runs on a thread of its own, so tests need no runtime.
//!
//! Bytes of one direction of one connection always stay in order, as TCP keeps them. Between connections there is no
//! order, and [`Proxy::skew`] and [`Proxy::delay_connection`] make that felt: what was sent later on one connection
//! arrives earlier than what was sent before on another.

mod pump;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest delay of any kind: longer than every timeout that a test waits for, and an end to every test.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// They wait, and the sender feels it: a peer that does not read.
    Hold,
    /// They vanish while both sockets stay open: a path without a way back. A connection that has lost bytes is reset
    /// when its bytes pass again, as its peer would do.
    Swallow,
}

/// What happens to new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// They are taken.
    #[default]
    Open,
    /// They are reset.
    Shut,
}

/// Direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// Back.
    ToClient,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    latency: Duration,
    jitter: Duration,
    skew: Duration,
    delayed: Option<(u64, Duration)>,
    bytes_per_second: Option<NonZeroU64>,
    to_target: Flow,
    to_client: Flow,
    door: Door,
    /// Connections with a lower number are cut.
    cut_below: u64,
    ended: bool,
}

impl Settings {
    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToTarget => self.to_target,
            Direction::ToClient => self.to_client,
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    delayed: AtomicU64,
    held: AtomicU64,
    throttled: AtomicU64,
    passed_bytes: AtomicU64,
    swallowed_bytes: AtomicU64,
}

/// What has happened so far: a test proves with it that its faults were felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections that were taken.
    pub accepted: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were reset at the door.
    pub refused: u64,
    /// Connections that were cut while open.
    pub cut: u64,
    /// Chunks that were delayed.
    pub delayed: u64,
    /// Chunks that had to wait for a flow that was held.
    pub held: u64,
    /// Pieces that were followed by a pause.
    pub throttled: u64,
    /// Bytes that passed, both directions.
    pub passed_bytes: u64,
    /// Bytes that vanished.
    pub swallowed_bytes: u64,
}

/// A running proxy; ends with all its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    settings: watch::Sender<Settings>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on `listen` (port 0 for any) and forwards to `target`, which need not run yet.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(listen: SocketAddr, target: SocketAddr, seed: u64) -> Result<Self> {
        let (settings, watched) = watch::channel(Settings::default());
        let counters = Arc::new(Counters::default());
        let (bound, binding) = mpsc::channel();
        let shared = counters.clone();
        let serve = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return bound.send(Err(error)).unwrap_or_default(),
            };
            runtime.block_on(async move {
                let listener = match TcpListener::bind(listen).await {
                    Ok(listener) => listener,
                    Err(error) => return bound.send(Err(error)).unwrap_or_default(),
                };
                bound.send(listener.local_addr()).unwrap_or_default();
                accept(&listener, target, seed, watched, shared).await;
            });
        };
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(serve).context("proxy")?;
        let address = binding.recv().map_err(|_| anyhow!("the proxy's thread ended"))?;
        let address = address.with_context(|| format!("proxy: cannot listen on {listen}"))?;
        Ok(Proxy { address, settings, counters, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays every chunk of both directions by this and a random part of `jitter`, each at most [`DELAY_MAX`].
    pub fn latency(&self, latency: Duration, jitter: Duration) {
        self.change(|settings| {
            settings.latency = latency.min(DELAY_MAX);
            settings.jitter = jitter.min(DELAY_MAX);
        });
    }

    /// Delays each connection by a random time of its own, up to this and [`DELAY_MAX`].
    pub fn skew(&self, skew: Duration) {
        self.change(|settings| settings.skew = skew.min(DELAY_MAX));
    }

    /// Delays one connection, by its number (0 is the first that was taken), and no other.
    pub fn delay_connection(&self, number: u64, delay: Duration) {
        self.change(|settings| settings.delayed = Some((number, delay.min(DELAY_MAX))));
    }

    /// Bounds the bytes per second of each direction of each connection.
    pub fn throttle(&self, bytes_per_second: Option<NonZeroU64>) {
        self.change(|settings| settings.bytes_per_second = bytes_per_second);
    }

    /// Decides what becomes of the bytes of one direction.
    pub fn flow(&self, direction: Direction, flow: Flow) {
        self.change(|settings| match direction {
            Direction::ToTarget => settings.to_target = flow,
            Direction::ToClient => settings.to_client = flow,
        });
    }

    /// Decides what happens to new connections.
    pub fn door(&self, door: Door) {
        self.change(|settings| settings.door = door);
    }

    /// Resets all connections, both ways; returns how many there were.
    pub fn cut(&self) -> u64 {
        let open = self.counters.open.load(Ordering::SeqCst);
        let below = self.counters.accepted.load(Ordering::SeqCst);
        self.change(|settings| settings.cut_below = below);
        open
    }

    /// Ends all faults. Connections that have lost bytes are reset.
    pub fn heal(&self) {
        self.change(|settings| {
            *settings = Settings { cut_below: settings.cut_below, ..Settings::default() };
        });
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let Counters {
            accepted,
            open,
            refused,
            cut,
            delayed,
            held,
            throttled,
            passed_bytes,
            swallowed_bytes,
        } = &*self.counters;
        Stats {
            accepted: read(accepted),
            open: read(open),
            refused: read(refused),
            cut: read(cut),
            delayed: read(delayed),
            held: read(held),
            throttled: read(throttled),
            passed_bytes: read(passed_bytes),
            swallowed_bytes: read(swallowed_bytes),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|settings| settings.ended = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("testkit: the proxy's thread panicked");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    target: SocketAddr,
    seed: u64,
    mut settings: watch::Receiver<Settings>,
    counters: Arc<Counters>,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A client that was gone again, or no free descriptor: the next may do better.
                Err(_) => continue,
            },
            changed = settings.changed() => {
                if changed.is_err() || settings.borrow().ended {
                    return;
                }
                continue;
            }
        };
        if settings.borrow().door == Door::Shut {
            counters.refused.fetch_add(1, Ordering::SeqCst);
            reset(&stream);
            continue;
        }
        let number = counters.accepted.fetch_add(1, Ordering::SeqCst);
        let (settings, counters) = (settings.clone(), counters.clone());
        tokio::spawn(async move {
            counters.open.fetch_add(1, Ordering::SeqCst);
            pump::connection(stream, target, (number, seed), settings, &counters).await;
            counters.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Makes closing this socket a reset.
fn reset(stream: &TcpStream) {
    // On a socket that is closed already there is nothing to reset.
    let _ = stream.set_zero_linger();
}

/// Random numbers that a seed determines (splitmix64).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Random(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below 1, evenly.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
