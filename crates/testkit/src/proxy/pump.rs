//! One connection: two directions, each with a queue of chunks that wait for their time.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Counters, DELAY_MAX, Direction, Flow, Random, Settings, reset};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks that wait in one direction: 4 MiB, as much as a kernel buffers.
const QUEUE_CHUNKS: usize = 256;
/// A loopback target answers at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A throttled second is written in this many pieces, so that it flows rather than jerks.
const PIECES_PER_SECOND: u64 = 20;

/// Bytes and the time at which they may go on. No bytes: the sender has closed its direction.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
}

/// Forwards until both directions have ended, or one of them was cut.
pub(super) async fn connection(
    client: TcpStream,
    target: SocketAddr,
    identity: (u64, u64),
    settings: watch::Receiver<Settings>,
    counters: &Counters,
) {
    let Ok(Ok(server)) = timeout(CONNECT_LIMIT, TcpStream::connect(target)).await else {
        reset(&client);
        return;
    };
    // A delay is ours to choose, not Nagle's; without it the proxy is slower and nothing else.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut cut = settings.clone();
    let to_target = Pump::new(Direction::ToTarget, identity, settings.clone(), counters);
    let back = Pump::new(Direction::ToClient, identity, settings, counters);
    let was_cut = tokio::select! {
        ended = async {
            tokio::try_join!(
                to_target.run(&mut from_client, &mut to_server),
                back.run(&mut from_server, &mut to_client)
            )
        } => ended.is_err(),
        // An error means that the proxy is gone: the end of everything as well.
        _ = cut.wait_for(|settings| settings.ended || identity.0 < settings.cut_below) => true,
    };
    if was_cut {
        counters.cut.fetch_add(1, Ordering::SeqCst);
        for half in [to_client, to_server] {
            reset(half.as_ref());
            // Dropping it would say an orderly end first.
            half.forget();
        }
    }
}

/// One direction.
struct Pump<'c> {
    direction: Direction,
    /// Number of the connection.
    number: u64,
    settings: watch::Receiver<Settings>,
    counters: &'c Counters,
    random: Random,
    /// Of the connection's own delay, drawn once: its place between none and all of `skew`.
    skewed: f64,
}

impl<'c> Pump<'c> {
    fn new(
        direction: Direction,
        (number, seed): (u64, u64),
        settings: watch::Receiver<Settings>,
        counters: &'c Counters,
    ) -> Self {
        let way = match direction {
            Direction::ToTarget => 0,
            Direction::ToClient => 1,
        };
        // Both directions of a connection share its skew.
        let skewed = Random::new(seed, number * 2).fraction();
        Pump { direction, number, settings, counters, random: Random::new(!seed, number * 2 + way), skewed }
    }

    async fn run(self, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) -> Result<(), Cut> {
        let (queue, waiting) = mpsc::channel(QUEUE_CHUNKS);
        let Pump { direction, number, settings, counters, random, skewed } = self;
        let mut inlet = Inlet { number, settings: settings.clone(), counters, random, skewed };
        let mut outlet = Outlet { direction, settings, counters, torn: false };
        tokio::try_join!(inlet.read(reader, queue), outlet.write(writer, waiting)).map(|_| ())
    }
}

/// The connection was cut, or one of its sockets has failed.
struct Cut;

/// Reads, and decides when each chunk may go on.
struct Inlet<'c> {
    number: u64,
    settings: watch::Receiver<Settings>,
    counters: &'c Counters,
    random: Random,
    skewed: f64,
}

impl Inlet<'_> {
    async fn read(&mut self, reader: &mut OwnedReadHalf, queue: mpsc::Sender<Chunk>) -> Result<(), Cut> {
        let mut last = Instant::now();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = reader.read(&mut buffer).await.map_err(|_| Cut)?;
            let bytes = buffer.get(..read).unwrap_or_default().to_vec();
            let delay = self.delay();
            if !delay.is_zero() {
                self.counters.delayed.fetch_add(1, Ordering::SeqCst);
            }
            // Nothing overtakes on one connection.
            last = last.max(Instant::now() + delay);
            let is_end = bytes.is_empty();
            queue.send(Chunk { bytes, due: last }).await.map_err(|_| Cut)?;
            if is_end {
                return Ok(());
            }
        }
    }

    fn delay(&mut self) -> Duration {
        let settings = self.settings.borrow();
        let own = settings.delayed.filter(|(number, _)| *number == self.number).map(|(_, delay)| delay);
        let jitter = settings.jitter.mul_f64(self.random.fraction());
        let skew = settings.skew.mul_f64(self.skewed);
        (settings.latency + jitter + skew + own.unwrap_or_default()).min(DELAY_MAX)
    }
}

/// Writes what is due, as the direction's flow allows.
struct Outlet<'c> {
    direction: Direction,
    settings: watch::Receiver<Settings>,
    counters: &'c Counters,
    /// Bytes have vanished: nothing may follow them.
    torn: bool,
}

impl Outlet<'_> {
    async fn write(
        &mut self,
        writer: &mut OwnedWriteHalf,
        mut waiting: mpsc::Receiver<Chunk>,
    ) -> Result<(), Cut> {
        loop {
            let chunk = tokio::select! {
                chunk = waiting.recv() => chunk,
                healed = self.healed(), if self.torn => { healed?; return Err(Cut); }
            };
            let Some(Chunk { bytes, due }) = chunk else { return Ok(()) };
            sleep_until(due).await;
            match self.flow().await? {
                Flow::Swallow => {
                    self.counters.swallowed_bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    self.torn = true;
                }
                _ if self.torn => return Err(Cut),
                _ if bytes.is_empty() => return writer.shutdown().await.map_err(|_| Cut),
                _ => self.pass(writer, &bytes).await?,
            }
        }
    }

    /// The flow, once it is not to hold.
    async fn flow(&mut self) -> Result<Flow, Cut> {
        let direction = self.direction;
        if self.settings.borrow().flow(direction) == Flow::Hold {
            self.counters.held.fetch_add(1, Ordering::SeqCst);
        }
        let settings = self.settings.wait_for(|settings| settings.flow(direction) != Flow::Hold).await;
        settings.map(|settings| settings.flow(direction)).map_err(|_| Cut)
    }

    async fn healed(&self) -> Result<(), Cut> {
        let direction = self.direction;
        let mut settings = self.settings.clone();
        settings.wait_for(|settings| settings.flow(direction) != Flow::Swallow).await.map_err(|_| Cut)?;
        Ok(())
    }

    async fn pass(&self, writer: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<(), Cut> {
        let limit = self.settings.borrow().bytes_per_second.map(NonZeroU64::get);
        let piece = limit.map_or(bytes.len(), |limit| (limit / PIECES_PER_SECOND).max(1) as usize);
        for piece in bytes.chunks(piece.max(1)) {
            writer.write_all(piece).await.map_err(|_| Cut)?;
            self.counters.passed_bytes.fetch_add(piece.len() as u64, Ordering::SeqCst);
            if let Some(limit) = limit {
                self.counters.throttled.fetch_add(1, Ordering::SeqCst);
                let pause = Duration::from_secs_f64(piece.len() as f64 / limit as f64).min(DELAY_MAX);
                sleep_until(Instant::now() + pause).await;
            }
        }
        Ok(())
    }
}
