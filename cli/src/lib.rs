//! The command line: a table of commands, the server that real VPP clients speak to, and the engine's own commands.
//!
//! A crate registers with [`App`]: nodes and state with [`App::builder`], commands with [`App::command`]. A command parses
//! its words with [`Args`], does its work on the [`Router`](vnet::Router), and returns a [`Reply`]: a typed result that
//! is turned into text, or JSON, in a second step.
#![forbid(unsafe_code)]

mod app;
mod args;
pub mod client;
pub mod columns;
mod command;
pub mod engine;
mod error;
mod expected;
mod files;
mod given;
mod reply;
pub mod server;
mod shell;
pub mod startup;

pub use app::App;
pub use args::Args;
pub use command::{Command, Outcome, Table};
pub use error::CliError;
pub use files::{read_file, read_text_file};
pub use given::Given;
pub use reply::{Job, Reply, Report, Step, Words};
pub use shell::{Console, Pending, Progress, Started, script_lines};
