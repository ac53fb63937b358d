//! `key.converter` and `value.converter` with their options.

use std::time::Duration;

use cdcd_capture::converter::{AvroOptions, Converter, JsonOptions, SubjectName};
use cdcd_debezium::format::avro_schema::MetaData;
use cdcd_debezium::format::json::DecimalFormat;
use cdcd_kafka::registry::{Credentials, Registration, RegistryConfig, RegistryTls};

use super::known::{Known, Support, report_unused_options};
use super::properties::{Properties, PropertyError};

/// A converter with the registry that it needs.
pub(super) type Chosen = (Converter, Option<RegistryConfig>);

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
const STRATEGIES: &str = "io.confluent.kafka.serializers.subject.";

/// Longest wait for one answer of a registry: four attempts stay below the server's `wal_sender_timeout`.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const fn known(name: &'static str, support: Support) -> Known {
    Known { name, support }
}

const CACHE: Support = Support::Ignored("each schema is asked for once");
const READER: Support = Support::Ignored("it is about reading");

const JSON_OPTIONS: &[Known] = &[
    known("schemas.enable", Support::Yes),
    known("schemas.cache.size", CACHE),
    known("replace.null.with.default", Support::Yes),
    known("decimal.format", Support::Yes),
];

const AVRO_OPTIONS: &[Known] = &[
    known("schema.registry.url", Support::Yes),
    known("basic.auth.credentials.source", Support::Yes),
    known("basic.auth.user.info", Support::Yes),
    known("bearer.auth.credentials.source", Support::Yes),
    known("bearer.auth.token", Support::Yes),
    known("auto.register.schemas", Support::Yes),
    known("use.latest.version", Support::Yes),
    known("normalize.schemas", Support::Yes),
    known("key.subject.name.strategy", Support::Yes),
    known("value.subject.name.strategy", Support::Yes),
    known("connect.meta.data", Support::Yes),
    known("ignore.default.for.nullables", Support::Yes),
    known("enhanced.avro.schema.support", Support::Ignored("events have no enum of Avro")),
    known(
        "latest.compatibility.strict",
        Support::Ignored("with use.latest.version the layout must be equal anyway"),
    ),
    known("schemas.cache.config", CACHE),
    known("schemas.cache.size", CACHE),
    known("max.schemas.per.subject", CACHE),
    known("specific.avro.reader", READER),
    known("allow.optional.map.keys", Support::Ignored("keys of maps are never null")),
    known("discard.type.doc.default", Support::Refused { unless: "false", why: "it changes the schema" }),
    known(
        "scrub.invalid.names",
        Support::Refused {
            unless: "false",
            why: "set schema.name.adjustment.mode and field.name.adjustment.mode",
        },
    ),
    known("use.schema.id", Support::Refused { unless: "-1", why: "each table has a schema of its own" }),
    known("rule.*", Support::Refused { unless: "", why: "data contracts are not there" }),
    known("schema.registry.ssl.truststore.location", Support::Yes),
    known("schema.registry.ssl.truststore.type", Support::Yes),
    known("schema.registry.ssl.truststore.certificates", Support::Yes),
    known("schema.registry.ssl.truststore.password", Support::Ignored("PEM has none")),
    known("schema.registry.ssl.keystore.location", Support::Yes),
    known("schema.registry.ssl.keystore.type", Support::Yes),
    known("schema.registry.ssl.keystore.key", Support::Yes),
    known("schema.registry.ssl.keystore.certificate.chain", Support::Yes),
    known("schema.registry.ssl.keystore.password", Support::Ignored("PEM has none")),
    known(
        "schema.registry.ssl.key.password",
        Support::Refused { unless: "", why: "encrypted keys cannot be read: decrypt the key" },
    ),
    known(
        "schema.registry.ssl.endpoint.identification.algorithm",
        Support::Refused { unless: "https", why: "a certificate must be of the host that is asked" },
    ),
    known("schema.registry.ssl.protocol", Support::Ignored("TLS 1.2 and 1.3")),
    known("schema.registry.ssl.enabled.protocols", Support::Ignored("TLS 1.2 and 1.3")),
    known("schema.registry.ssl.provider", Support::Ignored("it names Java code")),
    known(
        "schema.registry.ssl.*",
        Support::Refused {
            unless: "",
            why: "certificates and keys come as PEM: truststore.* and keystore.*",
        },
    ),
];

