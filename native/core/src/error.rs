//! One small, closed list of error kinds. The door maps each to one Python exception.

/// What went wrong, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes or parameters are wrong and will stay wrong: HTTP 400.
    #[error("{0}")]
    BadData(String),
    /// Larger than a limit allows: HTTP 413.
    #[error("{0}")]
    TooLarge(String),
    /// A query that cannot be evaluated: HTTP 422.
    #[error("{0}")]
    Execution(String),
    /// The query was cancelled or ran out of time: HTTP 503.
    #[error("{0}")]
    Canceled(String),
    /// Stored bytes do not match their checksum or their description.
    #[error("{0}")]
    Corrupt(String),
    /// Something newer than this build understands.
    #[error("{0}")]
    Unsupported(String),
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            context: context.into(),
            source,
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
