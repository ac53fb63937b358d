//! The written forms: one file each.

pub mod java;
pub mod json;
