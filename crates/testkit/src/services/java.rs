//! Finds an installed Java.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The `java` of the oldest installed release that is at least `min`; `JAVA_HOME` wins if it is new enough.
///
/// The oldest: it is the one that the pinned versions were tried with.
pub(super) fn java(min: u32) -> Result<PathBuf> {
    let mut homes: Vec<PathBuf> = Vec::new();
    if let Some(home) = std::env::var_os("JAVA_HOME") {
        let home = PathBuf::from(home);
        if major(&home).is_some_and(|major| major >= min) {
            return Ok(home.join("bin/java"));
        }
    }
    for dir in ["/usr/lib/jvm", "/opt/java", "/opt"] {
        homes.extend(fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    if let Ok(java) = fs::canonicalize("/usr/bin/java") {
        homes.extend(java.ancestors().nth(2).map(Path::to_owned));
    }
    let found = homes.into_iter().filter_map(|home| Some((major(&home)?, home)));
    let mut found: Vec<(u32, PathBuf)> = found.filter(|(_, home)| home.join("bin/java").exists()).collect();
    found.sort();
    if let Some((_, home)) = found.iter().find(|(major, _)| *major >= min) {
        return Ok(home.join("bin/java"));
    }
    let have: Vec<String> = found.iter().map(|(major, _)| major.to_string()).collect();
    let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
    bail!(
        "Java {min} or newer is missing (found: {have}): run scripts/setup, or apt-get install openjdk-{min}-jre-headless, \
         or install a newer JDK below /usr/lib/jvm, or set JAVA_HOME"
    )
}

/// The major release of a Java home, from its `release` file: `JAVA_VERSION="17.0.15"`.
fn major(home: &Path) -> Option<u32> {
    let release = fs::read_to_string(home.join("release")).ok()?;
    let version = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    version.trim_matches('"').split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn missing_java_is_told_with_what_is_there_and_how_to_get_it() {
        let error = super::java(999).unwrap_err().to_string();
        assert!(error.contains("999") && error.contains("apt-get install"), "{error}");
    }
}
