//! `cdcd.streaming` and `cdcd.spool.*`: how transactions in progress are received, and where they wait for their end.

use std::path::PathBuf;

use cdcd_postgres::replication::StreamOptions;

use super::properties::{Properties, PropertyError};
use super::source::SourceSettings;

/// Bytes of the spool unless `cdcd.spool.max.bytes` says otherwise: what a server's own spill of one very large
/// transaction takes, and not yet what fills a disk.
const BYTES_MAX: u64 = 20 << 30;
/// A server of this version and later sends transactions in progress (as in `server_version_num`).
const STREAMING_SINCE: u32 = 140_000;

/// `cdcd.streaming`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// Where the server has it and the spool's folder can be used.
    Auto,
    /// Or not at all.
    On,
    /// Each transaction after its commit (protocol 1).
    Off,
}

/// How transactions in progress are received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamingSettings {
    /// `cdcd.streaming`
    pub streaming: Streaming,
    /// `cdcd.spool.dir`: where this connector's folder is made.
    pub spool_dir: PathBuf,
    /// `cdcd.spool.max.bytes`
    pub spool_bytes_max: u64,
}

impl StreamingSettings {
    /// # Errors
    /// A value that is none.
    pub fn new(properties: &Properties) -> Result<Self, PropertyError> {
        let choices = [("auto", Streaming::Auto), ("on", Streaming::On), ("off", Streaming::Off)];
        Ok(StreamingSettings {
            streaming: properties.choice("cdcd.streaming", Streaming::Auto, &choices)?,
            spool_dir: properties.non_empty("cdcd.spool.dir").map_or_else(default_dir, Into::into),
            spool_bytes_max: properties.number("cdcd.spool.max.bytes", BYTES_MAX)?,
        })
    }
}

/// What a service manager gives us to keep, what the user says is for such files, or where files of that size belong.
fn default_dir() -> PathBuf {
    let given = |variable: &str| std::env::var(variable).ok().filter(|path| !path.is_empty());
    let state = given("STATE_DIRECTORY").and_then(|paths| paths.split(':').next().map(str::to_owned));
    state.or_else(|| given("TMPDIR")).unwrap_or_else(|| "/var/tmp".to_owned()).into()
}

impl SourceSettings {
    /// What to ask a server of this version for so that it sends transactions in progress; `None` if it cannot, or if
    /// `slot.stream.params` has a say in it.
    pub fn streamed_options(&self, server_version: u32) -> Option<StreamOptions> {
        let mut options = self.stream_options(server_version);
        let has_say = |(name, _): &(String, String)| matches!(name.as_str(), "streaming" | "proto_version");
        if server_version < STREAMING_SINCE || options.extra.iter().any(has_say) {
            return None;
        }
        options.protocol = 2;
        options.extra.push(("streaming".to_owned(), "on".to_owned()));
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::properties::Origin;
    use crate::connector::source::KafkaNeed;

    fn read(pairs: &[(&str, &str)]) -> Result<SourceSettings, PropertyError> {
        let base = [
            ("topic.prefix", "srv"),
            ("database.hostname", "localhost"),
            ("database.user", "me"),
            ("database.dbname", "app"),
        ];
        let mut properties = Properties::default();
        for (key, value) in base.iter().chain(pairs) {
            properties.set(*key, *value, Origin::Connector);
        }
        SourceSettings::new(&properties, KafkaNeed::None)
    }

    #[test]
    fn a_server_that_has_it_is_asked_for_transactions_in_progress() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.streaming.streaming, Streaming::Auto);
        assert_eq!(settings.streamed_options(130_000), None);
        assert_eq!(
            settings.streamed_options(140_000).unwrap().text(),
            "proto_version '2', publication_names '\"dbz_publication\"', messages 'true', \"streaming\" 'on'"
        );
        let own = read(&[("slot.stream.params", "streaming=off")]).unwrap();
        assert_eq!(own.streamed_options(170_000), None);
    }

    #[test]
    fn the_spool_is_where_the_property_says() {
        let settings = read(&[("cdcd.spool.dir", "/data"), ("cdcd.spool.max.bytes", "7")]).unwrap();
        assert_eq!(settings.streaming.spool_dir, PathBuf::from("/data"));
        assert_eq!(settings.streaming.spool_bytes_max, 7);
        assert_eq!(read(&[("cdcd.streaming", "maybe")]).unwrap_err().key, "cdcd.streaming");
        assert_eq!(read(&[("cdcd.spool.max.bytes", "much")]).unwrap_err().key, "cdcd.spool.max.bytes");
    }
}
