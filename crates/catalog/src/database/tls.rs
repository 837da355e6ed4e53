//! TLS to a server: its certificate is always verified.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::SslMode;

use crate::{CatalogError, Server};

/// With the authorities of `sslrootcert`, or of the system.
pub(super) fn client(server: &Server) -> Result<ClientConfig, CatalogError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match (&server.roots, server.config.get_ssl_mode()) {
        // Nothing is verified with it, and the system's authorities take milliseconds to read.
        (_, SslMode::Disable) => builder.with_root_certificates(RootCertStore::empty()),
        (Some(file), _) => builder.with_root_certificates(roots(file)?),
        (None, _) => builder.with_platform_verifier().map_err(failed)?,
    };
    Ok(builder.with_no_client_auth())
}

fn roots(file: &Path) -> Result<RootCertStore, CatalogError> {
    let mut store = RootCertStore::empty();
    let bad = |_| CatalogError::Url {
        reason: "the file that its `sslrootcert` names has no certificates that can be read",
    };
    for certificate in CertificateDer::pem_file_iter(file).map_err(bad)? {
        let certificate = certificate.map_err(bad)?;
        store.add(certificate).map_err(failed)?;
    }
    Ok(store)
}

fn failed(error: rustls::Error) -> CatalogError {
    CatalogError::Storage(error.into())
}
