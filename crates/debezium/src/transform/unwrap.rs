//! What `ExtractNewRecordState` is asked to do.

use super::options::{OptionError, Options};

/// What becomes of a delete event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// Nothing.
    Drop,
    /// Null, with the row's schema: four bytes of JSON.
    Null,
    /// A true tombstone: no bytes.
    Tombstone,
    /// The old row with `__deleted`.
    Rewrite,
}

/// What becomes of the tombstone behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// Nothing.
    Drop,
    /// It stays.
    Keep,
}

/// All options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwrap {
    /// `delete.tombstone.handling.mode`, first half.
    pub deletes: Deletes,
    /// `delete.tombstone.handling.mode`, second half.
    pub tombstones: Tombstones,
    /// `add.fields` with their prefix.
    pub fields: Vec<Reference>,
    /// `add.headers` with their prefix.
    pub headers: Vec<Reference>,
    /// `replace.null.with.default`; heard where `__deleted` is added.
    pub replace_null: bool,
    /// `route.by.field`
    pub route_by: Option<String>,
    /// `drop.fields.*`
    pub drop_fields: Option<DropFields>,
}

/// `drop.fields.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropFields {
    /// The header that names the fields.
    pub header: String,
    /// Whether they leave the key as well.
    pub from_key: bool,
    /// Whether required fields stay.
    pub keep_schema_compatible: bool,
}

/// A field of the envelope that is added to the row or to the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The struct that it is looked for in first.
    pub parent: Option<String>,
    /// Its name.
    pub field: String,
    /// The name that it gets.
    pub name: String,
}

/// The name of the field that tells deletes in the rewriting modes.
pub const DELETED: &str = "__deleted";

pub(crate) const OPTIONS: &[&str] = &[
    "delete.tombstone.handling.mode",
    "add.fields",
    "add.fields.prefix",
    "add.headers",
    "add.headers.prefix",
    "route.by.field",
    "drop.fields.header.name",
    "drop.fields.from.key",
    "drop.fields.keep.schema.compatible",
    "replace.null.with.default",
    "delete.handling.mode",
    "drop.tombstones",
];

impl Unwrap {
    pub(crate) fn new(options: &Options<'_>) -> Result<Self, OptionError> {
        let (deletes, tombstones) = modes(options)?;
        let drop_fields = match options.text("drop.fields.header.name") {
            None => None,
            Some(header) => Some(DropFields {
                header: header.to_owned(),
                from_key: options.boolean("drop.fields.from.key", false)?,
                keep_schema_compatible: options.boolean("drop.fields.keep.schema.compatible", true)?,
            }),
        };
        Ok(Unwrap {
            deletes,
            tombstones,
            fields: references(options, "add.fields", "add.fields.prefix")?,
            headers: references(options, "add.headers", "add.headers.prefix")?,
            replace_null: options.boolean("replace.null.with.default", true)?,
            route_by: options.text("route.by.field").map(str::to_owned),
            drop_fields,
        })
    }

    /// Whether rows get the field `__deleted`.
    pub fn marks_deletes(&self) -> bool {
        self.deletes == Deletes::Rewrite
    }
}

fn modes(options: &Options<'_>) -> Result<(Deletes, Tombstones), OptionError> {
    let name = "delete.tombstone.handling.mode";
    let old = ["delete.handling.mode", "drop.tombstones"];
    let has_old = old.iter().any(|name| options.text(name).is_some());
    if options.text(name).is_none() && has_old {
        return old_modes(options);
    }
    if has_old {
        tracing::warn!("{} takes the place of {} and {}", options.key(name), options.key(old[0]), old[1]);
    }
    options.choice(
        name,
        &[
            ("tombstone", (Deletes::Null, Tombstones::Drop)),
            ("drop", (Deletes::Drop, Tombstones::Drop)),
            ("rewrite", (Deletes::Rewrite, Tombstones::Drop)),
            ("rewrite-with-tombstone", (Deletes::Rewrite, Tombstones::Keep)),
            ("delete-to-tombstone", (Deletes::Tombstone, Tombstones::Drop)),
        ],
    )
}

/// Debezium 3 does not read these any more; whoever sets them means what they meant.
fn old_modes(options: &Options<'_>) -> Result<(Deletes, Tombstones), OptionError> {
    let deletes = options.choice(
        "delete.handling.mode",
        &[("drop", Deletes::Drop), ("rewrite", Deletes::Rewrite), ("none", Deletes::Null)],
    )?;
    let tombstones = match options.boolean("drop.tombstones", true)? {
        true => Tombstones::Drop,
        false => Tombstones::Keep,
    };
    tracing::warn!(
        "{} and drop.tombstones are Debezium 2.x and keep their old meaning: delete.tombstone.handling.mode took their place",
        options.key("delete.handling.mode")
    );
    Ok((deletes, tombstones))
}

fn references(options: &Options<'_>, name: &str, prefix: &str) -> Result<Vec<Reference>, OptionError> {
    let prefix = options.raw(prefix).map_or("__", str::trim);
    let list = options.list(name);
    list.iter().map(|text| reference(text, prefix).map_err(|problem| options.error(name, problem))).collect()
}

fn reference(text: &str, prefix: &str) -> Result<Reference, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (path, renamed) = match parts[..] {
        [path] => (path, None),
        [path, name] => (path, Some(name)),
        _ => return Err(format!("'{text}' is not field, struct.field or field:newname")),
    };
    let (parent, field) = match path.split_once('.') {
        Some((parent, field)) => (Some(parent), field.split('.').next().unwrap_or(field)),
        None => (default_parent(path), path),
    };
    if field.is_empty() || parent.is_some_and(|parent| !STRUCTS.contains(&parent)) {
        return Err(format!("'{text}' is not a field of the envelope or of {}", STRUCTS.join(", ")));
    }
    let name = match (renamed, path.split_once('.')) {
        (Some(name), _) => name.to_owned(),
        (None, Some((parent, _))) => format!("{parent}_{field}"),
        (None, None) => field.to_owned(),
    };
    Ok(Reference {
        parent: parent.map(str::to_owned),
        field: field.to_owned(),
        name: format!("{prefix}{name}"),
    })
}

const STRUCTS: [&str; 4] = ["source", "transaction", "before", "after"];

/// Where a name without a struct is looked for; what is not there is taken from the envelope itself.
fn default_parent(field: &str) -> Option<&'static str> {
    match field {
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        "id" | "total_order" | "data_collection_order" => Some("transaction"),
        _ => Some("source"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_struct_unless_they_are_given() {
        let named = |text: &str| {
            let found = reference(text, "__").unwrap();
            (found.parent.unwrap_or_default(), found.field, found.name)
        };
        let expect = |parent: &str, field: &str, name: &str| (parent.into(), field.into(), name.into());
        assert_eq!(named("op"), expect("", "op", "__op"));
        assert_eq!(named("lsn"), expect("source", "lsn", "__lsn"));
        assert_eq!(named("source.ts_ms"), expect("source", "ts_ms", "__source_ts_ms"));
        assert_eq!(named("source.ts_ms:at"), expect("source", "ts_ms", "__at"));
        assert_eq!(named("transaction.id"), expect("transaction", "id", "__transaction_id"));
        assert_eq!(named("id"), expect("transaction", "id", "__id"));
        assert_eq!(named("source"), expect("source", "source", "__source"));
        assert!(
            reference("a:b:c", "").is_err()
                && reference("x.y", "").is_err()
                && reference("source.", "").is_err()
        );
    }
}
