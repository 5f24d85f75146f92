//! What the clients may be told.

use std::time::Duration;

/// How many, how fast, for how long.
pub struct Options {
    pub count: u32,
    pub concurrency: u32,
    /// Of each step of a connection.
    pub timeout: Duration,
    /// How long connections are kept.
    pub keep: Duration,
}

impl Options {
    /// From pairs of words.
    pub fn parse(words: &[&str]) -> Result<Options, String> {
        let second = Duration::from_secs(1);
        let mut options = Options { count: 1, concurrency: 1, timeout: 5 * second, keep: 5 * second };
        for pair in words.chunks(2) {
            let &[name, value] = pair else { return Err(format!("`{}`: a value is missing", pair.join(" "))) };
            let number = || value.parse::<u32>().map_err(|_| format!("{name}: expected a number, got `{value}`"));
            let seconds = || {
                let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                seconds.ok_or_else(|| format!("{name}: expected seconds, got `{value}`"))
            };
            match name {
                "-n" => options.count = number()?,
                "--concurrency" => options.concurrency = number()?.clamp(1, 1000),
                "-t" | "--timeout" => options.timeout = seconds()?,
                "--seconds" => options.keep = seconds()?,
                _ => return Err(format!("unknown option `{name}`")),
            }
        }
        Ok(options)
    }
}
