//! Ids of the schemas that transformed records have: known only when the first record of a schema is there.
//!
//! Such a record is written with a frame that lacks its id. The schema is asked for, and the id is put into the frame
//! before the record is offered to anybody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cdcd_debezium::format::avro_schema::{self, InvalidName};
use cdcd_debezium::format::writer::RecordWriter;
use cdcd_debezium::schema::Schema;

use crate::converter::{AvroOptions, Half, SchemaRequest};

/// Schemas, and texts of schemas, that are remembered; more than any connector has tables, few enough to forget all
/// at once.
const REMEMBERED_MAX: usize = 4096;

/// The ids of one half's schemas.
pub(crate) struct Registered {
    half: Half,
    options: AvroOptions,
    /// By the schema's address; what is kept with it keeps the address from being used again.
    ids: BTreeMap<usize, (Arc<Schema>, BTreeMap<String, u32>)>,
    /// By subject and text: a transformation may make equal schemas again and again.
    told: BTreeMap<(String, String), u32>,
    waiting: VecDeque<Waiting>,
}

/// A question with the frames that wait for its answer.
struct Waiting {
    request: SchemaRequest,
    starts: Vec<usize>,
}

impl Registered {
    pub(crate) fn new(half: Half, options: AvroOptions) -> Self {
        Registered { half, options, ids: BTreeMap::new(), told: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Puts the id of a record's schema into the frame that begins at `start`, at once or when it is told.
    pub(crate) fn frame(
        &mut self,
        topic: &str,
        schema: &Arc<Schema>,
        start: usize,
        writer: &mut RecordWriter,
    ) -> Result<(), InvalidName> {
        let address = Arc::as_ptr(schema) as usize;
        if let Some(id) = self.ids.get(&address).and_then(|(_, topics)| topics.get(topic)) {
            writer.set_schema_id(start, *id);
            return Ok(());
        }
        let request = self.options.request(self.half, topic, schema)?;
        let key = (request.subject, request.schema);
        if let Some(id) = self.told.get(&key) {
            writer.set_schema_id(start, *id);
            if self.ids.len() >= REMEMBERED_MAX {
                self.ids.clear();
            }
            let (_, topics) =
                self.ids.entry(address).or_insert_with(|| (Arc::clone(schema), BTreeMap::new()));
            topics.insert(topic.to_owned(), *id);
            return Ok(());
        }
        let (subject, schema) = key;
        let asked =
            |waiting: &&mut Waiting| waiting.request.subject == subject && waiting.request.schema == schema;
        match self.waiting.iter_mut().find(asked) {
            Some(waiting) => waiting.starts.push(start),
            None => {
                let request = SchemaRequest { half: self.half, subject, schema };
                self.waiting.push_back(Waiting { request, starts: vec![start] });
            }
        }
        Ok(())
    }

    /// What is to be answered next.
    pub(crate) fn asks(&self) -> Option<&SchemaRequest> {
        self.waiting.front().map(|waiting| &waiting.request)
    }

    /// Takes the answer to [`Registered::asks`].
    pub(crate) fn answer(&mut self, id: u32, writer: &mut RecordWriter) {
        let Some(Waiting { request, starts }) = self.waiting.pop_front() else { return };
        for start in starts {
            writer.set_schema_id(start, id);
        }
        if self.told.len() >= REMEMBERED_MAX {
            self.told.clear();
        }
        self.told.insert((request.subject, request.schema), id);
    }
}

impl AvroOptions {
    /// What is asked of a registry.
    pub(crate) fn request(
        &self,
        half: Half,
        topic: &str,
        schema: &Schema,
    ) -> Result<SchemaRequest, InvalidName> {
        Ok(SchemaRequest {
            half,
            subject: self.subject.of(half, topic, schema.name.as_deref().unwrap_or_default()),
            schema: avro_schema::render(schema, self.meta_data)?,
        })
    }
}
