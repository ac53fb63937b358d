use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;

/// Longest that a test waits for bytes that must come.
const LIMIT: Duration = Duration::from_secs(10);
/// How long is looked for bytes that must not come.
const LOOK: Duration = Duration::from_millis(200);

/// A server that sends back what it gets, on as many connections as come.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer) {
                    if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn proxy(seed: u64) -> Proxy {
    Proxy::start("127.0.0.1:0".parse().unwrap(), echo(), seed).unwrap()
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends and takes the echo; gives the time that it took.
fn ask(stream: &mut TcpStream, text: &[u8]) -> Duration {
    let began = Instant::now();
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text);
    began.elapsed()
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(LOOK)).unwrap();
    let silent = matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    silent
}

fn is_reset(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn bytes_pass_in_order_and_both_ends_learn_of_a_close() {
    let proxy = proxy(1);
    let mut stream = connect(&proxy);
    let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    sender.join().unwrap();
    assert!(answer == text, "{} of {} bytes came back", answer.len(), text.len());
    assert_eq!(proxy.stats().passed_bytes, 2 * text.len() as u64);
}

#[test]
fn latency_holds_each_direction_up_and_ends_with_heal() {
    let proxy = proxy(1);
    let mut stream = connect(&proxy);
    ask(&mut stream, b"warm");
    proxy.latency(Duration::from_millis(150), Duration::ZERO);
    assert!(ask(&mut stream, b"slow") >= Duration::from_millis(300));
    assert!(proxy.stats().delayed >= 2);
    proxy.heal();
    assert!(ask(&mut stream, b"fast") < Duration::from_millis(150));
}

#[test]
fn a_throttled_direction_takes_its_time() {
    let proxy = proxy(1);
    let mut stream = connect(&proxy);
    proxy.throttle(NonZeroU64::new(20_000));
    let took = ask(&mut stream, &[7; 8_000]);
    assert!(took >= Duration::from_millis(350), "8,000 bytes at 20,000 a second took {took:?}");
    assert!(proxy.stats().throttled >= 8);
}

#[test]
fn a_cut_resets_all_open_connections_and_no_later_one() {
    let proxy = proxy(1);
    let (mut first, mut second) = (connect(&proxy), connect(&proxy));
    ask(&mut first, b"one");
    ask(&mut second, b"two");
    assert_eq!(proxy.cut(), 2);
    assert!(is_reset(&mut first) && is_reset(&mut second));
    ask(&mut connect(&proxy), b"three");
    assert_eq!(proxy.stats().cut, 2);
}

#[test]
fn a_shut_door_resets_new_connections_only() {
    let proxy = proxy(1);
    let mut inside = connect(&proxy);
    ask(&mut inside, b"one");
    proxy.door(Door::Shut);
    assert!(is_reset(&mut connect(&proxy)));
    ask(&mut inside, b"two");
    proxy.door(Door::Open);
    ask(&mut connect(&proxy), b"three");
    assert_eq!(proxy.stats().refused, 1);
}

#[test]
fn held_bytes_arrive_later_and_none_is_lost() {
    let proxy = proxy(1);
    let mut stream = connect(&proxy);
    ask(&mut stream, b"one");
    proxy.flow(Direction::ToClient, Flow::Hold);
    stream.write_all(b"two").unwrap();
    assert!(is_silent(&mut stream) && proxy.stats().held == 1);
    proxy.flow(Direction::ToClient, Flow::Pass);
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"two");
}

#[test]
fn swallowed_bytes_never_arrive_and_heal_resets_the_connection_that_lost_them() {
    for direction in [Direction::ToTarget, Direction::ToClient] {
        let proxy = proxy(1);
        let (mut loser, mut idle) = (connect(&proxy), connect(&proxy));
        ask(&mut loser, b"one");
        ask(&mut idle, b"one");
        proxy.flow(direction, Flow::Swallow);
        loser.write_all(b"two").unwrap();
        assert!(is_silent(&mut loser), "{direction:?}");
        assert!(proxy.stats().swallowed_bytes >= 3 && proxy.stats().open == 2, "{:?}", proxy.stats());
        proxy.heal();
        assert!(is_reset(&mut loser), "{direction:?}");
        ask(&mut idle, b"three");
    }
}

#[test]
fn a_delayed_connection_is_overtaken_by_a_later_one() {
    let proxy = proxy(1);
    let (mut first, mut second) = (connect(&proxy), connect(&proxy));
    // Numbers are given as connections are taken: let the first be the first.
    ask(&mut first, b"one");
    ask(&mut second, b"one");
    proxy.delay_connection(0, Duration::from_millis(300));
    first.write_all(b"sent first").unwrap();
    assert!(ask(&mut second, b"sent second") < Duration::from_millis(300));
    assert!(is_silent(&mut first));
    let mut answer = [0; 10];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"sent first");
}

#[test]
fn a_seed_determines_who_is_late() {
    let skews = |seed: u64| -> Vec<u64> {
        (0..8).map(|number| (Random::new(seed, number * 2).fraction() * 1e6) as u64).collect()
    };
    assert_eq!(skews(7), skews(7));
    assert_ne!(skews(7), skews(8));
    assert!(skews(7).iter().any(|part| *part < 500_000) && skews(7).iter().any(|part| *part >= 500_000));
}

#[test]
fn a_target_that_does_not_run_resets_the_client() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), nobody, 1).unwrap();
    assert!(is_reset(&mut connect(&proxy)));
}

#[test]
fn delays_have_a_bound() {
    let proxy = proxy(1);
    proxy.latency(Duration::MAX, Duration::MAX);
    proxy.skew(Duration::MAX);
    let settings = proxy.settings.borrow().clone();
    assert_eq!((settings.latency, settings.jitter, settings.skew), (DELAY_MAX, DELAY_MAX, DELAY_MAX));
}
