//! A registry that shows a certificate of an authority of its own, and wants one of us.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cdcd_kafka::registry::{Credentials, Registration, Registry, RegistryConfig, RegistryTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

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

    /// Certificate and key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Answers each connection with one schema id.
async fn serve(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.issue("localhost");
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(clients)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{\"id\":7}";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn certificates_of_both_sides_are_the_ones_that_were_given() {
    let authority = Authority::new();
    let port = serve(&authority).await.port();
    let identity = |authority: &Authority| {
        let (certificate, key) = authority.issue("client");
        Some(format!("{certificate}{key}").into_bytes())
    };
    let roots = Some(authority.certificate.clone().into_bytes());
    let ask = async |tls: RegistryTls| {
        let config = RegistryConfig {
            urls: vec![format!("https://localhost:{port}")],
            credentials: Credentials::None,
            registration: Registration::Register,
            normalize: false,
            answer_limit: Duration::from_secs(5),
            tls,
        };
        Registry::new(config).unwrap().id("s", "\"int\"").await
    };
    let ours = RegistryTls { roots: roots.clone(), identity: identity(&authority) };
    assert_eq!(ask(ours).await.unwrap(), 7);
    let stranger = Authority::new();
    for wrong in [
        RegistryTls::default(),
        RegistryTls { roots: roots.clone(), identity: None },
        RegistryTls { roots, identity: identity(&stranger) },
        RegistryTls {
            roots: Some(stranger.certificate.clone().into_bytes()),
            identity: identity(&authority),
        },
    ] {
        assert!(ask(wrong.clone()).await.is_err(), "{wrong:?}");
    }
}
