//! Java artifacts through the machine's own Maven, with its checksums enforced (`-C`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::place::filled;
use super::process::run;
use super::versions::versions;

const HINT: &str = "mvn is missing or failed: run scripts/setup, or apt-get install maven";

/// A Maven artifact.
#[derive(Debug, Clone)]
pub(super) struct Artifact {
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) version: String,
}

impl Artifact {
    pub(super) fn new(group: &'static str, name: impl Into<String>, version: &str) -> Self {
        Self { group, name: name.into(), version: version.to_owned() }
    }
}

/// A folder with these artifacts and all that they need at run time; filled once, named by `name`.
pub(super) fn jars(name: &str, artifacts: &[Artifact]) -> Result<PathBuf> {
    filled(name, "Maven", |new| {
        fs::write(new.join("pom.xml"), pom(artifacts)?).context("pom.xml")?;
        let mut mvn = Command::new("mvn");
        mvn.args(["-B", "-q", "-C", "-f", "pom.xml", "dependency:copy-dependencies"])
            .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
            .current_dir(new);
        run(&mut mvn).context(HINT).map(drop)
    })
    .map(|dir| dir.join("libs"))
}

/// A folder with the unpacked `tar.gz` of one artifact, without its dependencies.
pub(super) fn archive(name: &str, artifact: &Artifact, classifier: &str) -> Result<PathBuf> {
    filled(name, "Maven", |new| {
        let Artifact { group, name, version } = artifact;
        let plugin = versions()?.maven.dependency_plugin;
        let mut mvn = Command::new("mvn");
        mvn.args(["-B", "-q", "-C"])
            .arg(format!("org.apache.maven.plugins:maven-dependency-plugin:{plugin}:copy"))
            .arg(format!("-Dartifact={group}:{name}:{version}:tar.gz:{classifier}"))
            .arg("-DoutputDirectory=.")
            .current_dir(new);
        run(&mut mvn).context(HINT)?;
        let file = format!("{name}-{version}-{classifier}.tar.gz");
        run(Command::new("tar").args(["-xzf", &file, "--no-same-owner"]).current_dir(new))?;
        fs::remove_file(new.join(&file)).with_context(|| format!("{file}: remove"))
    })
}

fn pom(artifacts: &[Artifact]) -> Result<String> {
    let plugin = versions()?.maven.dependency_plugin;
    let dependency = |Artifact { group, name, version }: &Artifact| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let dependencies: String = artifacts.iter().map(dependency).collect();
    Ok(format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>cdcd</groupId><artifactId>services</artifactId><version>1</version>
  <dependencies>
{dependencies}  </dependencies>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>{plugin}</version>
  </plugin></plugins></build>
</project>
"#
    ))
}