const STRING_OPTIONS: &[Known] =
    &[known("converter.encoding", Support::Refused { unless: "UTF-8", why: "text is written in UTF-8" })];

/// Reads `key` (`key.converter` or `value.converter`) and all that begins with it.
pub(super) fn read(properties: &Properties, key: &str) -> Result<Chosen, PropertyError> {
    let (chosen, options) = match properties.non_empty(key) {
        None | Some(JSON | "JsonConverter") => ((json(properties, key)?, None), JSON_OPTIONS),
        Some(AVRO | "AvroConverter") => {
            let (options, registry) = avro(properties, key)?;
            ((Converter::Avro(options), Some(registry)), AVRO_OPTIONS)
        }
        Some(STRING | "StringConverter") => ((Converter::Text, None), STRING_OPTIONS),
        Some(BYTES | "ByteArrayConverter") => ((Converter::Bytes, None), &[][..]),
        Some(other) => {
            return Err(PropertyError::new(key, format!("converter '{other}' is not supported"))
                .hint(format!("supported: {JSON}, {AVRO}, {STRING}, and {BYTES} where records are bytes")));
        }
    };
    report_unused_options(properties, &format!("{key}."), options)?;
    Ok(chosen)
}

fn json(properties: &Properties, key: &str) -> Result<Converter, PropertyError> {
    Ok(Converter::Json(JsonOptions {
        schemas: properties.boolean(&format!("{key}.schemas.enable"), true)?,
        null_as_default: properties.boolean(&format!("{key}.replace.null.with.default"), true)?,
        decimal: properties.choice(
            &format!("{key}.decimal.format"),
            DecimalFormat::Base64,
            &[("BASE64", DecimalFormat::Base64), ("NUMERIC", DecimalFormat::Numeric)],
        )?,
    }))
}

fn avro(properties: &Properties, key: &str) -> Result<(AvroOptions, RegistryConfig), PropertyError> {
    let option = |name: &str| format!("{key}.{name}");
    let half = key.split('.').next().unwrap_or_default();
    let meta_data = properties.boolean(&option("connect.meta.data"), true)?;
    let options = AvroOptions {
        meta_data: if meta_data { MetaData::Kept } else { MetaData::Dropped },
        null_as_default: !properties.boolean(&option("ignore.default.for.nullables"), false)?,
        subject: subject(properties, &option(&format!("{half}.subject.name.strategy")))?,
    };
    Ok((options, registry(properties, key)?))
}

/// The registry that a converter of Avro names.
fn registry(properties: &Properties, key: &str) -> Result<RegistryConfig, PropertyError> {
    let option = |name: &str| format!("{key}.{name}");
    let url_key = option("schema.registry.url");
    let urls = properties.list(&url_key);
    if urls.is_empty() {
        return Err(PropertyError::new(url_key, "is required and missing: Avro needs a schema registry"));
    }
    if let Some(url) = urls.iter().find(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(PropertyError::new(url_key, format!("'{url}' begins with neither http:// nor https://")));
    }
    let registers = properties.boolean(&option("auto.register.schemas"), true)?;
    let latest = properties.boolean(&option("use.latest.version"), false)?;
    Ok(RegistryConfig {
        urls: urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
        credentials: credentials(properties, key)?,
        registration: match (registers, latest) {
            // As in Confluent's serializer: registering wins.
            (true, _) => Registration::Register,
            (false, true) => Registration::UseLatest,
            (false, false) => Registration::LookUp,
        },
        normalize: properties.boolean(&option("normalize.schemas"), false)?,
        answer_limit: ANSWER_LIMIT,
        tls: RegistryTls { roots: roots(properties, key)?, identity: identity(properties, key)? },
    })
}

/// Whom we trust.
fn roots(properties: &Properties, key: &str) -> Result<Option<Vec<u8>>, PropertyError> {
    let store = format!("{key}.schema.registry.ssl.truststore");
    match properties.non_empty(&format!("{store}.certificates")) {
        Some(certificates) => Ok(Some(certificates.as_bytes().to_vec())),
        None => pem_store(properties, &store),
    }
}

