//! `cdcd sink` on a real Kafka.

mod bench_topic;
mod kafka_to_memory;
pub(crate) mod kafka_to_snowflake;
mod pipeline_b;
