//! libpq's sslmodes against a server without TLS, with a good certificate, with another host's, and of an unknown
//! authority; and channel binding, with somebody in between.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cdcd_postgres::connection::{Connection, Purpose};
use cdcd_postgres::{ChannelBinding, Config, Error, Secret, SslMode, control};
use cdcd_testkit::services::{self, Postgres};
use cdcd_testkit::wait_until;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "a password of no consequence";
const RULES: &str = "\
    hostssl all t_only_tls 127.0.0.1/32 scram-sha-256\n\
    hostnossl all t_only_plain 127.0.0.1/32 scram-sha-256\n\
    host all t_only_tls,t_only_plain 127.0.0.1/32 reject\n\
    host all t_cleartext 127.0.0.1/32 password\n\
    host all t_md5 127.0.0.1/32 md5\n\
    host all t_trusted 127.0.0.1/32 trust\n\
    local all all trust\n\
    host all all 127.0.0.1/32 scram-sha-256";

/// A server whose certificate the test chooses.
struct Server {
    postgres: Postgres,
    folder: tempfile::TempDir,
    authority: String,
}

/// A certificate and its key as PEM.
struct Issued {
    certificate: String,
    key: String,
}

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Issued { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Server {
    fn start(authority: &Authority) -> Self {
        let postgres = services::postgres_cluster("tls", 15).expect("PostgreSQL starts");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.crt"), &authority.certificate).unwrap();
        let server = Server { postgres, folder, authority: authority.certificate.clone() };
        for (role, encryption) in [
            ("t_only_tls", "scram-sha-256"),
            ("t_only_plain", "scram-sha-256"),
            ("t_cleartext", "scram-sha-256"),
            ("t_md5", "md5"),
            ("t_trusted", "scram-sha-256"),
            ("t_scram", "scram-sha-256"),
        ] {
            server.psql(&format!("DROP ROLE IF EXISTS {role}"));
            server.psql(&format!(
                "SET password_encryption = '{encryption}'; CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}'"
            ));
        }
        server.file("pg_hba.conf", RULES);
        server.psql("SELECT pg_reload_conf()");
        server
    }

    fn psql(&self, sql: &str) -> String {
        self.postgres.psql("postgres", sql).expect("psql")
    }

    /// Writes a file as the server's own user.
    fn file(&self, name: &str, text: &str) {
        let lines = format!("SELECT unnest(string_to_array($text${}$text$, E'\\n'))", text.trim_end());
        self.psql(&format!("COPY ({lines}) TO PROGRAM 'umask 077; cat > {name}'"));
    }

    /// From now on the server has this certificate, or no TLS.
    fn shows(&self, name: &str, issued: Option<&Issued>) {
        let (on, file) = (if issued.is_some() { "on" } else { "off" }, format!("{name}.crt"));
        if let Some(issued) = issued {
            self.file(&file, &issued.certificate);
            self.file(&format!("{name}.key"), &issued.key);
            self.psql(&format!("ALTER SYSTEM SET ssl_cert_file = '{file}'"));
            self.psql(&format!("ALTER SYSTEM SET ssl_key_file = '{name}.key'"));
        }
        self.psql(&format!("ALTER SYSTEM SET ssl = {on}"));
        self.psql("SELECT pg_reload_conf()");
        wait_until("the server's new certificate", Duration::from_secs(10), || {
            let shown = self.psql("SELECT current_setting('ssl') || current_setting('ssl_cert_file')");
            Ok((shown == format!("{on}{file}") || (issued.is_none() && shown.starts_with("off")))
                .then_some(()))
        })
        .expect("reloaded");
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    fn config(&self, role: &str, mode: SslMode, root: Option<&Path>) -> Config {
        Config {
            host: "127.0.0.1".to_owned(),
            port: self.postgres.port,
            user: role.to_owned(),
            password: Some(Secret::new(PASSWORD)),
            database: "postgres".to_owned(),
            ssl_mode: mode,
            ssl_root_cert: root.map(Path::to_path_buf),
            ssl_cert: None,
            ssl_key: None,
            channel_binding: ChannelBinding::Prefer,
            connect_timeout: Duration::from_secs(10),
            application_name: "tls test".to_owned(),
            initial_statements: Vec::new(),
        }
    }
}

/// How a connection ended, both by our own protocol code and by the SQL session beside it.
async fn outcome(config: &Config) -> String {
    const SQL: &str = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let stream = match Connection::connect(config, Purpose::Query).await {
        Ok(mut connection) => Ok(connection.query(SQL).await.unwrap()[0][0].clone().unwrap()),
        Err(error) => Err(error),
    };
    let control = match control::connect(config, None).await {
        Ok(client) => Ok(client.query_one(SQL, &[]).await.unwrap().get::<_, String>(0)),
        Err(error) => Err(error),
    };
    let [stream, control] = [stream, control].map(|outcome| match outcome {
        Ok(tls) => if tls == "true" { "tls" } else { "plain" }.to_owned(),
        Err(Error::Tls(_)) => "tls error".to_owned(),
        Err(Error::Authentication(_) | Error::Control { .. }) => "login error".to_owned(),
        Err(error) if format!("{error:?}").contains("pg_hba.conf") => "refused".to_owned(),
        Err(other) => format!("{other:?}"),
    });
    if stream == control { stream } else { format!("{stream}, but the SQL session: {control}") }
}

#[tokio::test]
async fn sslmodes_and_channel_binding_mean_what_they_mean_to_libpq() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let server = Server::start(&ours);
    let root = server.root();
    let good = ours.issue("127.0.0.1");
    const MODES: [SslMode; 6] = [
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];
    let situations = [
        ("off", None, ["plain", "plain", "plain", "tls error", "tls error", "tls error"]),
        ("good", Some(&good), ["plain", "plain", "tls", "tls", "tls", "tls"]),
        (
            "name",
            Some(&ours.issue("elsewhere.example")),
            ["plain", "plain", "tls", "tls", "tls", "tls error"],
        ),
        (
            "unknown",
            Some(&foreign.issue("127.0.0.1")),
            ["plain", "plain", "tls", "tls error", "tls error", "tls error"],
        ),
    ];
    for (name, issued, expected) in situations {
        server.shows(name, issued);
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let config = server.config("t_scram", mode, Some(&root));
            assert_eq!(outcome(&config).await, expected, "{mode:?} with the certificate '{name}'");
        }
    }
    // The last certificate is of an unknown authority: without a root, `require` believes it, as libpq does.
    assert_eq!(outcome(&server.config("t_scram", SslMode::Require, None)).await, "tls");
    server.shows("good", Some(&good));
    only_one_kind_is_let_in(&server).await;
    binding(&server).await;
    somebody_in_between(&server, &foreign.issue("127.0.0.1")).await;
    server.shows("good", None);
}