/// Who we are.
fn identity(properties: &Properties, key: &str) -> Result<Option<Vec<u8>>, PropertyError> {
    let store = format!("{key}.schema.registry.ssl.keystore");
    let chain = properties.non_empty(&format!("{store}.certificate.chain"));
    match (properties.non_empty(&format!("{store}.key")), chain) {
        (Some(private), Some(chain)) => Ok(Some(format!("{chain}\n{private}").into_bytes())),
        (None, None) => pem_store(properties, &store),
        _ => Err(PropertyError::new(
            format!("{store}.key"),
            "goes with certificate.chain: one of them is missing",
        )),
    }
}

/// A store that is a file.
fn pem_store(properties: &Properties, store: &str) -> Result<Option<Vec<u8>>, PropertyError> {
    let type_key = format!("{store}.type");
    let kind = properties.non_empty(&type_key);
    let location_key = format!("{store}.location");
    let Some(location) = properties.non_empty(&location_key) else { return Ok(None) };
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("PEM")) {
        let problem = format!("a store of type {} cannot be read", kind.unwrap_or("JKS, Java's default,"));
        return Err(PropertyError::new(type_key, problem).hint(format!(
            "set it to PEM and {location_key} to a PEM file: keytool -importkeystore makes PKCS12 of JKS, openssl \
             pkcs12 -nodes makes PEM of PKCS12"
        )));
    }
    let read = std::fs::read(location);
    read.map(Some).map_err(|error| PropertyError::new(location_key, format!("{location}: {error}")))
}

fn credentials(properties: &Properties, key: &str) -> Result<Credentials, PropertyError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Basic {
        Url,
        UserInfo,
    }
    let option = |name: &str| format!("{key}.{name}");
    let basic = properties.choice(
        &option("basic.auth.credentials.source"),
        Basic::Url,
        &[("URL", Basic::Url), ("USER_INFO", Basic::UserInfo)],
    )?;
    let bearer =
        properties.choice(&option("bearer.auth.credentials.source"), None, &[("STATIC_TOKEN", Some(()))])?;
    let (info_key, token_key) = (option("basic.auth.user.info"), option("bearer.auth.token"));
    if bearer.is_some() {
        return Ok(Credentials::Bearer(properties.required(&token_key)?.to_owned()));
    }
    if basic == Basic::Url {
        return Ok(Credentials::None);
    }
    match properties.required(&info_key)?.split_once(':') {
        Some((user, password)) => {
            Ok(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
        }
        None => Err(PropertyError::new(info_key, "is not USER:PASSWORD")),
    }
}

