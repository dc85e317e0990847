//! TLS of our own listeners: a certificate chain and its key, from PEM files that are followed.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::followed::{FilesError, Followed, Follower};
use crate::source::BoxError;

/// Opens the files of a certificate chain, the server's own first, and of its private key.
pub fn open(
    certificate: PathBuf,
    key: PathBuf,
) -> Result<(Followed<ServerConfig>, Follower<ServerConfig>), FilesError> {
    Followed::open(vec![certificate, key], understand)
}

fn understand(contents: &[Vec<u8>]) -> Result<ServerConfig, BoxError> {
    let [certificate, key] = contents else { return Err("two files were expected".into()) };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err("the certificate file holds no certificate in PEM's form".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
