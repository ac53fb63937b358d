//! `cdcd check` finds what is planted, and says what mends it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::kit::{Bench, finish, stderr};

/// Runs the check of a connector; exit code and report.
fn check(bench: &Bench, connector: &[(String, String)]) -> (i32, Value) {
    check_on(bench, connector, &bench.kafka.bootstrap_servers)
}

fn check_on(bench: &Bench, connector: &[(String, String)], servers: &str) -> (i32, Value) {
    let config: serde_json::Map<String, Value> =
        connector.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let text = serde_json::json!({ "name": bench.name, "config": config }).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdcd"));
    command
        .args(["check", "-", "--output", "json", "--bootstrap-servers", servers])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = finish(child);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code().unwrap(), report)
}

/// Asserts that a finding of `mark` holds `text`, and that what mends it holds `mend`.
fn finds(report: &Value, mark: &str, text: &str, mend: &str) {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().any(|finding| {
        let mends = finding["mend"].as_array().unwrap();
        finding["mark"] == mark
            && finding["text"].as_str().unwrap().contains(text)
            && (mend.is_empty() || mends.iter().any(|line| line.as_str().unwrap().contains(mend)))
    });
    assert!(found, "no {mark} with {text:?} and {mend:?} in {report:#}");
}

/// A role without rights, in place of the superuser.
fn poor_role(bench: &Bench, options: &str) -> String {
    let role = format!("{}_role", bench.name);
    bench.psql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'pw' {options}"));
    role
}

