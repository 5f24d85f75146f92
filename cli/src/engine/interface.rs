//! `set interface …`, `show interface …`, `show hardware-interfaces`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use vnet::interface::Hardware;
use vnet::router::Family;
use vnet::{IfIndex, Router};

use crate::app::App;
use crate::args::Args;
use crate::columns::{centred, left, right};
use crate::error::CliError;
use crate::reply::Reply;

pub(super) fn register(app: &mut App) {
    app.command("show interface", "show interface [<interface> [<interface> ...]]", show)
        .command("show interface addr", "show interface addr [<interface>]", show_addresses)
        .command(
            "show hardware-interfaces",
            "show hardware-interfaces [brief|verbose|detail] [<interface>]",
            show_hardware,
        )
        .command("set interface state", "set interface state <interface> up|down", set_state)
        .command("set interface mtu", "set interface mtu [packet|ip4|ip6] <value> <interface>", set_mtu)
        .command("set interface mac address", "set interface mac address <interface> <mac-address>", set_mac)
        .command("set interface promiscuous", "set interface promiscuous [on|off] <interface>", set_promiscuous)
        .command(
            "set interface ip address",
            "set interface ip address [del] <interface> <ip-addr>/<mask> | all",
            set_address,
        )
        .command("clear interfaces", "clear interfaces", |router, args| {
            args.end()?;
            router.clear_interfaces();
            Ok(Reply::none())
        });
}

/// Interfaces with their counters.
#[derive(Serialize)]
struct Interfaces(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: String,
    index: u32,
    up: bool,
    mtu: u16,
    mtu_ip4: u16,
    counters: Vec<(&'static str, u64)>,
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}{}{}{}{}{}",
            centred("Name", 32),
            centred("Idx", 5),
            centred("State", 10),
            centred("MTU (L3/IP4/IP6/MPLS)", 21),
            centred("Counter", 16),
            centred("Count", 16)
        )?;
        for row in &self.0 {
            let state = if row.up { "up" } else { "down" };
            let mtu = format!("{}/{}/0/0", row.mtu, row.mtu_ip4);
            write!(f, "{}{}{}{}", left(&row.name, 32), centred(row.index, 5), centred(state, 10), centred(mtu, 21))?;
            for (number, (name, value)) in row.counters.iter().enumerate() {
                if number > 0 {
                    write!(f, "\n{:68}", "")?;
                }
                write!(f, "{}{}", left(name, 16), right(value, 16))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// All interfaces, or those named, by name.
fn chosen(router: &Router, args: &mut Args<'_>) -> Result<Vec<IfIndex>, CliError> {
    let mut chosen = Vec::new();
    while !args.is_empty() {
        let unknown = args.unknown();
        chosen.push(args.interface(router).map_err(|_| unknown)?);
    }
    if chosen.is_empty() {
        chosen = router.records().map(vnet::router::InterfaceRecord::index).chain([IfIndex(0)]).collect();
    }
    chosen.sort_by_key(|index| router.tables().interface(*index).name.clone());
    Ok(chosen)
}

fn show(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let chosen = chosen(router, args)?;
    let row = |index: &IfIndex| {
        let interface = router.tables().interface(*index);
        let counters = router.record(*index).map(|record| record.counters()).unwrap_or_default();
        Row {
            name: interface.name.to_string(),
            index: index.0,
            up: interface.admin_up,
            mtu: interface.mtu,
            mtu_ip4: interface.mtu_ip4,
            counters: counters.into_iter().filter(|(_, value)| *value > 0).collect(),
        }
    };
    Ok(Reply::new(Interfaces(chosen.iter().map(row).collect())))
}

/// Interfaces with their addresses.
#[derive(Serialize)]
struct Addresses(Vec<AddressRow>);

#[derive(Serialize)]
struct AddressRow {
    name: String,
    up: bool,
    addresses: Vec<String>,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            writeln!(f, "{} ({}):", row.name, if row.up { "up" } else { "dn" })?;
            for address in &row.addresses {
                writeln!(f, "  L3 {address}")?;
            }
        }
        Ok(())
    }
}

fn show_addresses(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let chosen = chosen(router, args)?;
    let row = |index: &IfIndex| {
        let interface = router.tables().interface(*index);
        let text = |record: &vnet::router::InterfaceRecord| {
            let ip4 = record.addresses().iter().map(ToString::to_string);
            ip4.chain(record.addresses6().iter().map(ToString::to_string)).collect()
        };
        let addresses = router.record(*index).map(text).unwrap_or_default();
        AddressRow { name: interface.name.to_string(), up: interface.admin_up, addresses }
    };
    Ok(Reply::new(Addresses(chosen.iter().map(row).collect())))
}

/// Interfaces with what their devices tell.
#[derive(Serialize)]
struct Devices {
    rows: Vec<DeviceRow>,
    brief: bool,
}

