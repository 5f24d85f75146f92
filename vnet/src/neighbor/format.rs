//! `show ip neighbors`.

use std::fmt;
use std::time::Instant;

use super::entry::Flags;
use super::table::Neighbors;
use crate::fib::{Address, Rib};
use crate::ids::IfIndex;

/// One neighbour of a listing.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct NeighborRow<A> {
    /// Seconds since it was last confirmed.
    pub age: f64,
    /// Its address.
    pub address: A,
    /// What is known about it.
    pub flags: Flags,
    /// Its link address; zeros while it is not known.
    pub mac: [u8; 6],
    /// Its interface.
    pub interface: IfIndex,
    /// The interface's name.
    pub name: String,
}

impl<A> NeighborRow<A> {
    /// The same with another kind of address.
    pub fn map<B>(self, change: impl FnOnce(A) -> B) -> NeighborRow<B> {
        let NeighborRow { age, address, flags, mac, interface, name } = self;
        NeighborRow { age, address: change(address), flags, mac, interface, name }
    }
}

/// Neighbours by interface, then address; prints as VPP's table.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct NeighborRows<A>(pub Vec<NeighborRow<A>>);

impl<A: Address> Neighbors<A> {
    /// The neighbours on one interface, or on all.
    pub fn rows(&self, rib: &Rib<A>, now: Instant, interface: Option<IfIndex>) -> NeighborRows<A> {
        let wanted = self.entries.iter().filter(|((i, _), _)| interface.is_none_or(|wanted| *i == wanted));
        let rows = wanted.map(|(&(interface, address), entry)| NeighborRow {
            age: now.saturating_duration_since(entry.confirmed).as_secs_f64(),
            address,
            flags: entry.flags,
            mac: entry.mac,
            interface,
            name: rib.interface_name(interface),
        });
        NeighborRows(rows.collect())
    }
}

impl<A: fmt::Display> fmt::Display for NeighborRows<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [("Age", 12), ("IP", 40), ("Flags", 6), ("Ethernet", 20), ("Interface", 24)];
        head.iter().try_for_each(|(text, width)| centred(f, text, *width))?;
        writeln!(f)?;
        self.0.iter().try_for_each(|row| {
            let age = format!("{:.4}", row.age);
            let [a, b, c, d, e, g] = row.mac;
            write!(f, "{:>12}", age.strip_prefix('0').unwrap_or(&age))?;
            centred(f, &row.address.to_string(), 40)?;
            centred(f, &row.flags.to_string(), 6)?;
            centred(f, &format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"), 20)?;
            writeln!(f, "{}", row.name)
        })
    }
}

/// Centres text as VPP does: an odd space stands on the left.
fn centred(f: &mut fmt::Formatter<'_>, text: &str, width: usize) -> fmt::Result {
    let spare = width.saturating_sub(text.chars().count());
    let (left, right) = (spare - spare / 2, spare / 2);
    write!(f, "{:left$}{text}{:right$}", "", "")
}
