//! Does something in another network namespace, on a thread of its own, so that no other thread ever leaves its own.

use std::fs::File;
use std::io;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Why a namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// No namespace of that name.
    #[error("no network namespace `{name}' in {DIRECTORY}")]
    NoSuchNamespace {
        /// What was asked for.
        name: String,
    },
    /// The kernel refuses.
    #[error("not permitted to enter network namespace `{name}' (needs CAP_SYS_ADMIN)")]
    NotPermitted {
        /// What was asked for.
        name: String,
    },
    /// Anything else.
    #[error("network namespace `{name}': {source}")]
    Os {
        /// What was asked for.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Runs `body` in the named namespace (as `ip netns` names them), or in the caller's if there is no name.
///
/// What `body` opens stays in that namespace, whoever uses it later.
///
/// # Errors
/// The namespace cannot be entered; then `body` did not run.
pub fn in_namespace<R: Send>(name: Option<&str>, body: impl FnOnce() -> R + Send) -> Result<R, NamespaceError> {
    let Some(name) = name else { return Ok(body()) };
    let os = |source| NamespaceError::Os { name: name.into(), source };
    let namespace = open(name)?;
    thread::scope(|scope| {
        let helper = thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            Ok(body())
        });
        match helper.map_err(os)?.join() {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(named(name, error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn open(name: &str) -> Result<File, NamespaceError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(NamespaceError::NoSuchNamespace { name: name.into() });
    }
    File::open(format!("{DIRECTORY}/{name}")).map_err(|error| named(name, error))
}

fn named(name: &str, source: io::Error) -> NamespaceError {
    let name = name.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => NamespaceError::NoSuchNamespace { name },
        io::ErrorKind::PermissionDenied => NamespaceError::NotPermitted { name },
        _ => NamespaceError::Os { name, source },
    }
}

const DIRECTORY: &str = "/var/run/netns";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_names_are_refused() {
        for name in ["", "..", "../../etc/passwd", "a/b", "mgl-surely-not-there"] {
            let error = in_namespace(Some(name), || ()).unwrap_err();
            assert!(matches!(error, NamespaceError::NoSuchNamespace { .. }), "{error}");
        }
        assert_eq!(in_namespace(None, || 7).unwrap(), 7);
    }
}