fn drop_role(bench: &Bench, role: &str) {
    bench.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_good_connector_passes_before_and_after_its_first_run() {
    let bench = Bench::new("check_good");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a')");
    let connector = bench.connector(&[]);
    let (exit, report) = check(&bench, &connector);
    assert_eq!(exit, 0, "{report:#}");
    finds(&report, "ok", "wal_level is logical", "");
    finds(&report, "ok", "will be made FOR ALL TABLES", "");
    finds(&report, "ok", "a start makes the slot, reads a snapshot, then streams", "");
    finds(&report, "warn", "durability=reduced", "3 are needed");
    let nothing = "SELECT (SELECT count(*) FROM pg_publication) + \
                   (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    assert_eq!(bench.psql(nothing), "0", "a check makes nothing");

    bench.catch_up(&connector);
    let (exit, report) = check(&bench, &connector);
    assert_eq!(exit, 0, "{report:#}");
    finds(&report, "ok", "publication", "");
    finds(&report, "ok", "a start goes on at", "");
    finds(&report, "ok", "is compacted", "");
    let password = report["properties"].as_array().unwrap();
    let password = password.iter().find(|setting| setting["key"] == "database.password").unwrap();
    assert_eq!(
        (password["value"].as_str(), password["origin"].as_str()),
        (Some("***"), Some("connector file"))
    );
}

/// One broker: two fewer than it takes.
#[test]
fn what_is_not_durable_is_said_and_refused_only_if_that_is_demanded() {
    let bench = Bench::new("check_durable");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let demanding = bench.connector(&[("cdcd.require.durable", "true")]);
    let refused = |topic: &str| {
        let (exit, report) = check(&bench, &demanding);
        assert_eq!(exit, 2, "{report:#}");
        finds(&report, "fail", &format!("durability=reduced: topic {topic}"), "3 are needed");
        let output = bench.run(&demanding, &["--endpos", "now"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("cdcd.require.durable") && said.contains(&format!("topic {topic}")), "{said}");
        assert!(said.contains("min.insync.replicas 1") && said.contains("3 are needed"), "{said}");
    };
    refused("__cdcd_position.");
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    assert_eq!(bench.psql(slots), "0", "a refusal makes nothing");

    let output = bench.run(&bench.connector(&[]), &["--endpos", "now"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("durability=\"reduced\""), "{}", stderr(&output));
    refused("__cdcd_position.");
}

#[test]
fn a_poor_role_is_told_every_right_that_it_lacks() {
    let bench = Bench::new("check_role");
    bench.psql("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY)");
    let role = poor_role(&bench, "");
    let connector = |mode: &str| {
        bench.connector(&[
            ("database.user", &role),
            ("database.password", "pw"),
            ("table.include.list", "shop.orders"),
            ("publication.autocreate.mode", mode),
        ])
    };
    let (exit, report) = check(&bench, &connector("all_tables"));
    assert_eq!(exit, 2);
    finds(&report, "fail", "may not replicate", &format!("ALTER ROLE \"{role}\" REPLICATION;"));
    finds(
        &report,
        "fail",
        "no SELECT on shop.orders",
        &format!("GRANT SELECT ON \"shop\".\"orders\" TO \"{role}\";"),
    );
    finds(&report, "fail", "no SELECT on shop.orders", "GRANT USAGE ON SCHEMA \"shop\"");
    finds(&report, "fail", "only a superuser can make publication", "FOR ALL TABLES");
    let (exit, report) = check(&bench, &connector("filtered"));
    assert_eq!(exit, 2);
    finds(&report, "fail", "may not make publication", "GRANT CREATE ON DATABASE");
    finds(&report, "fail", "owns 1 of the captured tables not", "CREATE PUBLICATION");

    // What it says mends it.
    bench.psql(&format!(
        "ALTER ROLE {role} REPLICATION; GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.orders TO {role}; \
         CREATE PUBLICATION {} FOR TABLE shop.orders",
        bench.name
    ));
    let (exit, report) = check(&bench, &connector("disabled"));
    assert_eq!(exit, 0, "{report:#}");
    drop_role(&bench, &role);
}

#[test]
fn tables_and_publications_that_lose_events_are_named() {
    let bench = Bench::new("check_tables");
    bench.psql(
        "CREATE TABLE keyless (a int); CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY); \
         CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING; \
         CREATE TABLE whole (id int PRIMARY KEY); ALTER TABLE whole REPLICA IDENTITY FULL; \
         CREATE TABLE good (id int PRIMARY KEY)",
    );
    let (exit, report) = check(&bench, &bench.connector(&[]));
    assert_eq!(exit, 0);
    finds(&report, "warn", "public.keyless has no primary key", "REPLICA IDENTITY FULL");
    finds(&report, "warn", "public.scratch is unlogged", "ALTER TABLE \"public\".\"scratch\" SET LOGGED;");
    finds(&report, "warn", "public.silent has REPLICA IDENTITY NOTHING", "REPLICA IDENTITY DEFAULT;");
    finds(&report, "ok", "public.whole has REPLICA IDENTITY FULL", "");
    finds(&report, "ok", "1 with REPLICA IDENTITY DEFAULT (public.good)", "");

    let disabled = bench.connector(&[
        ("publication.autocreate.mode", "disabled"),
        ("table.include.list", "public\\.(good|whole)"),
    ]);
    let (exit, report) = check(&bench, &disabled);
    assert_eq!(exit, 2);
    finds(&report, "fail", "does not exist", "FOR TABLE \"public\".\"good\", \"public\".\"whole\";");

    bench.psql(&format!(
        "CREATE PUBLICATION {} FOR TABLE good WHERE (id > 5) WITH (publish = 'insert')",
        bench.name
    ));
    let (exit, report) = check(&bench, &disabled);
    assert_eq!(exit, 2);
    finds(&report, "fail", "lacks public.whole", "ADD TABLE \"public\".\"whole\";");
    finds(&report, "warn", "does not publish update and delete", "SET (publish =");
    finds(&report, "warn", "row filter or a column list on public.good", "");

    bench.psql(&format!("DROP PUBLICATION {0}; CREATE PUBLICATION {0} FOR ALL TABLES", bench.name));
    let filtered = bench
        .connector(&[("publication.autocreate.mode", "filtered"), ("table.include.list", "public.good")]);
    let (exit, report) = check(&bench, &filtered);
    assert_eq!(exit, 2);
    finds(&report, "fail", "FOR ALL TABLES and cannot be filtered", "DROP PUBLICATION");
    let none = bench.connector(&[("table.include.list", "public.nothing")]);
    finds(&check(&bench, &none).1, "warn", "no table matches", "");
}

#[test]
fn slots_and_positions_are_judged_by_the_guards_of_a_start() {
    let bench = Bench::new("check_slot");
    bench.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let name = &bench.name;
    bench.psql(&format!("SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')"));
    let (exit, report) = check(&bench, &bench.connector(&[]));
    assert_eq!(exit, 2);
    finds(
        &report,
        "fail",
        "decodes with test_decoding",
        &format!("SELECT pg_drop_replication_slot('{name}');"),
    );
    bench.psql(&format!("SELECT pg_drop_replication_slot('{name}')"));

    let connector = bench.connector(&[]);
    bench.catch_up(&connector);
    bench.psql("INSERT INTO t VALUES (1)");
    bench.psql(&format!("SELECT pg_replication_slot_advance('{name}', pg_current_wal_flush_lsn())"));
    let (exit, report) = check(&bench, &connector);
    assert_eq!(exit, 2);
    finds(&report, "fail", "E_GAP_SLOT_AHEAD", "new snapshot");
    bench.psql(&format!("SELECT pg_drop_replication_slot('{name}')"));
    let (exit, report) = check(&bench, &connector);
    assert_eq!(exit, 2);
    finds(&report, "fail", "E_SLOT_MISSING", "snapshot.mode=when_needed");
    bench.psql(&format!("DROP PUBLICATION {name}"));
    finds(&check(&bench, &connector).1, "fail", "E_PUBLICATION_HISTORY", "--accept-loss");
}

#[test]
fn what_cannot_be_reached_or_read_is_told_without_secrets() {
    let bench = Bench::new("check_reach");
    let check_of = |extra: &[(&str, &str)]| check(&bench, &bench.connector(extra));
    let (exit, report) = check_of(&[("database.password", "wrong")]);
    assert_eq!(exit, 2);
    finds(&report, "fail", "password authentication failed", "database.password");
    assert!(!report.to_string().contains("\"wrong\""));
    finds(&report, "ok", "brokers at", "");
    finds(&check_of(&[("database.port", "1")]).1, "fail", ":1", "database.hostname");
    finds(&check_of(&[("database.dbname", "nosuch")]).1, "fail", "nosuch", "database.dbname");
    let (exit, report) = check_on(&bench, &bench.connector(&[]), "127.0.0.1:1");
    assert_eq!(exit, 2);
    finds(&report, "fail", "127.0.0.1:1", "bootstrap.servers");
    let (exit, report) = check_of(&[
        ("decimal.handling.mode", "exact"),
        ("value.converter", "com.acme.Mine"),
        ("slot.nam", "x"),
        ("errors.tolerance", "all"),
    ]);
    assert_eq!(exit, 2);
    finds(&report, "fail", "decimal.handling.mode", "");
    finds(&report, "fail", "value.converter: converter 'com.acme.Mine'", "JsonConverter");
    finds(&report, "warn", "slot.nam: unknown property: did you mean slot.name?", "");
    finds(&report, "warn", "errors.tolerance=all", "");
}
