//! What the catalog answered before, in the position topic: `<name>.facts.<oid>.<hash>`.

use std::collections::BTreeMap;

use cdcd_capture::Capture;
use cdcd_capture::kept::KeptFacts;

use crate::exit::Failure;

/// Records of the position topic that hold answers, by what stands behind the connector's name. They are read only by
/// those who capture.
#[derive(Debug, Default)]
pub(crate) struct FactsRecords(BTreeMap<String, Vec<u8>>);

impl FactsRecords {
    /// Those of connector `name` among the records of its position topic.
    pub(crate) fn of(name: &str, values: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let prefix = format!("{name}.");
        let records = values.iter().filter_map(|(key, value)| {
            let key = std::str::from_utf8(key).ok()?.strip_prefix(&prefix)?;
            key.starts_with("facts.").then(|| (key.to_owned(), value.clone()))
        });
        FactsRecords(records.collect())
    }

    /// # Errors
    /// `E_POSITION_FORMAT` if one cannot be read.
    pub(crate) fn read(&self) -> Result<KeptFacts, Failure> {
        let mut kept = KeptFacts::default();
        for (key, value) in &self.0 {
            kept.insert(key, value)?;
        }
        Ok(kept)
    }
}

/// Columns that a change has shown to hold NULL while the catalog's answer called them NOT NULL: the answer is of
/// another time than the change, and the next life does not take its word for it.
#[derive(Debug, Default)]
pub(super) struct Disproved(Vec<(String, String)>);

impl Disproved {
    /// Makes a failure that shows a new one into one that the next life survives.
    pub(super) fn learn(&mut self, mut failure: Failure) -> Failure {
        let found =
            failure.error.chain().find_map(|cause| match cause.downcast_ref::<cdcd_capture::Error>() {
                Some(cdcd_capture::Error::OutdatedFacts { table, column, .. }) => {
                    Some((table.clone(), column.clone()))
                }
                _ => None,
            });
        if let Some(found) = found
            && !self.0.contains(&found)
        {
            self.0.push(found);
            failure.transient = true;
        }
        failure
    }

    pub(super) fn tell(&self, capture: &mut Capture) {
        for (table, column) in &self.0 {
            capture.allow_null(table, column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_others_are_left_alone_and_one_that_cannot_be_read_is_named() {
        let value = |text: &str| text.as_bytes().to_vec();
        let values = BTreeMap::from([
            (value("srv"), value("{}")),
            (value("srv.publication"), value("{}")),
            (value("other.facts.1.0"), value("{}")),
        ]);
        assert!(FactsRecords::of("srv", &values).read().unwrap().is_empty());
        let values = BTreeMap::from([(value("srv.facts.1.0"), value("{\"v\":1}"))]);
        let failure = FactsRecords::of("srv", &values).read().unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Guard);
        let said = failure.render();
        assert!(said.contains("E_POSITION_FORMAT") && said.contains("facts.1.0"), "{said}");
    }

    #[test]
    fn a_disproved_column_is_tried_again_once() {
        let failure = || {
            Failure::from(cdcd_capture::Error::OutdatedFacts {
                table: "public.t".to_owned(),
                column: "v".to_owned(),
                lsn: cdcd_pgoutput::Lsn(1),
            })
        };
        let mut disproved = Disproved::default();
        assert!(disproved.learn(failure()).transient);
        assert!(!disproved.learn(failure()).transient);
    }
}
