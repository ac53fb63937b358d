//! Secrets and rows are in no log, no error, no command line: canaries are planted, everything that is said is searched.

use std::io::Write as _;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use cdcd_testkit::wait_until;

use crate::kit::{Bench, cdcd, finish, posted};

const DATABASE: &str = "canary-database-password";
const SASL: &str = "canary-sasl-password";
const KEY: &str = "canaryprivatekeyMIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
const ROW: &str = "canary-row-text";

struct Said {
    output: String,
    /// Command line and environment of the process, as others on the machine may see them.
    outside: String,
}

/// Runs a command with a connector on its standard input, at the most talkative level.
fn run(bench: &Bench, verb: &str, connector: &[(String, String)], args: &[&str]) -> Said {
    let mut command = cdcd();
    command
        .args([verb, "-", "--bootstrap-servers", &bench.kafka.bootstrap_servers, "--log-level", "trace"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let pid = child.id();
    let seen = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    // It waits for its connector: what stands there now stands there for as long as it runs.
    let outside = wait_until("the process", Duration::from_secs(10), || {
        let outside = seen("cmdline") + &seen("environ");
        Ok(outside.contains("--bootstrap-servers").then_some(outside))
    })
    .unwrap();
    child.stdin.take().unwrap().write_all(posted(&bench.name, connector).as_bytes()).unwrap();
    let Output { stdout, stderr, .. } = finish(child);
    let output = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!output.trim().is_empty(), "a run that says nothing proves nothing");
    Said { output, outside }
}

/// No canary whole, and no long piece of one.
fn keeps_quiet(what: &str, said: &Said) {
    for canary in [DATABASE, SASL, KEY, ROW] {
        for (place, text) in [("its output", &said.output), ("/proc", &said.outside)] {
            let piece = &canary[..20.min(canary.len() - 1)];
            let line = text.lines().find(|line| line.contains(piece));
            assert_eq!(line, None, "{what}: {canary} stands in {place}");
        }
    }
}

fn with(mut connector: Vec<(String, String)>, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    connector.retain(|(key, _)| pairs.iter().all(|(other, _)| other != key));
    connector.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    connector
}

#[test]
fn canaries_are_never_said() {
    let bench = Bench::new("secrets");
    let role = format!("{}_role", bench.name);
    bench.psql(&format!("CREATE ROLE {role} SUPERUSER LOGIN REPLICATION PASSWORD '{DATABASE}'"));
    bench.psql(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, note text, n numeric(9,2)); INSERT INTO t VALUES (1, '{ROW}', 1)"
    ));
    let login = [("database.user", role.as_str()), ("database.password", DATABASE)];
    let good = with(bench.connector(&[]), &login);
    let ended = ["--endpos", "now"];
    keeps_quiet("a run that works", &run(&bench, "capture", &good, &ended));
    keeps_quiet("cdcd check", &run(&bench, "check", &good, &[]));

    // A row that cannot be written: the error names table and column, not the value.
    bench.psql(&format!("INSERT INTO t VALUES (2, '{ROW}', 'NaN')"));
    let bad_row = run(&bench, "capture", &good, &ended);
    assert!(bad_row.output.contains("public.t"), "{}", bad_row.output);
    keeps_quiet("a row that cannot be written", &bad_row);

    let wrong = with(good.clone(), &[("database.user", "postgres")]);
    let refused = run(&bench, "capture", &wrong, &ended);
    assert!(refused.output.contains("postgres"), "{}", refused.output);
    keeps_quiet("a password that is refused", &refused);

    let typed_wrong = with(good.clone(), &[("database.port", DATABASE)]);
    // Whoever writes a password into the wrong property sees it again in the error, so only the others are looked for.
    assert!(!run(&bench, "capture", &typed_wrong, &ended).output.contains(SASL));

    let sasl = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"me\" password=\"{SASL}\";"
    );
    let sasl = with(
        good,
        &[
            ("producer.override.security.protocol", "SASL_PLAINTEXT"),
            ("producer.override.sasl.mechanism", "PLAIN"),
            ("producer.override.sasl.jaas.config", &sasl),
            ("producer.override.max.block.ms", "3000"),
            ("retriable.restart.connector.wait.ms", "100"),
            ("errors.max.retries", "1"),
        ],
    );
    keeps_quiet("a broker without SASL", &run(&bench, "check", &sasl, &[]));

    let sink: Vec<(String, String)> = [
        ("connector.class", "com.snowflake.kafka.connector.SnowflakeStreamingSinkConnector"),
        ("topics", &format!("{}.public.t", bench.name)),
        ("snowflake.url.name", "http://127.0.0.1:1"),
        ("snowflake.user.name", "loader"),
        ("snowflake.private.key", KEY),
        ("snowflake.database.name", "CDC"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    keeps_quiet("a key that is no key", &run(&bench, "sink", &sink, &["--until-caught-up"]));
    bench.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
