//! How a new flow's server is picked.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::LbError;

/// How a new flow's server is picked. Known flows stay where they are, whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// By a Maglev table: [`crate::maglev`].
    #[default]
    Maglev,
    /// Every server in turn (IPVS: `rr`).
    Rr,
    /// In turn, as often as its weight says, spread as evenly as weights allow (IPVS: `wrr`).
    Wrr,
    /// The one with the fewest flows (IPVS: `lc`).
    Lc,
    /// The one with the fewest flows for its weight (IPVS: `wlc`).
    Wlc,
    /// By the source address; a server has as many shares as its weight says (IPVS: `sh`).
    Sh,
    /// By addresses, protocol and ports; all servers have the same share.
    Hash,
}

impl Scheduler {
    /// All there are.
    pub const ALL: [Self; 7] = [Self::Maglev, Self::Rr, Self::Wrr, Self::Lc, Self::Wlc, Self::Sh, Self::Hash];

    /// The word in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maglev => "maglev",
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sh => "sh",
            Self::Hash => "hash",
        }
    }

    /// Whether the flow and the configuration decide alone, so that all workers and all balancers of a fleet agree.
    pub fn is_stateless(self) -> bool {
        matches!(self, Self::Maglev | Self::Sh | Self::Hash)
    }

    /// Whether flows are counted for it.
    pub fn counts_flows(self) -> bool {
        matches!(self, Self::Lc | Self::Wlc)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheduler {
    type Err = LbError;

    fn from_str(word: &str) -> Result<Self, LbError> {
        Self::ALL.into_iter().find(|one| one.name() == word).ok_or_else(|| LbError::Scheduler(word.into()))
    }
}
