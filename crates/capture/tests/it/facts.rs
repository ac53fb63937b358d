//! What the catalog answered once answers for the same log again.

use std::collections::BTreeMap;

use cdcd_capture::catalog::TableFacts;
use cdcd_capture::config::{Config, JsonOptions};
use cdcd_capture::kept::{FactsRecord, KeptFacts};
use cdcd_capture::{Error, Pace};
use cdcd_pgoutput::Lsn;
use cdcd_pgoutput::relation::ReplicaIdentity;

use crate::harness::{Harness, config, insert, row};

/// With schemas in the events.
fn described() -> Config {
    let mut config = config();
    config.value = JsonOptions::default().into();
    config
}

/// The position topic: the newest value of each key.
#[derive(Default)]
struct Topic(BTreeMap<String, Vec<u8>>);

impl Topic {
    fn take(&mut self, h: &mut Harness) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some(FactsRecord { key, value }) = h.capture.poll_facts_record() {
            taken.push(if value.is_some() { "kept" } else { "forgotten" }.to_owned());
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
        taken
    }

    fn kept(&self) -> KeptFacts {
        let mut kept = KeptFacts::default();
        self.0.iter().for_each(|(key, value)| kept.insert(key, value).unwrap());
        kept
    }

    /// A process that starts when the log ends at `log_end`, and whose catalog says that `v` has or has not NOT NULL.
    fn restarted(&self, log_end: u64, not_null: bool) -> Harness {
        let mut h = Harness::new(described());
        h.capture.remember(self.kept(), Lsn(log_end), &[7]);
        h.facts.columns[1].not_null = not_null;
        h
    }
}

/// A log's end far behind all that a test commits.
const FAR: u64 = 1 << 40;

fn change(h: &mut Harness, v: Option<&str>) -> Result<(), Error> {
    h.begin();
    h.h1(ReplicaIdentity::Default);
    h.feed(&insert(&row([Some("1"), v])))?;
    h.commit();
    Ok(())
}

/// Whether the event's schema calls `v` optional.
fn is_optional(h: &mut Harness) -> bool {
    let sent = h.sent();
    let value: serde_json::Value = serde_json::from_str(sent[0].value.as_deref().unwrap()).unwrap();
    let after = &value["schema"]["fields"][1]["fields"];
    assert_eq!(after[1]["field"], "v");
    after[1]["optional"].as_bool().unwrap()
}

/// A position that covers everything; gives what was written with it.
fn committed(h: &mut Harness, topic: &mut Topic) -> Vec<String> {
    let point = h.capture.poll_commit(0, Pace::Stopping).unwrap();
    h.capture.forget_facts(point.done_end_lsn);
    let taken = topic.take(h);
    h.capture.handle_committed();
    taken
}

#[test]
fn a_replay_has_the_schema_of_the_first_time() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    change(&mut h, Some("a")).unwrap();
    assert_eq!(topic.take(&mut h), ["kept"]);
    assert!(!is_optional(&mut h));

    let mut h = topic.restarted(FAR, false);
    change(&mut h, Some("a")).unwrap();
    assert!(!is_optional(&mut h));
    assert!(topic.take(&mut h).is_empty(), "nothing new");
}

#[test]
fn what_commits_after_the_start_is_asked_anew() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    change(&mut h, Some("a")).unwrap();
    topic.take(&mut h);

    let mut h = topic.restarted(27_363_080, false);
    change(&mut h, Some("a")).unwrap();
    assert!(!is_optional(&mut h), "it was in the log at the start");
    // PostgreSQL does not describe the table again.
    h.begin();
    h.feed(&insert(&row([Some("2"), Some("b")]))).unwrap();
    assert!(is_optional(&mut h));
    assert_eq!(topic.take(&mut h), ["kept"]);
}

#[test]
fn an_answer_is_forgotten_once_a_position_is_past_the_one_that_replaced_it() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    change(&mut h, Some("a")).unwrap();
    h.sent();
    assert_eq!(committed(&mut h, &mut topic), ["kept"]);
    h.begin();
    h.table(ReplicaIdentity::Default, &[("id", true, 23), ("v", false, 25), ("w", false, 25)]);
    h.feed(&insert(&row([Some("2"), Some("b"), None]))).unwrap();
    h.sent();
    h.capture.forget_facts(h.capture.received_boundary());
    assert_eq!(topic.take(&mut h), ["kept"], "a replay could begin before this transaction");
    h.commit();
    assert_eq!(committed(&mut h, &mut topic), ["forgotten"]);
    assert_eq!(topic.0.len(), 1);
}

#[test]
fn answers_of_another_lineage_and_of_dropped_tables_are_forgotten() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    change(&mut h, Some("a")).unwrap();
    topic.take(&mut h);

    let mut other = Harness::with_lineage(described(), 1);
    other.capture.remember(topic.kept(), Lsn(FAR), &[7]);
    change(&mut other, Some("a")).unwrap();
    assert!(is_optional(&mut other), "asked anew");

    let mut h = Harness::new(described());
    h.capture.remember(topic.kept(), Lsn(27_363_080), &[]);
    h.facts = TableFacts::default();
    change(&mut h, Some("a")).unwrap();
    assert!(!is_optional(&mut h), "the table is gone, its changes are not");
    assert_eq!(committed(&mut h, &mut topic), ["forgotten"]);
}

#[test]
fn a_null_disproves_not_null_for_the_next_life() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    let error = change(&mut h, None).unwrap_err();
    let Error::OutdatedFacts { table, column, .. } = &error else { panic!("{error}") };
    topic.take(&mut h);

    let mut h = topic.restarted(FAR, true);
    h.capture.allow_null(table, column);
    change(&mut h, None).unwrap();
    assert!(is_optional(&mut h));
    assert_eq!(topic.take(&mut h), ["kept"], "so that the next process knows");
    let mut h = topic.restarted(FAR, true);
    change(&mut h, None).unwrap();
}

#[test]
fn a_record_that_is_not_ours_is_refused() {
    let mut topic = Topic::default();
    let mut h = topic.restarted(0, true);
    change(&mut h, Some("a")).unwrap();
    topic.take(&mut h);
    let (key, value) = topic.0.first_key_value().unwrap();
    let refused = |key: &str, value: &str| KeptFacts::default().insert(key, value.as_bytes()).unwrap_err();
    let text = String::from_utf8(value.clone()).unwrap();
    assert!(refused("facts.7.0000000000000000", &text).to_string().contains("belongs under"));
    assert!(refused(key, &text.replace("\"v\":1", "\"v\":2")).to_string().contains("a later cdcd"));
    assert!(refused(key, "{}").to_string().contains("E_POSITION_FORMAT"));
    assert!(refused(key, &text.replace("\"d\"", "\"x\"")).to_string().contains("replica identity"));
}
