//! Java's client property names on librdkafka.
//!
//! Users write `producer.override.max.request.size` or `sasl.jaas.config`, as for any Java client. Names
//! that librdkafka shares pass as they are; names that differ are translated; names that only tune the JVM
//! are left out; a name that would change meaning and cannot be honoured is an error.

use std::collections::BTreeMap;

use crate::error::Error;

/// Settings of one librdkafka client, in librdkafka's names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientConfig {
    entries: BTreeMap<String, String>,
}

/// What becomes of one Java property.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Translated {
    Set(Vec<(String, String)>),
    Nothing,
    Refused(String),
}

impl ClientConfig {
    /// Settings for a cluster.
    pub fn new(bootstrap_servers: &str) -> Self {
        let mut config = ClientConfig::default();
        config.set("bootstrap.servers", bootstrap_servers);
        config
    }

    /// Sets a librdkafka property.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.entries.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a librdkafka property unless it is set already.
    pub fn set_default(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.entries.entry(key.to_owned()).or_insert_with(|| value.into());
        self
    }

    /// The value of a librdkafka property.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// Takes one property in Java's name (without `producer.`, `consumer.` or `…override.`).
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be honoured.
    pub fn set_java(&mut self, key: &str, value: &str) -> Result<(), Error> {
        match translate(key, value) {
            Translated::Set(pairs) => {
                self.entries.extend(pairs);
                Ok(())
            }
            Translated::Nothing => Ok(()),
            Translated::Refused(problem) => Err(Error::Config { key: key.to_owned(), problem }),
        }
    }

    pub(crate) fn to_rdkafka(&self) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        for (key, value) in &self.entries {
            config.set(key, value);
        }
        config
    }
}

impl std::fmt::Debug for ClientConfig {
    /// Values of secrets are never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = |key: &str| key.contains("password") || key.contains("secret") || key.ends_with(".pem");
        f.debug_map()
            .entries(self.entries.iter().map(|(key, value)| (key, if secret(key) { "***" } else { value })))
            .finish()
    }
}

fn translate(key: &str, value: &str) -> Translated {
    let set = |key: &str| Translated::Set(vec![(key.to_owned(), value.to_owned())]);
    match key {
        "max.request.size" => set("message.max.bytes"),
        "buffer.memory" => kilobytes("queue.buffering.max.kbytes", value),
        "delivery.timeout.ms" => set("message.timeout.ms"),
        "fetch.max.wait.ms" => set("fetch.wait.max.ms"),
        "receive.buffer.bytes" => set("socket.receive.buffer.bytes"),
        "send.buffer.bytes" => set("socket.send.buffer.bytes"),
        "sasl.jaas.config" => jaas(value),
        "ssl.endpoint.identification.algorithm" if value.is_empty() => {
            Translated::Set(vec![(key.to_owned(), "none".to_owned())])
        }
        "ssl.truststore.location" => store(key, value, "ssl.ca.location"),
        "ssl.truststore.certificates" => set("ssl.ca.pem"),
        "ssl.truststore.type" | "ssl.keystore.type" if value.eq_ignore_ascii_case("PEM") => {
            Translated::Nothing
        }
        "ssl.keystore.location" if value.ends_with(".p12") || value.ends_with(".pfx") => set(key),
        "ssl.keystore.location" => store(key, value, "ssl.certificate.location"),
        "ssl.keystore.certificate.chain" => set("ssl.certificate.pem"),
        "ssl.keystore.key" => set("ssl.key.pem"),
        "ssl.truststore.type" | "ssl.keystore.type" => {
            Translated::Refused("only PEM and, for key stores, PKCS12 can be read".to_owned())
        }
        // The client is ours, the JVM is not there.
        "ssl.truststore.password"
        | "key.serializer"
        | "value.serializer"
        | "key.deserializer"
        | "value.deserializer"
        | "max.block.ms"
        | "max.poll.records"
        | "interceptor.classes"
        | "metric.reporters"
        | "enable.auto.commit"
        | "ssl.protocol"
        | "ssl.enabled.protocols" => Translated::Nothing,
        // The rest has the same name on both sides; librdkafka refuses what it does not know.
        same => set(same),
    }
}

fn kilobytes(key: &str, value: &str) -> Translated {
    match value.parse::<u64>() {
        Ok(bytes) => Translated::Set(vec![(key.to_owned(), bytes.div_ceil(1024).to_string())]),
        Err(_) => Translated::Refused(format!("'{value}' is not a number of bytes")),
    }
}

/// A PEM file can be read; a Java key store cannot.
fn store(key: &str, value: &str, target: &str) -> Translated {
    if value.ends_with(".jks") || value.ends_with(".keystore") || value.ends_with(".truststore") {
        return Translated::Refused(format!(
            "{value} is a Java key store: export it as PEM (keytool -exportcert -rfc) and set {key} to that file"
        ));
    }
    Translated::Set(vec![(target.to_owned(), value.to_owned())])
}

/// Reads `…LoginModule required username="…" password="…";`.
fn jaas(value: &str) -> Translated {
    let option = |name: &str| {
        let (_, after) = value.split_once(&format!("{name}="))?;
        let quoted = after.strip_prefix('"')?;
        let mut text = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => return Some(text),
                '\\' => text.extend(chars.next()),
                other => text.push(other),
            }
        }
        None
    };
    let known = ["PlainLoginModule", "ScramLoginModule"].iter().any(|module| value.contains(module));
    match (known, option("username"), option("password")) {
        (true, Some(user), Some(password)) => {
            Translated::Set(vec![("sasl.username".to_owned(), user), ("sasl.password".to_owned(), password)])
        }
        (true, _, _) => {
            Translated::Refused("username=\"…\" and password=\"…\" are not both there".to_owned())
        }
        (false, ..) => {
            Translated::Refused("only PlainLoginModule and ScramLoginModule can be read".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_names_become_librdkafkas() {
        let mut config = ClientConfig::new("b:1");
        config.set_java("max.request.size", "5").unwrap();
        config.set_java("buffer.memory", "2049").unwrap();
        config.set_java("max.block.ms", "1").unwrap();
        config
            .set_java(
                "sasl.jaas.config",
                r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p\"q";"#,
            )
            .unwrap();
        assert_eq!(config.get("message.max.bytes"), Some("5"));
        assert_eq!(config.get("queue.buffering.max.kbytes"), Some("3"));
        assert_eq!(config.get("max.block.ms"), None);
        assert_eq!(config.get("sasl.username"), Some("u"));
        assert_eq!(config.get("sasl.password"), Some("p\"q"));
        assert!(!format!("{config:?}").contains("p\\\"q"));
    }

    #[test]
    fn a_java_key_store_is_refused_with_the_way_out() {
        let error = ClientConfig::default().set_java("ssl.truststore.location", "/x/kafka.jks").unwrap_err();
        assert!(error.to_string().contains("keytool"));
    }
}
