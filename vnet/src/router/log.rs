//! The log: kept for `show logging`, and passed on to whoever wants every line.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// Lines that are kept.
const KEPT: usize = 512;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// Something happened, as it should.
    Info,
    /// Something is odd.
    Warn,
    /// Something does not work.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        })
    }
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Since the router started.
    pub since_start: Duration,
    /// The time of day.
    pub time: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// Who says it: `af-packet`, `lb`.
    pub class: &'static str,
    /// What is said.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.since_start.as_micros() as u64;
        write!(f, "{} {:<6} {:<14} {}", trace::Stamp(micros), self.level, self.class, self.text)
    }
}

type Sink = Box<dyn FnMut(&LogLine)>;

/// The last lines of the log.
pub struct Log {
    lines: VecDeque<LogLine>,
    sink: Option<Sink>,
    start: Instant,
}

impl Log {
    pub(super) fn new(start: Instant) -> Log {
        Log { lines: VecDeque::new(), sink: None, start }
    }

    /// Passes every line on from now, those that are kept first.
    pub fn set_sink(&mut self, mut sink: impl FnMut(&LogLine) + 'static) {
        self.lines.iter().for_each(&mut sink);
        self.sink = Some(Box::new(sink));
    }

    /// Adds a line.
    pub fn add(&mut self, level: Level, class: &'static str, text: impl fmt::Display) {
        // A line end inside would let whoever chose the text forge lines.
        let text = text.to_string().replace(['\n', '\r'], " ");
        let line = LogLine { since_start: self.start.elapsed(), time: SystemTime::now(), level, class, text };
        if let Some(sink) = &mut self.sink {
            sink(&line);
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines that are kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter()
    }
}
