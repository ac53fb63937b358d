//! A certificate authority of the emulator's own, made at each start, and the server configuration that it signs.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Names for which the leaf is valid. The wildcard lets a client use a URL of the shape `<account>.snow.localhost`.
const NAMES: [&str; 5] =
    ["localhost", "127.0.0.1", "*.snow.localhost", "*.snowflakecomputing.com", "*.localhost"];

/// Makes authority and leaf, writes the authority's certificate (PEM) to `ca_file`, and gives the server's configuration.
///
/// # Errors
/// When the file cannot be written or a certificate cannot be made.
pub(crate) fn server_config(ca_file: &Path) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    let ca_key = KeyPair::generate().context("making the key of the certificate authority")?;
    let mut ca =
        CertificateParams::new(Vec::<String>::new()).context("describing the certificate authority")?;
    ca.distinguished_name.push(DnType::CommonName, "snowflake-emulator CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).context("signing the certificate authority")?;
    std::fs::write(ca_file, ca_certificate.pem())
        .with_context(|| format!("writing the certificate authority to {} (--tls-ca)", ca_file.display()))?;

    let leaf_key = KeyPair::generate().context("making the server's key")?;
    let mut leaf =
        CertificateParams::new(NAMES.map(str::to_owned).to_vec()).context("describing the server")?;
    leaf.distinguished_name.push(DnType::CommonName, "snowflake-emulator");
    leaf.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(ca, ca_key);
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer).context("signing the server's certificate")?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![leaf_certificate.der().clone()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("loading the server's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
