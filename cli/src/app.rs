//! What a crate registers with.

use vnet::{BuildError, Builder, Config, Router};

use crate::args::Args;
use crate::command::Table;
use crate::error::CliError;
use crate::reply::Reply;
use crate::shell::Console;

/// The engine's builder and the table of commands.
#[derive(Default)]
pub struct App {
    /// Nodes, state, features.
    pub builder: Builder,
    /// Commands.
    pub table: Table,
}

impl App {
    /// Nothing but the engine and its own commands.
    pub fn new() -> App {
        let mut app = App::default();
        crate::engine::register(&mut app);
        app
    }

    /// Registers a command: its words, how it is used, and what it does.
    pub fn command(
        &mut self,
        path: &'static str,
        help: &'static str,
        run: impl Fn(&mut Router, &mut Args<'_>) -> Result<Reply, CliError> + 'static,
    ) -> &mut Self {
        self.table.add(path, help, run);
        self
    }

    /// Builds the router and the console that runs commands on it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self, config: &Config) -> Result<Console, BuildError> {
        Ok(Console::new(self.builder.build(config)?, self.table))
    }
}
