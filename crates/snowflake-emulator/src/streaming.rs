//! Snowpipe Streaming, high-performance architecture: channels, rows, files, status.

pub mod channel;
mod committer;
mod convert;
mod evolve;
mod files;
mod pipe;
mod registry;
mod routes;
mod rows;

pub use committer::Mode;
pub(crate) use committer::unix_ms;
pub use convert::BinaryFormat;
pub use files::FileStore;
pub(crate) use files::decode_aws_chunked;
pub use registry::{CHANNELS_PER_PIPE_MAX, ChannelName, Registry};
pub(crate) use routes::router;
