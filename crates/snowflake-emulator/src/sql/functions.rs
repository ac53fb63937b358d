//! The functions of the schema `sf`, installed in the engine at each start.

/// Name and text of each script, in the order of installation.
pub(crate) const SCRIPTS: [(&str, &str); 5] = [
    ("cast.sql", include_str!("functions/cast.sql")),
    ("json.sql", include_str!("functions/json.sql")),
    ("time.sql", include_str!("functions/time.sql")),
    ("text.sql", include_str!("functions/text.sql")),
    ("aggregate.sql", include_str!("functions/aggregate.sql")),
];
