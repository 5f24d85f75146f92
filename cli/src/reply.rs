//! What a command gives back.

use std::fmt::Display;
use std::time::Instant;

use serde::Serialize;
use vnet::Router;

use crate::error::CliError;

/// A typed result that prints itself; blanket-implemented for what is `Display` and `Serialize`.
pub trait Report {
    /// The text that the operator sees, with a line end after each line.
    fn text(&self) -> String;
    /// The same as JSON.
    fn json(&self) -> serde_json::Value;
}

impl<T: Display + Serialize> Report for T {
    fn text(&self) -> String {
        self.to_string()
    }
    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A result that is a text and nothing else; a line end is added where it has none.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Words(String);

impl Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)?;
        if self.0.is_empty() || self.0.ends_with('\n') { Ok(()) } else { f.write_str("\n") }
    }
}

/// What a command gives back.
pub enum Reply {
    /// Done, with something to show or nothing.
    Done(Option<Box<dyn Report>>),
    /// Not done yet.
    Later(Box<dyn Job>),
}

impl Reply {
    /// Nothing to show.
    pub fn none() -> Reply {
        Reply::Done(None)
    }

    /// A typed result.
    pub fn new(report: impl Report + 'static) -> Reply {
        Reply::Done(Some(Box::new(report)))
    }

    /// A text.
    pub fn words(text: impl Into<String>) -> Reply {
        Reply::new(Words(text.into()))
    }

    /// Work that takes time.
    pub fn later(job: impl Job + 'static) -> Reply {
        Reply::Later(Box::new(job))
    }
}

/// Work that takes time: it is polled on the control thread, which goes on with everything else between.
pub trait Job {
    /// Goes on as far as possible without waiting.
    fn poll(&mut self, router: &mut Router) -> Step;
}

/// How far a [`Job`] has come.
pub enum Step {
    /// Show this, and poll again at once.
    Print(String),
    /// Poll again at this time.
    Wait(Instant),
    /// Done.
    Done(Result<(), CliError>),
}

impl From<String> for Words {
    fn from(text: String) -> Words {
        Words(text)
    }
}
