//! Real services for tests: PostgreSQL 14-18, Apache Kafka, a schema registry, Kafka Connect with Debezium; and a
//! [`proxy`] that does to their connections what networks do.
//!
//! `cargo xtask services` is a thin command line over [`services`].

pub mod proxy;
pub mod services;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often [`wait_until`] looks: below what a person notices, above busy waiting.
const WAIT_POLL: Duration = Duration::from_millis(20);

/// Looks until `found` returns something, at most for `limit`; blocking.
///
/// # Errors
/// The first error of `found`, or that `what` did not happen in time.
pub fn wait_until<T>(what: &str, limit: Duration, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = found()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {:.1} s", limit.as_secs_f64());
        }
        sleep(WAIT_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_until_returns_what_was_found_and_says_what_was_not() {
        let mut looks = 0;
        let found = wait_until("third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
        let missed = wait_until::<()>("a miracle", Duration::ZERO, || Ok(None)).unwrap_err().to_string();
        assert!(missed.contains("a miracle"), "{missed}");
    }
}
