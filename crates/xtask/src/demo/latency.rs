//! From the insert into PostgreSQL to the moment when a query on the warehouse sees the row.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::warehouse::Warehouse;

#[derive(Default)]
pub(super) struct Latency {
    /// Milliseconds, one a row; a demo's worth of rows is small.
    samples: Vec<f64>,
    /// Highest Kafka offset seen.
    offset: Option<i64>,
    rows: u64,
}

impl Latency {
    /// Takes the rows that became visible since the last look; gives the number of rows so far.
    ///
    /// Rows that were there at the first look came out of the snapshot, and are counted but not timed.
    pub(super) fn look(&mut self, warehouse: &Warehouse, table: &str) -> Result<u64> {
        let since = self.offset.unwrap_or(-1);
        let query = format!(
            "SELECT record_metadata:offset::int, ((record_content:payload):after):inserted_at::int, \
             ((record_content:payload):op)::string FROM {table} WHERE record_metadata:offset::int > {since}"
        );
        let rows = match warehouse.query(&query) {
            Ok(rows) => rows,
            Err(error) if error.to_string().contains("does not exist") => return Ok(0),
            Err(error) => return Err(error),
        };
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as f64;
        let first_look = self.offset.is_none();
        for row in &rows {
            let [offset, inserted_at, op] = row.as_slice() else { continue };
            self.offset = self.offset.max(offset.parse().ok());
            self.rows += 1;
            if let Ok(inserted_us) = inserted_at.parse::<f64>()
                && op == "c"
                && !first_look
            {
                self.samples.push((now_us - inserted_us) / 1000.0);
            }
        }
        Ok(self.rows)
    }

    pub(super) fn samples(&self) -> usize {
        self.samples.len()
    }

    /// For people: `123 ms`, or `-` before the first sample.
    pub(super) fn percentile(&self, percent: f64) -> String {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
        sorted.get(index.saturating_sub(1)).map_or("-".to_owned(), |ms| format!("{ms:.0} ms"))
    }
}