#[derive(Serialize)]
struct DeviceRow {
    name: String,
    index: u32,
    link_up: bool,
    queues: Vec<String>,
    mac: Option<String>,
    hardware: Hardware,
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}{}Hardware", centred("Name", 32), centred("Idx", 6), centred("Link", 8))?;
        for row in &self.rows {
            let link = if row.link_up { "up" } else { "down" };
            let (name, index, link) = (left(&row.name, 32), centred(row.index, 6), centred(link, 8));
            writeln!(f, "{name}{index}{link}{}", row.hardware.name)?;
            if self.brief {
                continue;
            }
            for line in &row.queues {
                writeln!(f, "  {line}")?;
            }
            if let Some(mac) = &row.mac {
                writeln!(f, "  Ethernet address {mac}")?;
            }
            for line in &row.hardware.lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// What VPP says of a device that has none.
const NO_SPEED: &str = "Link speed: unknown";

fn show_hardware(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let brief = args.keyword("brief");
    let _ = brief || args.keyword("verbose") || args.keyword("detail");
    let rows = chosen(router, args)?
        .into_iter()
        .map(|index| {
            let interface = router.tables().interface(index);
            let local0 = || Hardware { name: "local0".into(), lines: vec!["local".into()] };
            DeviceRow {
                name: interface.name.to_string(),
                index: index.0,
                link_up: interface.link_up,
                queues: router.record(index).map_or_else(|| vec![NO_SPEED.into()], |record| record.queues()),
                mac: (interface.mac != [0; 6]).then(|| vnet::wire::Mac(interface.mac).to_string()),
                hardware: router.record(index).map_or_else(local0, |record| record.hardware()),
            }
        })
        .collect();
    Ok(Reply::new(Devices { rows, brief }))
}

fn set_state(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let index = changeable(args, router)?;
    let unknown = args.unknown();
    let up = match args.word("up or down")? {
        "up" => true,
        "down" => false,
        _ => return Err(unknown),
    };
    args.end()?;
    router.set_interface_state(index, up).map_err(CliError::at)?;
    Ok(Reply::none())
}

/// Takes the name of an interface that can be changed: not that of packets that have none.
pub(super) fn changeable(args: &mut Args<'_>, router: &Router) -> Result<IfIndex, CliError> {
    match args.interface(router)? {
        IfIndex(0) => Err(CliError::at("`local0' cannot be changed: it stands for packets without an interface")),
        index => Ok(index),
    }
}

fn set_mtu(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    if args.keyword("ip6") {
        return Err(CliError::at("`ip6': IPv6 has no MTU of its own; set that of the packet"));
    }
    if args.keyword("mpls") {
        return Err(CliError::at("`mpls': there is no MPLS"));
    }
    if args.keyword("ip4") {
        let mtu = args.number("an MTU", 0..=65535u32)?;
        let index = changeable(args, router)?;
        args.end()?;
        router.set_interface_ip4_mtu(index, mtu).map_err(CliError::at)?;
        return Ok(Reply::none());
    }
    let _ = args.keyword("packet");
    let mtu = args.number("an MTU", 68..=65535u32)?;
    let index = changeable(args, router)?;
    args.end()?;
    router.set_interface_mtu(index, mtu).map_err(CliError::at)?;
    Ok(Reply::none())
}

fn set_mac(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let index = changeable(args, router)?;
    let mac = args.mac()?;
    args.end()?;
    if !mac.is_unicast() {
        return Err(CliError::at(format!("`{mac}' is not the address of one station")));
    }
    router.set_interface_mac(index, mac.0).map_err(CliError::at)?;
    Ok(Reply::none())
}

fn set_promiscuous(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let off = args.keyword("off");
    let _ = off || args.keyword("on");
    let index = changeable(args, router)?;
    args.end()?;
    router.set_interface_promiscuous(index, !off).map_err(CliError::at)?;
    Ok(Reply::none())
}

fn set_address(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let delete = args.keyword("del");
    let index = changeable(args, router)?;
    if delete && args.keyword("all") {
        args.end()?;
        let record = router.record(index).map(|record| (record.addresses().to_vec(), record.addresses6().to_vec()));
        let (ip4, ip6) = record.unwrap_or_default();
        for own in ip4 {
            router.del_address(index, own.address, own.length).map_err(CliError::at)?;
        }
        for own in ip6 {
            router.del_address(index, own.address, own.length).map_err(CliError::at)?;
        }
        return Ok(Reply::none());
    }
    let expected = CliError::at(format!("expected IP4/IP6 address/length `{}'", args.rest()));
    let six = args.is_ip6();
    if six {
        address::<Ipv6Addr>(router, args, index, delete)
    } else {
        address::<Ipv4Addr>(router, args, index, delete)
    }
    .map_err(|error| if let Unfit::Word(CliError::At(_)) = error { expected } else { error.into() })
}

/// Why an address was not changed.
enum Unfit {
    /// It is none.
    Word(CliError),
    /// The router refused.
    Refused(CliError),
}

impl From<Unfit> for CliError {
    fn from(unfit: Unfit) -> CliError {
        match unfit {
            Unfit::Word(error) | Unfit::Refused(error) => error,
        }
    }
}

fn address<A: Family>(router: &mut Router, args: &mut Args<'_>, index: IfIndex, delete: bool) -> Result<Reply, Unfit> {
    let (address, length) = args.prefix_of::<A>().map_err(Unfit::Word)?;
    args.end().map_err(Unfit::Refused)?;
    let refused = |error| Unfit::Refused(CliError::at(error));
    if delete {
        router.del_address(index, address, length).map_err(refused)?;
    } else {
        router.add_address(index, address, length).map_err(refused)?;
    }
    Ok(Reply::none())
}
