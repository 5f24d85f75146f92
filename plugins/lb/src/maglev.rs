//! Maglev hashing: which server a new flow goes to.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4. Every server
//! has a permutation of the slots, made from its address; the servers take turns, each taking the first slot of its
//! permutation that is still free, until all are taken. A server that comes or goes moves few slots of others.
//!
//! Two things are not the paper's: the number of slots may be a power of two (the step through the slots is then odd,
//! which is as good as a prime length for visiting all), and servers have weights ([`shares()`]).
//!
//! A table is a function of the servers' addresses, ports and weights, and of nothing else: neither the order in which
//! servers were added nor the machine goes into it.

#[cfg(test)]
mod disruption;
mod permutation;
mod shares;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use permutation::Permutation;
pub use shares::{NoRoom, shares};

/// The most slots a table may have.
pub const MAX_LEN: u32 = 1 << 25;

/// Whether a table may have `len` slots: a power of two or a prime, and not too long.
pub fn is_valid_len(len: u32) -> bool {
    (1..=MAX_LEN).contains(&len) && (len.is_power_of_two() || is_prime(len))
}

/// A server as the table sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the slots hold for this server: its slot in the table of servers, not 0.
    pub slot: u32,
    /// Where its permutation comes from, together with the port.
    pub address: IpAddr,
    /// The port of the server, 0 where packets keep theirs.
    pub port: u16,
    /// 0 (no slots) to 100.
    pub weight: u8,
}

/// Which server each slot belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct MaglevTable {
    slots: Arc<[u32]>,
}

impl MaglevTable {
    /// Fills a table of `len` slots.
    ///
    /// # Errors
    /// If a member of weight above 0 would get no slot.
    pub fn build(len: u32, members: &[Member]) -> Result<Self, NoRoom> {
        let mut members: Vec<Member> = members.iter().copied().filter(|member| member.weight > 0).collect();
        members.sort_by_key(|member| (member.address, member.port));
        let weights: Vec<u32> = members.iter().map(|member| u32::from(member.weight)).collect();
        let shares = shares(len, &weights)?;
        Ok(Self { slots: fill(len, &members, &shares) })
    }

    /// The slots: each a server's slot, or 0 if there is no server.
    pub fn slots(&self) -> &Arc<[u32]> {
        &self.slots
    }

    /// How many slots belong to others than in `before`; all of them if the lengths differ.
    pub fn moved(&self, before: &Self) -> usize {
        if self.slots.len() != before.slots.len() {
            return self.slots.len();
        }
        self.slots.iter().zip(before.slots.iter()).filter(|(now, then)| now != then).count()
    }

    /// How many slots the server has.
    pub fn count(&self, server: u32) -> usize {
        self.slots.iter().filter(|&&slot| slot == server).count()
    }
}

/// A member while the table is filled.
struct Filler {
    permutation: Permutation,
    share: u32,
    /// Turns are dealt out in proportion to the shares; a member takes a slot when this reaches the number of turns.
    credit: u32,
    slot: u32,
}

fn fill(len: u32, members: &[Member], shares: &[u32]) -> Arc<[u32]> {
    let mut shared: Arc<[u32]> = std::iter::repeat_n(0, len as usize).collect();
    let slots = Arc::make_mut(&mut shared);
    // The largest share takes a slot every turn, the others as evenly as their share lets them; with equal weights
    // that is the paper's algorithm to the letter.
    let turns = shares.iter().copied().max().unwrap_or(0);
    let mut fillers: Vec<Filler> = members
        .iter()
        .zip(shares)
        .map(|(member, &share)| Filler {
            permutation: Permutation::new(member.address, member.port, len),
            share,
            credit: turns.saturating_sub(1),
            slot: member.slot,
        })
        .collect();
    // One bit per slot: the search for a free one touches only this, which stays in the first two levels of cache.
    let mut taken = vec![0u64; len.div_ceil(64) as usize];
    for _ in 0..turns {
        for filler in &mut fillers {
            filler.credit += filler.share;
            if filler.credit < turns {
                continue;
            }
            filler.credit -= turns;
            let at = filler.permutation.find(&taken);
            taken[at as usize / 64] |= 1 << (at % 64);
            slots[at as usize] = filler.slot;
        }
    }
    shared
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|divisor| divisor * divisor <= n).all(|divisor| !n.is_multiple_of(divisor))
}
