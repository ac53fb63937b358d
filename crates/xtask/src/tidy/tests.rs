use std::process::Command;

use super::*;

/// A workspace of empty packages on the disk, seen through the real `cargo metadata`.
struct Planted(tempfile::TempDir);

impl Planted {
    /// `(package, [dependencies], [dev-dependencies])`; a package that is only named by others is made as well,
    /// outside the workspace.
    fn new(packages: &[(&str, &[&str], &[&str])]) -> Result<Self> {
        let planted = Self(tempfile::tempdir()?);
        let members: Vec<String> = packages.iter().map(|(name, ..)| format!("\"crates/{name}\"")).collect();
        let is_member = |name: &str| packages.iter().any(|(member, ..)| *member == name);
        let root = format!(
            "[workspace]\nresolver = \"3\"\nmembers = [{}]\nexclude = [\"foreign\"]\n",
            members.join(", ")
        );
        planted.write("Cargo.toml", &root)?;
        fs::create_dir_all(planted.0.path().join("benches"))?;
        for (name, uses, tests_use) in packages {
            let line = |other: &&str| {
                let dir = if is_member(other) { "../" } else { "../../foreign/" };
                format!("{other} = {{ path = \"{dir}{other}\" }}\n")
            };
            let (uses_lines, tests_lines): (String, String) =
                (uses.iter().map(line).collect(), tests_use.iter().map(line).collect());
            let sections = format!("[dependencies]\n{uses_lines}[dev-dependencies]\n{tests_lines}");
            planted.package(&format!("crates/{name}"), name, &sections)?;
            for other in uses.iter().chain(*tests_use).filter(|other| !is_member(other)) {
                planted.package(&format!("foreign/{other}"), other, "")?;
            }
        }
        Ok(planted)
    }

    fn package(&self, dir: &str, name: &str, sections: &str) -> Result<()> {
        let package =
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n{sections}");
        self.write(&format!("{dir}/Cargo.toml"), &package)?;
        self.write(&format!("{dir}/src/lib.rs"), "")
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().context("parent")?)?;
        Ok(fs::write(path, text)?)
    }

    fn findings(&self) -> Result<String> {
        let mut command = MetadataCommand::new();
        command.current_dir(self.0.path()).other_options(["--offline".to_owned()]);
        Ok(check_packages(&Workspace::read(&command.exec()?)?).join("\n"))
    }
}

