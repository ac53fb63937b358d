//! The written forms: one file each.

pub mod header;
pub mod java;
pub mod json;
