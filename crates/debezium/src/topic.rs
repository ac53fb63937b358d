//! Topic names.

/// Longest topic name that Kafka takes.
pub const MAX_LENGTH: usize = 249;

/// `<prefix><delimiter><schema><delimiter><table>`; characters outside `[a-zA-Z0-9._-]` become `_`, and the
/// result is cut at 249 characters.
pub fn data_topic(prefix: &str, delimiter: &str, schema: &str, table: &str) -> String {
    sanitize(&format!("{prefix}{delimiter}{schema}{delimiter}{table}"))
}

/// The heartbeat topic: `<topic.heartbeat.prefix>.<topic.prefix>`.
pub fn heartbeat_topic(heartbeat_prefix: &str, delimiter: &str, prefix: &str) -> String {
    sanitize(&format!("{heartbeat_prefix}{delimiter}{prefix}"))
}

/// A topic beside those of tables: `<topic.prefix><delimiter><name>`.
pub fn special_topic(prefix: &str, delimiter: &str, name: &str) -> String {
    sanitize(&format!("{prefix}{delimiter}{name}"))
}

fn sanitize(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(MAX_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_become_underscores_one_by_one() {
        assert_eq!(data_topic("cdc", ".", "public", "My Table€$"), "cdc.public.My_Table__");
        assert_eq!(data_topic("p", ".", "s", &"x".repeat(300)).len(), 249);
        assert_eq!(heartbeat_topic("__debezium-heartbeat", ".", "cdc"), "__debezium-heartbeat.cdc");
    }
}