/// What pg_hba.conf refuses is tried the other way by `allow` and `prefer`, and by no other mode.
async fn only_one_kind_is_let_in(server: &Server) {
    for (role, mode, expected) in [
        ("t_only_tls", SslMode::Allow, "tls"),
        ("t_only_tls", SslMode::Prefer, "tls"),
        ("t_only_plain", SslMode::Allow, "plain"),
        ("t_only_plain", SslMode::Prefer, "plain"),
    ] {
        assert_eq!(outcome(&server.config(role, mode, None)).await, expected, "{role} {mode:?}");
    }
    for (role, mode) in [("t_only_tls", SslMode::Disable), ("t_only_plain", SslMode::Require)] {
        assert_eq!(outcome(&server.config(role, mode, None)).await, "refused", "{role} {mode:?}");
    }
}

async fn binding(server: &Server) {
    use ChannelBinding::{Disable, Prefer, Require};
    for (role, mode, binding, expected) in [
        ("t_scram", SslMode::Require, Require, "tls"),
        ("t_scram", SslMode::Allow, Require, "tls"),
        ("t_scram", SslMode::Require, Disable, "tls"),
        ("t_scram", SslMode::Disable, Prefer, "plain"),
        ("t_scram", SslMode::Disable, Require, "login error"),
        ("t_cleartext", SslMode::Require, Prefer, "tls"),
        ("t_cleartext", SslMode::Require, Require, "login error"),
        ("t_md5", SslMode::Require, Prefer, "tls"),
        ("t_md5", SslMode::Require, Require, "login error"),
        ("t_trusted", SslMode::Require, Prefer, "tls"),
        ("t_trusted", SslMode::Require, Require, "login error"),
    ] {
        let mut config = server.config(role, mode, None);
        config.channel_binding = binding;
        assert_eq!(outcome(&config).await, expected, "{role} {mode:?} {binding:?}");
    }
}

/// Whoever ends our TLS and begins another one to the server is believed by `require`, and found out by the binding.
async fn somebody_in_between(server: &Server, rogue: &Issued) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let man = tokio::spawn(relay(listener, server.postgres.port, tls_server(rogue), tls_client(server)));
    let mut config = server.config("t_scram", SslMode::Require, None);
    config.port = port;
    config.channel_binding = ChannelBinding::Disable;
    assert_eq!(outcome(&config).await, "tls", "without binding nobody notices");
    for binding in [ChannelBinding::Prefer, ChannelBinding::Require] {
        config.channel_binding = binding;
        let found = outcome(&config).await;
        assert!(found.contains("SCRAM channel binding check failed"), "{binding:?}: {found}");
    }
    man.abort();
}

async fn relay(
    listener: TcpListener,
    port: u16,
    acceptor: tokio_rustls::TlsAcceptor,
    connector: tokio_rustls::TlsConnector,
) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let (acceptor, connector) = (acceptor.clone(), connector.clone());
        tokio::spawn(async move {
            let mut request = [0; 8];
            client.read_exact(&mut request).await.unwrap();
            client.write_all(b"S").await.unwrap();
            let mut client = acceptor.accept(client).await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            server.write_all(&request).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'S');
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut server = connector.connect(name, server).await.unwrap();
            // Either side may hang up at any moment.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

fn tls_server(issued: &Issued) -> tokio_rustls::TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

fn tls_client(server: &Server) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.authority.as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}
