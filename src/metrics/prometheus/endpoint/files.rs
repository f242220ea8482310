//! The files of an endpoint: authorities, our certificate, our secret. Each may be replaced while we run.

use std::path::{Path, PathBuf};

use crate::files;
use crate::settings::sources::{Credentials, Endpoint};

/// The largest file that is read: the system's own list of authorities has a quarter of this.
const FILE_BYTES: u64 = 1024 * 1024;

/// What stands in an endpoint's files. Compared by content: Kubernetes replaces projected tokens and secrets by swapping
/// symbolic links, after which neither size nor time need differ.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// PEM certificates of the authorities to trust.
    pub authorities: Option<Vec<u8>>,
    /// Our certificate and then our key, PEM.
    pub identity: Option<Vec<u8>>,
    /// The bearer token or the password, without white space around it.
    pub secret: Option<String>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub(super) struct FileError {
    pub path: PathBuf,
    pub problem: String,
}

impl Files {
    /// Reads all files that `settings` name.
    pub(super) fn read(settings: &Endpoint) -> Result<Self, FileError> {
        let authorities = settings.ca_file.as_deref().map(read).transpose()?;
        let identity = match &settings.client_certificate {
            None => None,
            Some(files) => {
                let mut pem = read(&files.certificate_file)?;
                pem.push(b'\n');
                pem.extend(read(&files.key_file)?);
                Some(pem)
            }
        };
        let secret = match &settings.credentials {
            Credentials::None => None,
            Credentials::BearerToken { file } => Some(secret(file)?),
            Credentials::Basic { password_file, .. } => Some(secret(password_file)?),
        };
        Ok(Self {
            authorities,
            identity,
            secret,
        })
    }

    /// Whether there are files at all.
    pub(super) fn are_named_in(settings: &Endpoint) -> bool {
        settings.ca_file.is_some()
            || settings.client_certificate.is_some()
            || !matches!(settings.credentials, Credentials::None)
    }
}

fn secret(path: &Path) -> Result<String, FileError> {
    let problem = |problem: &str| FileError {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let text = String::from_utf8(read(path)?).map_err(|_| problem("is not text"))?;
    match text.trim() {
        "" => Err(problem("is empty")),
        text => Ok(text.to_owned()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    files::read_bytes(path, FILE_BYTES).map_err(|error| FileError {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}
