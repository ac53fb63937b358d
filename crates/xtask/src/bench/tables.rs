//! The table of the measured starting points: 14 columns, about 230 bytes a row.

pub(super) const ROWS: &str = "
    CREATE TABLE t (id bigint PRIMARY KEY, a text, b text, c text, at timestamptz, until timestamptz, x double precision,
        y double precision, n numeric(12,2), m numeric(20,4), yes boolean, doc jsonb, k bigint, note text);";

/// Inserts the rows of these keys, both ends included.
pub(super) fn insert(from: u64, upto: u64) -> String {
    format!("INSERT INTO t SELECT {VALUES} FROM generate_series({from}::bigint, {upto}::bigint) j")
}

/// One row of key `j`.
pub(super) const VALUES: &str =
    "j, md5(j::text), 'some words that are not long', 'x' || j, now(), now(), j * 1.5, j / 3.0,
    j % 100000 + 0.25, j + 0.0001, j % 2 = 0, jsonb_build_object('k', j, 'v', 'text'), j * 7, 'note'";
