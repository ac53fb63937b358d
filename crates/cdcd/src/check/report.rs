//! What was found, and how it is printed: for people, or as JSON.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It runs, but somebody should know.
    Warn,
    /// It cannot run, or would lose data.
    Fail,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Warn => "warn",
            Mark::Fail => "FAIL",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Mark::Ok => "\x1b[32m",
            Mark::Warn => "\x1b[33m",
            Mark::Fail => "\x1b[1;31m",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Heading that it stands under.
    pub group: &'static str,
    /// How bad.
    pub mark: Mark,
    /// What was found; no final stop, no secret.
    pub text: String,
    /// What mends it: SQL that ends with a semicolon, or a sentence.
    pub mend: Vec<String>,
}

/// One property as the connector will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name.
    pub key: String,
    /// Value; `***` for a secret.
    pub value: String,
    /// Where it came from.
    pub origin: &'static str,
}

/// Everything that `cdcd check` tells.
#[derive(Debug, Default)]
pub struct Report {
    /// Name of the connector.
    pub connector: String,
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
    /// In the order of their names.
    pub settings: Vec<Setting>,
}

impl Report {
    /// Adds a line.
    pub fn add(&mut self, group: &'static str, mark: Mark, text: impl Into<String>) {
        self.findings.push(Finding { group, mark, text: text.into(), mend: Vec::new() });
    }

    /// Adds a line with what mends it.
    pub fn mend<S: Into<String>>(
        &mut self,
        group: &'static str,
        mark: Mark,
        text: impl Into<String>,
        mend: impl IntoIterator<Item = S>,
    ) {
        let mend = mend.into_iter().map(Into::into).collect();
        self.findings.push(Finding { group, mark, text: text.into(), mend });
    }

    /// Findings of a kind.
    pub fn count(&self, mark: Mark) -> usize {
        self.findings.iter().filter(|finding| finding.mark == mark).count()
    }

    /// For standard output.
    pub fn text(&self) -> String {
        let colour = std::io::stdout().is_terminal();
        let mut text = String::new();
        let mut group = "";
        for finding in &self.findings {
            if finding.group != group {
                group = finding.group;
                push(&mut text, format_args!("{group}\n"));
            }
            let (start, end) = if colour { (finding.mark.colour(), "\x1b[0m") } else { ("", "") };
            push(&mut text, format_args!("  {start}{:4}{end}  {}\n", finding.mark.word(), finding.text));
            for line in finding.mend.iter().flat_map(|mend| mend.lines()) {
                push(&mut text, format_args!("          {line}\n"));
            }
        }
        if !self.settings.is_empty() {
            text.push_str("values and where they came from\n");
            let width = self.settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0).min(44);
            for Setting { key, value, origin } in &self.settings {
                push(&mut text, format_args!("        {key:width$}  {value}  ({origin})\n"));
            }
        }
        let (fail, warn) = (self.count(Mark::Fail), self.count(Mark::Warn));
        let verdict = match (fail, warn) {
            (0, 0) => "nothing is wrong".to_owned(),
            (0, warn) => format!("it can run; {warn} to know about"),
            (fail, warn) => format!("it cannot run: {fail} to mend, {warn} to know about"),
        };
        push(&mut text, format_args!("{}: {verdict}\n", self.connector));
        text
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let worst = self.findings.iter().map(|finding| finding.mark).max().unwrap_or(Mark::Ok);
        let finding = |finding: &Finding| {
            json!({
                "group": finding.group,
                "mark": finding.mark.word().to_lowercase(),
                "text": finding.text,
                "mend": finding.mend,
            })
        };
        let setting = |setting: &Setting| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin });
        json!({
            "connector": self.connector,
            "verdict": worst.word().to_lowercase(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "properties": self.settings.iter().map(setting).collect::<Vec<_>>(),
        })
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(arguments);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_once_and_what_mends_is_indented() {
        let mut report = Report { connector: "shop".to_owned(), ..Report::default() };
        report.add("server", Mark::Ok, "PostgreSQL 17.2");
        report.mend(
            "server",
            Mark::Fail,
            "wal_level is replica",
            ["ALTER SYSTEM SET wal_level = 'logical';"],
        );
        report.add("kafka", Mark::Warn, "one broker");
        let expected = "server\n  ok    PostgreSQL 17.2\n  FAIL  wal_level is replica\n          ALTER SYSTEM SET \
                        wal_level = 'logical';\nkafka\n  warn  one broker\nshop: it cannot run: 1 to mend, 1 to know about\n";
        assert_eq!(report.text(), expected);
        assert_eq!(report.json()["verdict"], "fail");
        assert_eq!(report.json()["findings"][1]["mend"][0], "ALTER SYSTEM SET wal_level = 'logical';");
    }
}
