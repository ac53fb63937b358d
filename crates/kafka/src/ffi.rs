//! The one file with unsafe code: what librdkafka can do and rdkafka does not expose.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::Error;

/// Kafka's ids of `topics`, in their order. Needs brokers of version 2.8 or newer. Blocks for at most `timeout`.
///
/// # Errors
/// [`Error::Client`] when the cluster does not answer in time, refuses, or does not know a topic.
pub(crate) fn topic_ids(
    client: *mut rd::rd_kafka_t,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<[u8; 16]>, Error> {
    let doing = || "asking for topic ids".to_owned();
    let failed = |code: RDKafkaErrorCode| Error::client(doing(), KafkaError::AdminOp(code));
    let names: Vec<CString> = topics
        .iter()
        .map(|name| CString::new(name.as_str()).map_err(|_| failed(RDKafkaErrorCode::InvalidTopic)))
        .collect::<Result<_, _>>()?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let event = ask(client, &names, timeout_ms).ok_or_else(|| failed(RDKafkaErrorCode::OperationTimedOut))?;
    read(&event, topics.len()).map_err(failed)
}

/// Sends what waits in the producer without regard to `linger.ms`, and returns when all of it is answered or after
/// `timeout`. rdkafka's own flush asks for no time, which senders may not notice, and then sleeps.
pub(crate) fn flush(client: *mut rd::rd_kafka_t, timeout: Duration) {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `client` is a live handle, because the caller borrows it from a producer that it owns. Whether all was
    // answered is seen by the count of what is in flight.
    let _ = unsafe { rd::rd_kafka_flush(client, timeout_ms) };
}

/// An event of librdkafka, destroyed with this value.
struct Event(*mut rd::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `rd_kafka_queue_poll`, is not null, and nobody else destroys it.
        unsafe { rd::rd_kafka_event_destroy(self.0) };
    }
}

fn ask(client: *mut rd::rd_kafka_t, names: &[CString], timeout_ms: i32) -> Option<Event> {
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `client` is a live handle, because the caller borrows it from a consumer that it owns. The name
    // pointers live until the end of this function, and the collection copies them. Each object made here is
    // destroyed here once, after the last use. The answer is an event of its own.
    unsafe {
        let queue = rd::rd_kafka_queue_new(client);
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options =
            rd::rd_kafka_AdminOptions_new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut problem: [c_char; 256] = [0; 256];
        rd::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            problem.as_mut_ptr(),
            problem.len(),
        );
        rd::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(collection);
        rd::rd_kafka_queue_destroy(queue);
        (!event.is_null()).then_some(Event(event))
    }
}

fn read(event: &Event, wanted: usize) -> Result<Vec<[u8; 16]>, RDKafkaErrorCode> {
    let no_error = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: the event is alive for the whole function, and everything that is read belongs to it: the result, the
    // array of `count` descriptions, their names, errors and ids. Null results are checked before they are read.
    unsafe {
        let code = rd::rd_kafka_event_error(event.0);
        if code != no_error {
            return Err(code.into());
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let descriptions = rd::rd_kafka_DescribeTopics_result_topics(result, ptr::from_mut(&mut count));
        if descriptions.is_null() || count != wanted {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut ids = Vec::with_capacity(count);
        for at in 0..count {
            let description = *descriptions.add(at);
            let error = rd::rd_kafka_TopicDescription_error(description);
            let code = if error.is_null() { no_error } else { rd::rd_kafka_error_code(error) };
            if code != no_error {
                let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(description));
                tracing::warn!(topic = %name.to_string_lossy(), "the cluster does not describe a topic");
                return Err(code.into());
            }
            let id = rd::rd_kafka_TopicDescription_topic_id(description);
            if id.is_null() {
                return Err(RDKafkaErrorCode::UnsupportedFeature);
            }
            let mut bytes = [0; 16];
            let (high, low) = bytes.split_at_mut(8);
            high.copy_from_slice(&rd::rd_kafka_Uuid_most_significant_bits(id).to_be_bytes());
            low.copy_from_slice(&rd::rd_kafka_Uuid_least_significant_bits(id).to_be_bytes());
            ids.push(bytes);
        }
        Ok(ids)
    }
}
