//! A workload from a seed: the same seed gives the same SQL.

use super::scenario::Scenario;

/// Statements of one workload.
const STATEMENTS: u64 = 400;

/// SplitMix64: small, and good enough to choose statements.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64) as usize;
        choices.get(index).copied().unwrap_or("NULL")
    }
}

/// Columns with values that each may take; the values are SQL.
const COLUMNS: &[(&str, &str, &[&str])] = &[
    ("i", "int", &["0", "-1", "2147483647", "NULL"]),
    ("l", "bigint NOT NULL DEFAULT 7", &["1", "-9223372036854775808", "DEFAULT"]),
    ("n", "numeric(20,4)", &["1.5", "-0.0001", "9999999999999999.9999", "NULL"]),
    ("v", "numeric", &["1e10", "-0.001", "12345678901234567890.123456789", "NULL"]),
    ("d", "double precision", &["1.5", "-1e-300", "'NaN'", "123456789.125"]),
    ("t", "text DEFAULT 'd''x'", &["''", "'plain'", "'ünï \"q\" \\ 🛫'", "E'a\\tb\\nc'", "NULL", "DEFAULT"]),
    ("big", "text", &["repeat('x', 9000)", "'small'", "NULL"]),
    ("b", "bytea", &["'\\x'", "'\\x00ff10'", "NULL"]),
    ("ts", "timestamp(3)", &["'2024-02-29 12:34:56.789'", "'1969-12-31 23:59:59.999'", "NULL"]),
    ("tz", "timestamptz", &["'2024-02-29 12:34:56.789012+02'", "'1900-01-01 00:00+00'", "NULL"]),
    ("j", "jsonb", &["'{\"a\": [1, null]}'", "'\"x\"'", "NULL"]),
    ("a", "int[]", &["'{}'", "'{1,NULL,-3}'", "NULL"]),
];

/// The scenario of this seed.
pub(super) fn scenario(seed: u64) -> Scenario {
    let mut random = Random(seed);
    let columns: Vec<String> = COLUMNS.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    let columns = columns.join(", ");
    let setup = format!(
        "CREATE TABLE def (id int PRIMARY KEY, {columns});\n\
         CREATE TABLE ful (id int PRIMARY KEY, {columns});\nALTER TABLE ful REPLICA IDENTITY FULL;\n\
         CREATE TABLE nokey (id int, {columns});\nALTER TABLE nokey REPLICA IDENTITY FULL;\n\
         ALTER TABLE def ALTER big SET STORAGE EXTERNAL; ALTER TABLE ful ALTER big SET STORAGE EXTERNAL;\n"
    );
    let mut stream = String::new();
    let mut open = false;
    for _ in 0..STATEMENTS {
        match random.below(12) {
            0 if !open => {
                stream.push_str("BEGIN;\n");
                open = true;
            }
            1 if open => {
                stream.push_str(random.pick(&["COMMIT;\n", "COMMIT;\n", "ROLLBACK;\n"]));
                open = false;
            }
            2 if open => {
                let inside = statement(&mut random);
                let end = random.pick(&["ROLLBACK TO s", "RELEASE s"]);
                stream.push_str(&format!("SAVEPOINT s;\n{inside}{end};\n"));
            }
            _ => stream.push_str(&statement(&mut random)),
        }
    }
    stream.push_str(if open { "COMMIT;\n" } else { "" });
    Scenario::generated(format!("seed_{seed}"), setup, stream)
}

fn statement(random: &mut Random) -> String {
    let table = random.pick(&["def", "ful", "nokey"]);
    let id = random.below(30);
    match random.below(10) {
        0..4 => {
            let values: Vec<&str> = COLUMNS.iter().map(|(_, _, values)| random.pick(values)).collect();
            let names: Vec<&str> = COLUMNS.iter().map(|(name, _, _)| *name).collect();
            let conflict = if table == "nokey" { "" } else { " ON CONFLICT (id) DO NOTHING" };
            format!(
                "INSERT INTO {table} (id, {}) VALUES ({id}, {}){conflict};\n",
                names.join(", "),
                values.join(", ")
            )
        }
        4..8 => {
            let index = random.below(COLUMNS.len() as u64) as usize;
            let Some((name, _, values)) = COLUMNS.get(index) else { return String::new() };
            format!("UPDATE {table} SET {name} = {} WHERE id = {id};\n", random.pick(values))
        }
        8 => {
            let to = 100 + random.next() % 1_000_000;
            format!("UPDATE {table} SET id = {to} WHERE id = {id};\n")
        }
        _ => format!("DELETE FROM {table} WHERE id = {id};\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::after;
    use super::*;

    #[test]
    fn a_seed_gives_the_same_workload_again_and_another_seed_another() {
        assert_eq!(after(&[&scenario(1)], true), after(&[&scenario(1)], true));
        assert_ne!(after(&[&scenario(1)], true), after(&[&scenario(2)], true));
    }
}
