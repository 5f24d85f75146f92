//! What the tables need to know about an address family, and prefixes of it.

use std::fmt::{self, Debug, Display};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::fib::trie4::Trie4;
use crate::ids::ForwardIndex;

/// An address family's addresses, as routing sees them: strings of bits with a way to look up the longest prefix.
pub trait Address:
    Copy + Ord + Hash + Debug + Display + FromStr + serde::Serialize + Send + Sync + Sized + 'static
{
    /// Bits of an address.
    const BITS: u8;
    /// The family's name in forwarding chains and paths.
    const SHORT: &'static str;
    /// The family's name in headings and adjacencies.
    const LONG: &'static str;
    /// The EtherType of the family's packets (RFC 7042, appendix B).
    const ETHERTYPE: [u8; 2];
    /// Link destination and EtherType of the requests that a connected prefix sends (RFC 826: broadcast).
    const REQUEST: ([u8; 6], [u8; 2]);
    /// The address of all zeros.
    const UNSPECIFIED: Self;
    /// The longest-prefix-match structure of the family.
    type Trie: PrefixTrie<Self>;

    /// The address with all bits behind the first `len` cleared.
    fn masked(self, len: u8) -> Self;
    /// The address with all bits behind the first `len` set.
    fn last(self, len: u8) -> Self;
    /// The address as one of either family.
    fn to_ip(self) -> IpAddr;
    /// What is dropped in every table until a route says otherwise, the default route first.
    fn specials() -> Vec<Prefix<Self>>;
    /// True if a connected prefix keeps its first and last address for itself (network and broadcast).
    fn reserves_ends(len: u8) -> bool;
    /// The address that an interface has on its link alone, made of its MAC; IPv4 has none.
    fn link_local(mac: [u8; 6]) -> Option<Self>;
    /// True if the address means something on one link alone: whoever has it is on the link.
    fn is_link_local(self) -> bool;
}

/// A longest-prefix-match structure as the control side writes it.
///
/// It starts with the prefix of length 0 on `ForwardIndex(0)`.
pub trait PrefixTrie<A>: Default + Send {
    /// What workers read: immutable, and it shares all that has not changed.
    type Lookup: Clone + Debug + Send + Sync + 'static;

    /// Puts `forward` on the prefix, in place of what was there.
    fn insert(&mut self, prefix: Prefix<A>, forward: ForwardIndex);
    /// Takes the prefix away: its addresses go where `cover`, a prefix of `cover_len` bits, sends them.
    fn remove(&mut self, prefix: Prefix<A>, cover: ForwardIndex, cover_len: u8);
    /// The entry of the longest prefix that has `address`.
    fn get(&self, address: A) -> ForwardIndex;
    /// The present state for readers.
    fn publish(&self) -> Self::Lookup;
    /// The entry of the longest prefix that has `address`, in what readers have.
    fn find(lookup: &Self::Lookup, address: A) -> ForwardIndex;
    /// The entries of as many addresses. In a loop that does nothing else the processor has more look-ups under way at once; where they
    /// are long, there is a better way still.
    #[inline(always)]
    fn find_many(lookup: &Self::Lookup, addresses: &[A], entries: &mut [ForwardIndex])
    where
        A: Copy,
    {
        for (entry, address) in entries.iter_mut().zip(addresses) {
            *entry = Self::find(lookup, *address);
        }
    }
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;
    const SHORT: &'static str = "ip4";
    const LONG: &'static str = "ipv4";
    const ETHERTYPE: [u8; 2] = [0x08, 0x00];
    const REQUEST: ([u8; 6], [u8; 2]) = ([0xff; 6], [0x08, 0x06]);
    const UNSPECIFIED: Self = Ipv4Addr::UNSPECIFIED;
    type Trie = Trie4;

    fn masked(self, len: u8) -> Self {
        Self::from_bits(self.to_bits() & !host_bits(len))
    }

    fn last(self, len: u8) -> Self {
        Self::from_bits(self.to_bits() | host_bits(len))
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(self)
    }

    /// "This host" (RFC 1122, section 3.2.1.3), multicast (RFC 5771), reserved (RFC 1112, section 4), and the limited
    /// broadcast (RFC 919, section 7) are not forwarded.
    fn specials() -> Vec<Prefix<Self>> {
        let special = |a, len| Prefix::new(Ipv4Addr::from_bits(a), len);
        let specials =
            [special(0, 0), special(0, 32), special(0xe000_0000, 4), special(0xf000_0000, 4), special(!0, 32)];
        specials.into_iter().flatten().collect()
    }

    /// RFC 3021: on a /31 both addresses are hosts.
    fn reserves_ends(len: u8) -> bool {
        len < 31
    }

    fn link_local(_: [u8; 6]) -> Option<Self> {
        None
    }

    /// RFC 3927's addresses are treated like all others.
    fn is_link_local(self) -> bool {
        false
    }
}

fn host_bits(len: u8) -> u32 {
    u32::MAX.checked_shr(len.into()).unwrap_or(0)
}

/// A prefix: an address whose host bits are zero, and the number of bits that count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Prefix<A> {
    address: A,
    len: u8,
}

impl<A: Address> Prefix<A> {
    /// The prefix of `len` bits that has `address`; `None` if the family has fewer bits.
    pub fn new(address: A, len: u8) -> Option<Self> {
        (len <= A::BITS).then(|| Prefix { address: address.masked(len), len })
    }

    /// The prefix of one address.
    pub fn host(address: A) -> Self {
        Prefix { address, len: A::BITS }
    }

    /// The first address: host bits are zero.
    pub fn address(self) -> A {
        self.address
    }

    /// Bits that count.
    #[expect(clippy::len_without_is_empty, reason = "a prefix length; no prefix is empty")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// The last address: host bits are one.
    pub fn last(self) -> A {
        self.address.last(self.len)
    }

    /// True if the prefix is one address.
    pub fn is_host(self) -> bool {
        self.len == A::BITS
    }

    /// True if `address` begins with the prefix.
    pub fn contains(self, address: A) -> bool {
        address.masked(self.len) == self.address
    }

    /// The prefix of the first `len` bits of this one; itself if it is no longer.
    pub fn shortened(self, len: u8) -> Self {
        let len = len.min(self.len);
        Prefix { address: self.address.masked(len), len }
    }
}

impl<A: Display> Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl<A: Debug> Debug for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.address, self.len)
    }
}

/// A text that is no prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParsePrefixError {
    /// There is no `/`, or what stands before it is no address, or what stands behind it no number.
    #[error("expected an address and a length, as in 10.0.1.0/24")]
    Syntax,
    /// More bits than the family has.
    #[error("Invalid prefix len: {0}")]
    Length(u8),
}

impl<A: Address> FromStr for Prefix<A> {
    type Err = ParsePrefixError;

    /// Host bits that are set are cleared.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, len) = text.split_once('/').ok_or(ParsePrefixError::Syntax)?;
        let address = address.parse::<A>().map_err(|_| ParsePrefixError::Syntax)?;
        let len = len.parse::<u8>().map_err(|_| ParsePrefixError::Syntax)?;
        Prefix::new(address, len).ok_or(ParsePrefixError::Length(len))
    }
}
