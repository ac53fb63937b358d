//! Flight data for tests and for the demo: a deterministic simulator of air traffic, the same JSON over HTTP as the
//! OpenSky Network's API, and a writer that keeps PostgreSQL tables busy with inserts, updates and deletes.
//!
//! | module | subject |
//! |---|---|
//! | [`random`] | the random numbers: equal for equal seeds, on every machine and in every release |
//! | [`world`] | airports, aircraft types, airlines |
//! | [`route`] | great circles, and the phases of one flight |
//! | [`state`] | the state vector: what one report says, and its JSON form |
//! | [`simulator`] | the fleet: reports in the order of simulated time |
//! | [`changes`] | reports turned into row changes by a mix of operations |
//! | [`writer`] | row changes written to PostgreSQL |
//! | [`feed`] | the run loop of the writer: rate, schedule, summary |
//! | [`server`] | `/api/states/all`, with credits and tokens |
//! | [`live`] | a client of that API: the real one, or [`server`] |
//!
//! No record of the OpenSky Network is shipped: airports are public facts, everything that flies is invented, and
//! its addresses come from a block that is allocated to no state.

pub mod changes;
pub mod feed;
pub mod live;
pub mod random;
pub mod route;
pub mod server;
pub mod simulator;
pub mod state;
pub mod world;
pub mod writer;
