//! What the catalog said when a change was made, not what it says when the change is read.

use std::time::Duration;

use cdcd_testkit::wait_until;
use serde_json::Value;

use crate::kit::{Bench, Read, finish, kill, stderr};

const LIMIT: Duration = Duration::from_secs(60);

/// Fields of the row as the event's schema has them: `keyed id! v!="x"`; `!` is required.
fn schema(record: &Read) -> String {
    let value = record.value.as_ref().unwrap();
    let fields = value["schema"]["fields"].as_array().unwrap();
    let after = fields.iter().find(|field| field["field"] == "after").unwrap();
    let told = after["fields"].as_array().unwrap().iter().map(|field| {
        let required = if field["optional"] == Value::Bool(true) { "" } else { "!" };
        let default = field.get("default").map(|default| format!("={default}")).unwrap_or_default();
        format!("{}{required}{default}", field["field"].as_str().unwrap())
    });
    let told: Vec<String> = told.collect();
    format!("{} {}", if record.key.is_some() { "keyed" } else { "keyless" }, told.join(" "))
}

const SCHEMAS: [(&str, &str); 2] = [("snapshot.mode", "no_data"), ("value.converter.schemas.enable", "true")];

fn schemas(bench: &Bench, table: &str) -> Vec<String> {
    bench.topic(&format!("public.{table}")).iter().map(schema).collect()
}

#[test]
fn a_replay_has_the_schema_that_the_table_had() {
    let bench = Bench::new("facts");
    bench.psql(
        "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x', n int NOT NULL);
         CREATE TABLE gone (id int PRIMARY KEY, v text NOT NULL)",
    );
    let connector = bench.connector(&SCHEMAS);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t VALUES (1, 'a', 1); INSERT INTO gone VALUES (1, 'a')");
    bench.catch_up(&connector);

    // Changes that nobody read yet, and then a catalog that says something else.
    bench.psql(
        "INSERT INTO t VALUES (2, 'b', 2); INSERT INTO gone VALUES (2, 'b');
         ALTER TABLE t ALTER v SET DEFAULT 'y';
         ALTER TABLE t ALTER n DROP NOT NULL;
         DROP TABLE gone",
    );
    bench.catch_up(&connector);
    let t = schemas(&bench, "t");
    assert_eq!(t, ["keyed id! v!=\"x\" n!"; 2]);
    let gone = schemas(&bench, "gone");
    assert_eq!(gone, ["keyed id! v!"; 2], "of a table that was dropped");

    // What is made while a process runs is told as it is now.
    let child = bench.command(&connector, &[]);
    wait_until("the stream", LIMIT, || {
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()";
        Ok((bench.psql(sql).trim() == "1").then_some(()))
    })
    .unwrap();
    bench.psql("INSERT INTO t VALUES (3, 'c', NULL)");
    let third =
        wait_until("the third event", LIMIT, || Ok((bench.topic("public.t").len() == 3).then_some(())));
    kill(child.id(), "TERM");
    let output = finish(child);
    assert!(third.is_ok() && output.status.success(), "{}", stderr(&output));
    assert_eq!(schemas(&bench, "t")[2], "keyed id! v!=\"y\" n");
}

/// A NULL in the log, behind a DROP NOT NULL that does not show in it, is taken with a schema that allows it.
#[test]
fn a_null_is_never_written_where_the_schema_forbids_it() {
    let bench = Bench::new("factsnull");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL)");
    let connector = bench.connector(&SCHEMAS);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t VALUES (1, 'a')");
    bench.catch_up(&connector);
    bench.psql(
        "INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ALTER v DROP NOT NULL; INSERT INTO t VALUES (3, NULL)",
    );
    let output = bench.run(&connector, &["--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("was NOT NULL when the catalog was asked"), "{}", stderr(&output));
    let t = schemas(&bench, "t");
    assert_eq!(t.len(), 3, "once each");
    assert!(t[0].ends_with("v!") && t[2].ends_with(" v"), "{t:?}");
    bench.psql("INSERT INTO t VALUES (4, NULL)");
    bench.catch_up(&connector);
    assert_eq!(schemas(&bench, "t").last().unwrap(), &t[2]);
}
