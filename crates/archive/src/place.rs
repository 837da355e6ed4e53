//! A place that is open: one connection, one thread.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::pin::pin;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::runtime::Runtime;

use crate::error::{ArchiveError, Cause};
use crate::transfer::Tick;
use crate::url::ArchiveUrl;

/// The header of this name is sent to a WebDAV server, as its value says.
const WEB_AUTHORIZATION: &str = "ASEPTIC_ARCHIVE_AUTHORIZATION";
/// Settings of the clouds; each reads those with its own prefix.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
/// Shorter values are no secrets, and leaving them out of messages would make these unreadable.
const SECRET_BYTES_MIN: usize = 8;

/// One request carries at most a piece, so this is a slow line and not a long file.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A place that fails for longer is not there.
const RETRIES_MAX: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// An open place for one archive.
pub struct Place {
    pub(crate) url: ArchiveUrl,
    pub(crate) store: Box<dyn ObjectStore>,
    /// The directory of the archive in it.
    pub(crate) prefix: Path,
    /// Taken when it is closed.
    runtime: Option<Runtime>,
    /// What must be in no message.
    secrets: Vec<String>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Place {
    /// Prepares to speak to a place; nothing is sent yet. `variables` are those of the environment, from which
    /// the credentials come.
    ///
    /// # Errors
    /// [`ArchiveError::Url`], or [`ArchiveError::Place`] when a setting cannot be used.
    pub fn open(
        url: &ArchiveUrl,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ArchiveError> {
        // One stack for TLS in the whole program; it may have been chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (mut settings, mut authorization) = (Vec::new(), None);
        for (key, value) in variables {
            if key == WEB_AUTHORIZATION {
                authorization = Some(value);
            } else if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
                settings.push((key.to_ascii_lowercase(), value));
            }
        }
        let secrets = settings.iter().map(|(_, value)| value).chain(&authorization);
        let secrets = secrets.filter(|value| value.len() >= SECRET_BYTES_MIN).cloned().collect::<Vec<_>>();
        let failed = |source: &dyn std::error::Error| ArchiveError::Place {
            what: "use the settings for the place",
            url: url.to_string(),
            source: Cause::of(source, &secrets),
        };
        let opened = connect(url, settings, authorization.as_deref()).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ArchiveError::Local {
            what: "wait for answers from",
            path: url.to_string(),
            source,
        })?;
        let (store, prefix) = opened;
        Ok(Self { url: url.clone(), store, prefix, runtime: Some(runtime), secrets })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &ArchiveUrl {
        &self.url
    }

    /// Makes the directory for a new archive, for this user alone, where the place is a directory.
    pub(crate) fn prepare(&self) -> Result<(), ArchiveError> {
        let Some(directory) = self.url.directory() else { return Ok(()) };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&directory).map_err(|source| ArchiveError::Local {
            what: "make",
            path: directory.display().to_string(),
            source,
        })
    }

    /// Waits for one request, and asks `tick` now and then whether to go on.
    pub(crate) fn wait<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
        tick: Tick<'_>,
    ) -> Result<object_store::Result<T>, ArchiveError> {
        let Some(runtime) = &self.runtime else { return Err(ArchiveError::Interrupted) };
        runtime.block_on(async {
            let mut request = pin!(request);
            loop {
                match tokio::time::timeout(TICK, &mut request).await {
                    Ok(done) => return Ok(done),
                    Err(_) => match tick(0) {
                        ControlFlow::Continue(()) => {}
                        ControlFlow::Break(()) => return Err(ArchiveError::Interrupted),
                    },
                }
            }
        })
    }

    /// What an error of a request about the file `name` means.
    pub(crate) fn failed(&self, what: &'static str, name: &str, error: &object_store::Error) -> ArchiveError {
        let url = if name.is_empty() { self.url.to_string() } else { self.url.of_file(name) };
        let source = Cause::of(error, &self.secrets);
        match error {
            object_store::Error::NotFound { .. } => ArchiveError::Missing { what: "such file", url },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                ArchiveError::Denied { url, source }
            }
            _ => ArchiveError::Place { what, url, source },
        }
    }

    /// The path of a file of the archive.
    pub(crate) fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }
}

impl Drop for Place {
    /// Does not wait for a thread that a file system holds up: whoever interrupts means now.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Opened = (Box<dyn ObjectStore>, Path);

fn connect(
    url: &ArchiveUrl,
    settings: Vec<(String, String)>,
    authorization: Option<&str>,
) -> object_store::Result<Opened> {
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
    };
    let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
    let (scheme, prefix) = ObjectStoreScheme::parse(&url.url)?;
    // What the settings of a cloud say about connections counts more than what is said here.
    macro_rules! cloud {
        ($builder:ty) => {{
            let builder = <$builder>::new().with_client_options(client).with_retry(retry);
            let builder = settings.into_iter().fold(builder, |builder, (key, value)| match key.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Box::new(builder.with_url(url.to_string()).build()?)
        }};
    }
    let store: Box<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => cloud!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => cloud!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => cloud!(MicrosoftAzureBuilder),
        ObjectStoreScheme::Http => {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                let mut value = HeaderValue::from_str(value).map_err(|error| {
                    object_store::Error::Generic { store: "HTTP", source: Box::new(error) }
                })?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            let plain = url.url.scheme() == "http";
            let client = client.with_default_headers(headers).with_allow_http(plain);
            let host = &url.url[..url::Position::BeforePath];
            Box::new(HttpBuilder::new().with_url(host).with_client_options(client).with_retry(retry).build()?)
        }
        // Durable when it says so.
        _ => Box::new(LocalFileSystem::new().with_fsync(true)),
    };
    Ok((store, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_interrupted_does_not_wait_for_a_thread_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let url = ArchiveUrl::of_directory(&dir.path().join("place")).unwrap();
        let place = Place::open(&url, []).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hangs = async {
            let _ = tokio::task::spawn_blocking(move || held.recv()).await;
            Ok(())
        };
        let stopped = place.wait(hangs, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(ArchiveError::Interrupted)));
        drop(place);
        drop(release);
    }
}
