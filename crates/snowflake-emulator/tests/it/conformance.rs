//! Snowflake's own Python client against the emulator: 1.9.1 over https, 1.4.0 over http.
//!
//! The scripts are in `tests/conformance`. Each client is installed from the Python package index into an environment of
//! its own, which is kept for the next run. Where Python, pip or the index is missing, the test fails and says which.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use serde_json::json;

use crate::harness::{Fixture, start_with};

/// Installing and each run of the script end after this.
const RUN_MAX: Duration = Duration::from_secs(240);

async fn run(what: &str, command: &mut tokio::process::Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(RUN_MAX, command.output())
        .await
        .unwrap_or_else(|_| panic!("{what}: not done after {RUN_MAX:?}"))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A Python with this version of a package of Snowflake's.
async fn python_with(package: &str, version: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{package}-{version}"));
    let python = home.join("bin/python");
    let ready = home.join("ready");
    if !ready.exists() {
        let mut venv = tokio::process::Command::new("python3");
        run(
            "python3 -m venv (Python 3.9 or newer with venv is needed)",
            venv.args(["-m", "venv", "--clear"]).arg(&home),
        )
        .await;
        let mut pip = tokio::process::Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", &format!("{package}=={version}")]);
        run(&format!("pip install {package} (the Python package index is needed)"), &mut pip).await;
        std::fs::write(&ready, version).expect("the environment is marked as ready");
    }
    python
}

/// A new RSA key in PKCS #8 PEM.
fn private_key_pem() -> (String, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS #8");
    let wrap = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public.as_der().expect("X.509");
    (wrap("PRIVATE KEY", der.as_ref()), wrap("PUBLIC KEY", public.as_ref()))
}

struct Client {
    python: PathBuf,
    folder: tempfile::TempDir,
    scheme: &'static str,
}

impl Client {
    /// Runs one phase of the script; it asserts by itself.
    async fn phase(&self, fixture: &Fixture, phase: &str) {
        let emulator = fixture.emulator.as_ref().expect("the emulator runs");
        let address = if self.scheme == "https" { emulator.https.expect("https") } else { emulator.http };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/sdk.py");
        let mut command = tokio::process::Command::new(&self.python);
        command
            .arg(script)
            .args([phase, self.scheme, &address.port().to_string()])
            .arg(self.folder.path().join("key.p8"))
            .env("SSL_CERT_FILE", self.folder.path().join("ca.pem"));
        run(&format!("sdk.py {phase} over {}", self.scheme), &mut command).await;
    }
}

async fn conform(version: &str, scheme: &'static str, phases: &[&str]) {
    let python = python_with("snowpipe-streaming", version).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (private, public) = private_key_pem();
    std::fs::write(folder.path().join("key.p8"), private).expect("the key is written");
    let ca = folder.path().join("ca.pem");
    let address = "127.0.0.1:0".parse().expect("an address");
    let mut fixture = start_with(|config| config.tls = Some((address, ca))).await;
    // from here on the client's signature counts
    fixture.post("/_ctl/keys", &json!({"user": "U1", "public_keys": [public]})).await.ok();
    fixture.rows("CREATE TABLE t1 (id NUMBER(10,0) NOT NULL, v VARIANT, s VARCHAR)").await;
    let client = Client { python, folder, scheme };
    client.phase(&fixture, "first").await;
    assert_eq!(fixture.rows("SELECT COUNT(*), SUM(id) FROM t1").await, json!([["3", "6"]]));
    fixture.crash_and_restart().await;
    fixture.post("/_ctl/keys", &json!({"user": "U1", "public_keys": [public]})).await.ok();
    for phase in phases {
        client.phase(&fixture, phase).await;
    }
    let (_, other) = private_key_pem();
    fixture.post("/_ctl/keys", &json!({"user": "U1", "public_keys": [other]})).await.ok();
    client.phase(&fixture, "wrong-key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn official_client_1_9_1_over_https() {
    conform("1.9.1", "https", &["after-restart", "stale", "rejected", "file-mode"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn official_client_1_4_0_over_http() {
    // its file mode speaks to the public S3 end point whatever it is told, so it is left out here
    conform("1.4.0", "http", &["after-restart", "stale", "rejected"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_connector_5_2_0_over_http() {
    let python = python_with("snowflake-connector-python", "5.2.0").await;
    let fixture = start_with(|_| {}).await;
    let emulator = fixture.emulator.as_ref().expect("the emulator runs");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/connector.py");
    let mut command = tokio::process::Command::new(python);
    run("connector.py", command.arg(script).arg(emulator.http.port().to_string())).await;
}
