//! The configurations of a VIP.

use serde::{Serialize, Serializer};

use super::{Config, NO_CONFIG, QuicLbError, ServerId};

/// The configurations of a VIP, by their numbers: none, one, or several while servers change over from one to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configs {
    by_id: [Option<Config>; NO_CONFIG as usize],
}

impl Configs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Those there are, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Config> {
        self.by_id.iter().flatten()
    }

    /// Puts one there, in the place of that of its number.
    ///
    /// # Errors
    /// If there cannot be such a one.
    pub fn set(&mut self, config: Config) -> Result<(), QuicLbError> {
        config.check()?;
        self.by_id[usize::from(config.id)] = Some(config);
        Ok(())
    }

    /// Takes one away; says whether it was there.
    pub fn remove(&mut self, id: u8) -> bool {
        self.by_id.get_mut(usize::from(id)).is_some_and(|place| place.take().is_some())
    }

    /// Whether one of them has server IDs of this length.
    pub fn fits(&self, server: &ServerId) -> bool {
        self.iter().any(|config| usize::from(config.server_id_len) == server.as_slice().len())
    }

    /// The lengths of server IDs, for people.
    pub fn lengths(&self) -> String {
        let mut lengths: Vec<u8> = self.iter().map(|config| config.server_id_len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.iter().map(u8::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl Serialize for Configs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
