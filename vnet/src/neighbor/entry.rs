//! One neighbour.

use std::fmt;
use std::time::Instant;

/// How far a neighbour is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum State {
    /// Asked for, no answer yet.
    Incomplete,
    /// Known.
    Reachable,
    /// Known, but not confirmed for long; it is being asked again.
    Stale,
}

/// What is said of a neighbour in listings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Flags {
    /// Set by an operator, for ever (`S`); otherwise it may age (`D`).
    pub fixed: bool,
    /// It has no route of its own (`N`).
    pub no_fib: bool,
    /// How far it is known: `P` while incomplete, `A` when stale.
    pub state: State,
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.fixed { "S" } else { "D" })?;
        if self.no_fib {
            f.write_str("N")?;
        }
        match self.state {
            State::Incomplete => f.write_str("P"),
            State::Reachable => Ok(()),
            State::Stale => f.write_str("A"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Zeros while incomplete.
    pub(super) mac: [u8; 6],
    pub(super) flags: Flags,
    /// When it was last confirmed; while incomplete, when it was first asked for.
    pub(super) confirmed: Instant,
    /// Requests without an answer so far.
    pub(super) asked: u32,
    /// When the last request went out.
    pub(super) asked_at: Option<Instant>,
    /// When something is to be done about it.
    pub(super) due: Option<Instant>,
}
