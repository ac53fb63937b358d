//! `cargo xtask tidy`: keeps the walls of the house.
//!
//! It fails on an arrow between crates that the map does not have, on a dependency that is banned where it stands,
//! and on a source file that is too long.

mod map;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use map::{BANNED_BELOW_CORE, BANNED_IN_CORE, BANNED_IN_LIBRARIES, Crate, FILE_LINES_MAX, Kind, MAP};

/// Folders with source of ours, from the workspace root.
const SOURCE_DIRS: [&str; 2] = ["crates", "benches"];

/// First line of a file that a program wrote; it may be long.
const GENERATED: &str = "// @generated";

/// What the checks need to know of a workspace.
#[derive(Debug, Default)]
struct Workspace {
    packages: BTreeMap<String, Package>,
    /// Below each member: every package in its tree of normal and build dependencies, with the way to it.
    trees: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Default)]
struct Package {
    /// Packages named under `[dependencies]` and `[build-dependencies]`.
    uses: BTreeSet<String>,
    /// Packages named under `[dev-dependencies]`.
    tests_use: BTreeSet<String>,
}

/// Runs all checks on the workspace around the current folder.
pub(crate) fn run() -> Result<()> {
    let metadata = MetadataCommand::new().exec().context("cargo metadata")?;
    let root = metadata.workspace_root.clone().into_std_path_buf();
    let mut findings = check_packages(&Workspace::read(&metadata)?);
    let (files, long) = check_files(&root)?;
    findings.extend(long);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!(
            "tidy: {} findings; the map is crates/xtask/src/tidy/map.rs and ARCHITECTURE.md",
            findings.len()
        );
    }
    println!("tidy: {} packages and {files} source files are in order", metadata.workspace_members.len());
    Ok(())
}

impl Workspace {
    fn read(metadata: &Metadata) -> Result<Self> {
        let mut workspace = Self::default();
        let names: BTreeMap<&PackageId, &str> =
            metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
        for member in metadata.workspace_packages() {
            let mut package = Package::default();
            for dependency in &member.dependencies {
                let side = match dependency.kind {
                    DependencyKind::Development => &mut package.tests_use,
                    _ => &mut package.uses,
                };
                side.insert(dependency.name.clone());
            }
            workspace.packages.insert(member.name.to_string(), package);
            workspace.trees.insert(member.name.to_string(), tree(metadata, &names, &member.id)?);
        }
        Ok(workspace)
    }
}

/// All packages that `from` is built with, each with the shortest way to it (`a -> b -> c`).
fn tree(
    metadata: &Metadata,
    names: &BTreeMap<&PackageId, &str>,
    from: &PackageId,
) -> Result<BTreeMap<String, String>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata: no dependency graph")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let name = |id: &PackageId| names.get(id).copied().unwrap_or("?").to_owned();
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::from([from]);
    let mut queue = VecDeque::from([(from, name(from))]);
    while let Some((id, way)) = queue.pop_front() {
        let Some(node) = nodes.get(id) else { continue };
        for dependency in &node.deps {
            let built = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if built && seen.insert(&dependency.pkg) {
                let way = format!("{way} -> {}", name(&dependency.pkg));
                found.entry(name(&dependency.pkg)).or_insert_with(|| way.clone());
                queue.push_back((&dependency.pkg, way));
            }
        }
    }
    Ok(found)
}

/// Arrows and banned dependencies.
fn check_packages(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, package) in &workspace.packages {
        match MAP.iter().find(|krate| krate.name == name) {
            Some(krate) => {
                findings.extend(check_arrows(workspace, krate, package));
                findings.extend(check_bans(workspace, krate, package));
            }
            None => findings.push(format!("{name}: is not on the map")),
        }
    }
    findings
}

fn check_arrows(workspace: &Workspace, krate: &Crate, package: &Package) -> Vec<String> {
    if krate.kind == Kind::Beside {
        return Vec::new();
    }
    let name = krate.name;
    let is_beside = |other: &str| MAP.iter().any(|krate| krate.name == other && krate.kind == Kind::Beside);
    let is_member = |other: &&String| workspace.packages.contains_key(*other);
    let uses = package.uses.iter().filter(is_member).filter(|other| !krate.may_use.contains(&other.as_str()));
    // What a test may use beyond that: the things beside the house.
    let tests_use = package.tests_use.iter().filter(is_member);
    let tests_use = tests_use.filter(|other| !krate.may_use.contains(&other.as_str()) && !is_beside(other));
    uses.map(|other| format!("{name} -> {other}: this arrow is not on the map"))
        .chain(tests_use.map(|other| format!("{name} -> {other} (in tests): this arrow is not on the map")))
        .collect()
}

fn check_bans(workspace: &Workspace, krate: &Crate, package: &Package) -> Vec<String> {
    let name = krate.name;
    let mut findings = Vec::new();
    let mut named = |banned: &[&str], why: &str| {
        let hits = banned.iter().filter(|banned| package.uses.contains(**banned));
        findings.extend(hits.map(|banned| format!("{name}: names {banned}, which {why}")));
    };
    if matches!(krate.kind, Kind::Core | Kind::Edge) {
        named(BANNED_IN_LIBRARIES, "belongs to binaries");
    }
    if krate.kind == Kind::Core {
        named(BANNED_IN_CORE, "a core crate takes as an argument");
        let tree = workspace.trees.get(name);
        let hits = BANNED_BELOW_CORE.iter().filter_map(|banned| tree?.get(*banned));
        findings.extend(hits.map(|way| format!("{name}: a core crate reaches a runtime or a socket: {way}")));
    }
    findings
}

/// The number of source files below `root`, and those that are too long.
fn check_files(root: &Path) -> Result<(usize, Vec<String>)> {
    let (mut files, mut findings) = (0, Vec::new());
    let mut dirs: Vec<_> = SOURCE_DIRS.iter().map(|dir| root.join(dir)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))? {
            let path = entry.with_context(|| format!("{}", dir.display()))?.path();
            if path.is_dir() {
                dirs.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
                let lines = text.lines().count();
                if lines > FILE_LINES_MAX && !text.starts_with(GENERATED) {
                    let path = path.strip_prefix(root).unwrap_or(&path).display();
                    findings.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
                }
            }
        }
    }
    Ok((files, findings))
}

#[cfg(test)]
mod tests;