type Planting<'a> = &'a [(&'a str, &'a [&'a str], &'a [&'a str])];

fn check(packages: Planting<'_>, expect: &str) -> Result<()> {
    assert_eq!(Planted::new(packages)?.findings()?, expect);
    Ok(())
}

#[test]
fn arrows_of_the_map_pass() {
    let packages: Planting<'_> = &[
        ("cdcd-pgoutput", &["bytes"], &["proptest"]),
        ("cdcd-debezium", &[], &[]),
        ("cdcd-capture", &["cdcd-pgoutput", "cdcd-debezium"], &["cdcd-testkit"]),
        ("cdcd-postgres", &["cdcd-pgoutput", "tokio"], &["cdcd-testkit"]),
        ("cdcd-testkit", &["anyhow", "cdcd-debezium"], &[]),
        ("cdcd", &["cdcd-capture", "cdcd-postgres", "anyhow", "clap"], &["cdcd-flights"]),
        ("cdcd-flights", &["tokio"], &[]),
    ];
    check(packages, "").unwrap();
}

#[test]
fn arrow_between_edges_is_found() {
    check(
        &[("cdcd-postgres", &["cdcd-kafka"], &[]), ("cdcd-kafka", &[], &[])],
        "cdcd-postgres -> cdcd-kafka: this arrow is not on the map",
    )
    .unwrap();
}

#[test]
fn arrow_in_tests_is_found_unless_it_leaves_the_house() {
    check(
        &[
            ("cdcd-debezium", &[], &["cdcd-pgoutput", "cdcd-testkit"]),
            ("cdcd-pgoutput", &[], &[]),
            ("cdcd-testkit", &[], &[]),
        ],
        "cdcd-debezium -> cdcd-pgoutput (in tests): this arrow is not on the map",
    )
    .unwrap();
}

#[test]
fn house_that_leans_on_its_tools_is_found() {
    check(
        &[("cdcd", &["cdcd-testkit"], &[]), ("cdcd-testkit", &[], &[])],
        "cdcd -> cdcd-testkit: this arrow is not on the map",
    )
    .unwrap();
}

#[test]
fn package_that_is_not_on_the_map_is_found() {
    check(&[("cdcd-common", &[], &[])], "cdcd-common: is not on the map").unwrap();
}

#[test]
fn runtime_below_a_core_crate_is_found_with_the_way_to_it() {
    let planted = Planted::new(&[("cdcd-sink", &["innocent"], &["tokio"])]).unwrap();
    assert_eq!(planted.findings().unwrap(), "", "a runtime in tests is allowed");
    planted
        .package("foreign/innocent", "innocent", "[dependencies]\ntokio = { path = \"../tokio\" }\n")
        .unwrap();
    assert_eq!(
        planted.findings().unwrap(),
        "cdcd-sink: a core crate reaches a runtime or a socket: cdcd-sink -> innocent -> tokio"
    );
}

#[test]
fn tools_of_binaries_in_libraries_are_found() {
    check(
        &[("cdcd-kafka", &["clap", "tokio"], &["anyhow"]), ("cdcd-pgoutput", &["anyhow", "rand"], &[])],
        "cdcd-kafka: names clap, which belongs to binaries\n\
         cdcd-pgoutput: names anyhow, which belongs to binaries\n\
         cdcd-pgoutput: names rand, which a core crate takes as an argument",
    )
    .unwrap();
}

#[test]
fn long_source_file_is_found_unless_generated() {
    let planted = Planted::new(&[("cdcd-sink", &[], &[])]).unwrap();
    let full = "//\n".repeat(FILE_LINES_MAX);
    planted.write("crates/cdcd-sink/src/full.rs", &full).unwrap();
    planted.write("benches/made.rs", &format!("{GENERATED} by nobody\n{full}")).unwrap();
    assert_eq!(check_files(planted.0.path()).unwrap(), (3, vec![]));
    planted.write("crates/cdcd-sink/src/a/long.rs", &format!("{full}//\n")).unwrap();
    let (files, findings) = check_files(planted.0.path()).unwrap();
    assert_eq!(files, 4);
    assert_eq!(findings, ["crates/cdcd-sink/src/a/long.rs: 1501 lines, at most 1500"]);
}

/// Every line of a core crate's `clippy.toml` is alive: code that uses what it disallows does not pass.
#[test]
fn clippy_walls_of_core_crates_stop_clocks_sockets_files_threads_and_random_state() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let core = MAP.iter().filter(|krate| krate.kind == Kind::Core);
    let walls = core.map(|krate| {
        let dir = krate.name.strip_prefix("cdcd-").unwrap();
        fs::read_to_string(root.join("crates").join(dir).join("clippy.toml")).unwrap()
    });
    let walls: Vec<String> = walls.collect();
    assert!(
        walls.len() >= 4 && walls.iter().all(|wall| *wall == walls[0]),
        "the core crates' clippy.toml differ"
    );

    let planted = Planted::new(&[("cdcd-sink", &[], &[])]).unwrap();
    planted.write("clippy.toml", &walls[0]).unwrap();
    let table: toml::Table = walls[0].parse().unwrap();
    let paths = |key: &str| -> Vec<String> {
        let entries = table[key].as_array().unwrap();
        entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    };
    let (types, methods) = (paths("disallowed-types"), paths("disallowed-methods"));
    assert!(types.len() >= 10 && methods.len() >= 10, "{types:?} {methods:?}");
    let mut code = String::new();
    for (i, path) in types.iter().enumerate() {
        code.push_str(&format!("pub type T{i} = {path};\n"));
    }
    for (i, path) in methods.iter().enumerate() {
        let uses = match path.as_str() {
            "std::collections::HashMap::new" | "std::collections::HashMap::with_capacity" => {
                path.replace("HashMap", "HashMap::<u8, u8>")
            }
            "std::collections::HashSet::new" | "std::collections::HashSet::with_capacity" => {
                path.replace("HashSet", "HashSet::<u8>")
            }
            "std::env::var" | "std::env::var_os" => format!("{path}::<&str>"),
            "std::thread::spawn" => format!("{path}::<fn(), ()>"),
            "std::process::exit" | "std::thread::sleep" => path.clone(),
            path if path.starts_with("std::fs::") => match path {
                "std::fs::write" => format!("{path}::<&str, &str>"),
                _ => format!("{path}::<&str>"),
            },
            path => path.to_owned(),
        };
        code.push_str(&format!("pub fn m{i}() {{ let _ = {uses}; }}\n"));
    }
    planted.write("crates/cdcd-sink/src/lib.rs", &code).unwrap();
    let mut clippy = Command::new(env!("CARGO"));
    clippy.args(["clippy", "--quiet", "--offline", "--", "-D", "warnings"]);
    clippy.current_dir(planted.0.path().join("crates/cdcd-sink"));
    clippy.env("CARGO_TARGET_DIR", planted.0.path().join("target")).env_remove("CLIPPY_CONF_DIR");
    let output = clippy.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "clippy passed");
    for path in &types {
        assert!(words.contains(&format!("disallowed type `{path}`")), "{path} passed:\n{words}");
    }
    for path in &methods {
        assert!(words.contains(&format!("disallowed method `{path}`")), "{path} passed:\n{words}");
    }
}

#[test]
fn workspace_as_it_stands_is_in_order() {
    let metadata = MetadataCommand::new().other_options(["--offline".to_owned()]).exec().unwrap();
    let workspace = Workspace::read(&metadata).unwrap();
    assert_eq!(check_packages(&workspace), Vec::<String>::new());
    let capture = &workspace.trees["cdcd-capture"];
    assert!(capture.contains_key("cdcd-pgoutput") && capture.contains_key("cdcd-debezium"), "{capture:?}");
    assert!(workspace.trees["cdcd"].contains_key("tokio"), "the tree of the binary has a runtime");
}
