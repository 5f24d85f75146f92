//! The options of a command: words with or without values, in any order.

use crate::args::Args;
use crate::error::CliError;

/// The options that a command has taken.
///
/// ```
/// # use cli::{Args, Given};
/// let (mut args, mut given, mut size) = (Args::new("fast size 5"), Given::default(), 0);
/// while let Some(word) = given.next(&mut args)? {
///     match word {
///         "size" => size = args.number("a size", 1..=9_u32)?,
///         "fast" | "slow" => (),
///         _ => return Err(given.unknown()),
///     }
/// }
/// given.exclude("fast", "slow")?;
/// # assert_eq!(size, 5);
/// # Ok::<(), cli::CliError>(())
/// ```
#[derive(Debug, Default)]
pub struct Given<'l> {
    names: Vec<&'l str>,
    /// The words from the last of them on.
    last: &'l str,
}

impl<'l> Given<'l> {
    /// Takes the name of the next option; `None` where no word is left.
    ///
    /// # Errors
    /// If it was given before: of two values one would be ignored.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self, args: &mut Args<'l>) -> Result<Option<&'l str>, CliError> {
        self.last = args.rest();
        let Some(name) = args.next() else { return Ok(None) };
        if self.names.contains(&name) {
            return Err(CliError::at(format!("`{name}' is given twice")));
        }
        self.names.push(name);
        Ok(Some(name))
    }

    /// The error for the last name, which is no option's.
    pub fn unknown(&self) -> CliError {
        Args::new(self.last).unknown()
    }

    /// Makes sure that one of two options is missing.
    ///
    /// # Errors
    /// Names both.
    pub fn exclude(&self, one: &str, other: &str) -> Result<(), CliError> {
        if self.names.contains(&one) && self.names.contains(&other) {
            return Err(CliError::at(format!("`{one}' and `{other}' exclude each other")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_comes_once() {
        let (mut args, mut given) = (Args::new("fast  size 5 fast"), Given::default());
        assert_eq!(given.next(&mut args).unwrap(), Some("fast"));
        assert_eq!(given.next(&mut args).unwrap(), Some("size"));
        assert_eq!(given.unknown().to_string(), "unknown input `size 5 fast'");
        assert_eq!(args.next(), Some("5"));
        assert!(given.exclude("fast", "slow").is_ok());
        assert_eq!(given.exclude("fast", "size").unwrap_err().to_string(), "`fast' and `size' exclude each other");
        assert_eq!(given.next(&mut args).unwrap_err().to_string(), "`fast' is given twice");
        assert_eq!(given.next(&mut args).unwrap(), None);
    }
}
