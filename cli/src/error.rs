//! Why a command was refused.

use std::fmt::Display;

/// A command that was refused, in words. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// Shown behind the command's path: `set interface state: unknown interface …`.
    #[error("{0}")]
    At(String),
    /// Shown alone, as VPP shows some.
    #[error("{0}")]
    Bare(String),
}

impl CliError {
    /// An error that is shown behind the command's path.
    pub fn at(reason: impl Display) -> CliError {
        CliError::At(reason.to_string())
    }

    /// An error that is shown alone.
    pub fn bare(reason: impl Display) -> CliError {
        CliError::Bare(reason.to_string())
    }

    /// The line that the operator sees.
    pub fn line(&self, path: &str) -> String {
        match self {
            CliError::At(reason) if !path.is_empty() => format!("{path}: {reason}"),
            CliError::At(reason) | CliError::Bare(reason) => reason.clone(),
        }
    }
}