fn subject(properties: &Properties, key: &str) -> Result<SubjectName, PropertyError> {
    const NAMES: [(&str, SubjectName); 3] = [
        ("TopicNameStrategy", SubjectName::Topic),
        ("RecordNameStrategy", SubjectName::Record),
        ("TopicRecordNameStrategy", SubjectName::TopicRecord),
    ];
    let Some(class) = properties.non_empty(key) else { return Ok(SubjectName::Topic) };
    let name = class.strip_prefix(STRATEGIES).unwrap_or(class);
    match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, strategy)) => Ok(*strategy),
        None => {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            Err(PropertyError::new(key, format!("'{class}' is not one of {}", names.join(", ")))
                .hint(format!("all in the package {}", STRATEGIES.trim_end_matches('.'))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::Origin;
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Chosen, PropertyError> {
        let mut properties = Properties::default();
        for (key, value) in pairs {
            properties.set(*key, *value, Origin::Connector);
        }
        read(&properties, "value.converter")
    }

    #[test]
    fn json_is_the_default_with_connects_defaults() {
        assert_eq!(with(&[]).unwrap().0, Converter::Json(JsonOptions::default()));
        let (chosen, _) = with(&[("value.converter.decimal.format", "numeric")]).unwrap();
        let Converter::Json(options) = chosen else { panic!("{chosen:?}") };
        assert_eq!(options.decimal, DecimalFormat::Numeric);
    }

    #[test]
    fn avro_takes_a_registry_and_its_options() {
        let pairs = [
            ("value.converter", AVRO),
            ("value.converter.schema.registry.url", "http://a:8081/, https://b"),
            ("value.converter.basic.auth.credentials.source", "USER_INFO"),
            ("value.converter.basic.auth.user.info", "me:se:cret"),
            ("value.converter.auto.register.schemas", "false"),
            ("value.converter.use.latest.version", "true"),
            (
                "value.converter.value.subject.name.strategy",
                "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy",
            ),
            ("value.converter.connect.meta.data", "false"),
        ];
        let (chosen, registry) = with(&pairs).unwrap();
        let registry = registry.unwrap();
        assert_eq!(registry.urls, ["http://a:8081", "https://b"]);
        assert_eq!(registry.registration, Registration::UseLatest);
        assert!(matches!(&registry.credentials, Credentials::Basic { user, .. } if user == "me"));
        assert!(!format!("{registry:?}").contains("cret"));
        let Converter::Avro(options) = chosen else { panic!("{chosen:?}") };
        assert_eq!(options.subject, SubjectName::TopicRecord);
        assert_eq!(options.meta_data, MetaData::Dropped);
    }

    #[test]
    fn a_registry_behind_tls_is_reached_with_pem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "ROOTS").unwrap();
        let ssl = |pairs: &[(&str, &str)]| {
            let prefix = "value.converter.schema.registry.ssl.";
            let named: Vec<(String, &str)> =
                pairs.iter().map(|(key, value)| (format!("{prefix}{key}"), *value)).collect();
            let mut all =
                vec![("value.converter", AVRO), ("value.converter.schema.registry.url", "https://a")];
            all.extend(named.iter().map(|(key, value)| (key.as_str(), *value)));
            with(&all).map(|(_, registry)| registry.unwrap().tls)
        };
        let location = ("truststore.location", file.to_str().unwrap());
        let given = [
            location,
            ("truststore.type", "PEM"),
            ("keystore.key", "KEY"),
            ("keystore.certificate.chain", "CHAIN"),
            ("endpoint.identification.algorithm", "https"),
        ];
        let tls = ssl(&given).unwrap();
        assert_eq!(tls.roots.as_deref(), Some(&b"ROOTS"[..]));
        assert_eq!(tls.identity.as_deref(), Some(&b"CHAIN\nKEY"[..]));
        assert!(!format!("{tls:?}").contains("KEY"));
        assert_eq!(ssl(&[("truststore.certificates", "X")]).unwrap().roots.as_deref(), Some(&b"X"[..]));
        for (pairs, key, says) in [
            (&[location][..], "truststore.type", "openssl"),
            (&[location, ("truststore.type", "PKCS12")], "truststore.type", "PKCS12"),
            (
                &[("truststore.location", "/nowhere.pem"), ("truststore.type", "PEM")],
                "truststore.location",
                "nowhere",
            ),
            (&[("keystore.key", "KEY")], "keystore.key", "certificate.chain"),
            (&[("key.password", "s3cret")], "key.password", "decrypt"),
            (&[("endpoint.identification.algorithm", "none")], "endpoint.identification.algorithm", "host"),
            (&[("cipher.suites", "x")], "cipher.suites", "PEM"),
        ] {
            let error = ssl(pairs).unwrap_err();
            assert_eq!(error.key, format!("value.converter.schema.registry.ssl.{key}"));
            let text = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
            assert!(text.contains(says) && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_names_its_key_and_what_can() {
        let check = |pairs: &[(&str, &str)], key: &str, says: &str| {
            let error = with(pairs).unwrap_err();
            assert_eq!(error.key, key);
            let text = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
            assert!(text.contains(says), "{text}");
        };
        let unknown = [("value.converter", "io.confluent.connect.protobuf.ProtobufConverter")];
        for class in [JSON, AVRO, STRING, BYTES] {
            check(&unknown, "value.converter", class);
        }
        check(&[("value.converter", AVRO)], "value.converter.schema.registry.url", "registry");
        let with_url = |key: &'static str, value: &'static str| {
            [("value.converter", AVRO), ("value.converter.schema.registry.url", "http://a"), (key, value)]
        };
        check(
            &with_url("value.converter.value.subject.name.strategy", "com.acme.Mine"),
            "value.converter.value.subject.name.strategy",
            "RecordNameStrategy",
        );
        check(
            &with_url("value.converter.scrub.invalid.names", "true"),
            "value.converter.scrub.invalid.names",
            "field.name.adjustment.mode",
        );
        check(
            &[("value.converter.decimal.format", "text")],
            "value.converter.decimal.format",
            "BASE64, NUMERIC",
        );
    }
}
