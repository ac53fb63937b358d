//! The written forms: one file each.

pub mod avro;
pub mod avro_schema;
pub mod header;
pub mod java;
pub mod json;
pub mod text;
pub mod writer;
