//! The feeder on a real PostgreSQL and over real HTTP.

mod database;
mod http;
