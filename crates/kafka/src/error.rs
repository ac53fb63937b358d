use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What can go wrong with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client property that cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// The property as the user wrote it.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// A record that is larger than the client or the topic takes.
    #[error("a record of {bytes} bytes for topic {topic} is too large")]
    TooLarge {
        /// Topic.
        topic: String,
        /// Key and value together.
        bytes: usize,
    },
    /// Kafka refused a record, definitely.
    #[error("Kafka refused a record for topic {topic}")]
    Refused {
        /// Topic.
        topic: String,
        /// Cause.
        source: KafkaError,
    },
    /// Another producer took our transactional id over, or the broker ended our transaction.
    #[error("another producer took over, or the broker ended the transaction")]
    Fenced {
        /// Cause.
        source: KafkaError,
    },
    /// The cluster has no transactions, or not for this user.
    #[error("Kafka refuses transactions")]
    TransactionsRefused {
        /// Cause.
        source: KafkaError,
    },
    /// Any other failure.
    #[error("{doing}")]
    Client {
        /// What was being done.
        doing: String,
        /// Cause.
        source: KafkaError,
    },
}

impl Error {
    pub(crate) fn client(doing: impl Into<String>, source: KafkaError) -> Self {
        Error::Client { doing: doing.into(), source }
    }

    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Config { .. } | Error::TooLarge { .. } | Error::TransactionsRefused { .. } => false,
            Error::Fenced { .. } => true,
            Error::Refused { source, .. } | Error::Client { source, .. } => {
                source.rdkafka_error_code().is_none_or(is_transient)
            }
        }
    }
}

/// Kafka's codes are transient unless a person must change something.
fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        Authentication, ClusterAuthorizationFailed, Fenced, GroupAuthorizationFailed, InvalidConfig,
        InvalidReplicationFactor, InvalidTopic, MessageSizeTooLarge, PolicyViolation, ProducerFenced,
        SaslAuthenticationFailed, TopicAuthorizationFailed, TransactionalIdAuthorizationFailed, UnknownTopic,
    };
    !matches!(
        code,
        Authentication
            | ClusterAuthorizationFailed
            | Fenced
            | GroupAuthorizationFailed
            | InvalidConfig
            | InvalidReplicationFactor
            | InvalidTopic
            | MessageSizeTooLarge
            | PolicyViolation
            | ProducerFenced
            | SaslAuthenticationFailed
            | TopicAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | UnknownTopic
    )
}
