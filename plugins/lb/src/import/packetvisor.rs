//! The file of Packetvisor's load balancer.
//!
//! ```xml
//! <loadbalancer>
//!   <service>
//!     <address>192.168.0.200</address> <protocol>udp</protocol> <port>7</port>
//!     <schedule>rr</schedule>
//!     <servers>
//!       <server> <address>10.0.0.200</address> <port>8080</port> <mode>nat</mode> <weight>50</weight> </server>
//!     </servers>
//!   </service>
//! </loadbalancer>
//! ```
//!
//! A service is a VIP of one port. `schedule` is a scheduler of ours, `rr` where it is missing. A server's `port` is the
//! service's where it is missing, and its `weight` 100. Its `mode` decides how packets travel: `nat`, the default, as `encap
//! nat4` or `nat6`; `snat` or `fullnat` as `encap fullnat4` or `fullnat6`; `dr` as `encap l2dsr`. All servers of a service
//! have the same mode. Anything else in the file is an error.
//!
//! A document type with its entities is refused, so no file is larger than it looks.

use std::collections::HashMap;
use std::net::IpAddr;

use roxmltree::{Document, Node, ParsingOptions};

use super::{ImportError, Plan, PlannedServer, PlannedVip, wrong};
use crate::config::{IpPrefix, Protocol, Scheduler, Service, VipKey};

/// Elements and texts in a file: several ten thousand servers.
const MOST_NODES: u32 = 1 << 20;

/// How a server wants its packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nat,
    FullNat,
    Direct,
}

impl Mode {
    /// The encapsulation behind a VIP, as commands call it.
    fn encap(self, vip: IpAddr) -> &'static str {
        match (self, vip) {
            (Mode::Nat, IpAddr::V4(_)) => "nat4",
            (Mode::Nat, IpAddr::V6(_)) => "nat6",
            (Mode::FullNat, IpAddr::V4(_)) => "fullnat4",
            (Mode::FullNat, IpAddr::V6(_)) => "fullnat6",
            (Mode::Direct, _) => "l2dsr",
        }
    }
}

/// Reads a file.
///
/// # Errors
/// The line at fault.
pub fn parse(text: &str) -> Result<Plan, ImportError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let parsed = Document::parse_with_options(text, options);
    let document =
        parsed.map_err(|error| ImportError { line: error.pos().row as usize, reason: format!("no XML: {error}") })?;
    let lines = Lines::new(text);
    let root = document.root_element();
    if root.tag_name().name() != "loadbalancer" {
        return Err(wrong(lines.of(root), "<loadbalancer>", &format!("<{}>", root.tag_name().name())));
    }
    let mut plan = Plan::default();
    let mut places: HashMap<VipKey, usize> = HashMap::new();
    for element in elements(&lines, root, &["service"])? {
        let vip = service(&lines, element)?;
        if let Some(before) = places.insert(vip.key, vip.line) {
            let reason = format!("service {} is there twice, first in line {before}", vip.key);
            return Err(ImportError { line: vip.line, reason });
        }
        plan.vips.push(vip);
    }
    if plan.vips.is_empty() {
        return Err(wrong(lines.of(root), "a <service> in <loadbalancer>", ""));
    }
    Ok(plan)
}

fn service(lines: &Lines, node: Node<'_, '_>) -> Result<PlannedVip, ImportError> {
    let fields = Fields::of(lines, node, &["address", "protocol", "port", "schedule", "servers"])?;
    let address: IpAddr = fields.parse("address", "an IPv4 or IPv6 address")?;
    let protocol = match fields.needed("protocol")?.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(fields.wrong("protocol", "protocol tcp or udp")),
    };
    let port = fields.port()?.ok_or_else(|| fields.missing("port"))?;
    let scheduler = match fields.word("schedule") {
        None => Scheduler::Rr,
        Some(word) => {
            let known = word.to_ascii_lowercase().parse::<Scheduler>();
            known.map_err(|error| ImportError { line: fields.line("schedule"), reason: error.to_string() })?
        }
    };
    let list = fields.node("servers").ok_or_else(|| fields.missing("servers"))?;
    let mut servers = Vec::new();
    let mut places: HashMap<(IpAddr, Option<u16>), usize> = HashMap::new();
    let mut common: Option<(Mode, String, usize)> = None;
    for element in elements(lines, list, &["server"])? {
        let (server, mode, word) = self::server(lines, element, port)?;
        match &common {
            None => common = Some((mode, word, server.line)),
            Some((other, _, _)) if *other == mode => (),
            Some((_, other, line)) => {
                let reason = format!(
                    "mode `{word}', but the server in line {line} has mode `{other}': servers of one service must have \
                     the same"
                );
                return Err(ImportError { line: server.line, reason });
            }
        }
        if let Some(before) = places.insert((server.address, server.port), server.line) {
            let port = server.port.unwrap_or(port);
            let reason = format!("server {} port {port} is there twice, first in line {before}", server.address);
            return Err(ImportError { line: server.line, reason });
        }
        servers.push(server);
    }
    let Some((mode, ..)) = common else { return Err(wrong(lines.of(list), "a <server> in <servers>", "")) };
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let line = lines.of(node);
    let prefix = IpPrefix::new(address, whole).map_err(|error| ImportError { line, reason: error.to_string() })?;
    let key = VipKey { prefix, service: Service::Port { protocol, port } };
    let (encap, scheduler) = (mode.encap(address), Some(scheduler));
    Ok(PlannedVip { line, key, encap, dscp: None, scheduler, new_len: None, servers })
}

/// A server of a service at `service_port`, its mode, and the word for that.
fn server(lines: &Lines, node: Node<'_, '_>, service_port: u16) -> Result<(PlannedServer, Mode, String), ImportError> {
    let fields = Fields::of(lines, node, &["address", "port", "mode", "weight"])?;
    let address = fields.parse("address", "an IPv4 or IPv6 address")?;
    let port = fields.port()?.filter(|port| *port != service_port);
    let word = fields.word("mode").unwrap_or("nat").to_string();
    let mode = match word.to_ascii_lowercase().as_str() {
        "nat" => Mode::Nat,
        "snat" | "fullnat" => Mode::FullNat,
        "dr" => Mode::Direct,
        _ => return Err(fields.wrong("mode", "a mode (nat, snat, fullnat or dr)")),
    };
    if mode == Mode::Direct && port.is_some() {
        return Err(fields.wrong("port", &format!("the service's port {service_port}, which mode `{word}' keeps")));
    }
    let weight = fields.number("weight", "a weight from 0 to 100", 0..=100)?;
    Ok((PlannedServer { line: lines.of(node), address, port, weight, mac: None }, mode, word))
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// The line of an element, from 1.
    fn of(&self, node: Node<'_, '_>) -> usize {
        self.0.partition_point(|start| *start <= node.range().start) + 1
    }
}

/// The elements in an element: of these names, and nothing else beside.
fn elements<'a, 'i>(lines: &Lines, node: Node<'a, 'i>, names: &[&str]) -> Result<Vec<Node<'a, 'i>>, ImportError> {
    let parent = node.tag_name().name();
    let expected = || {
        let names: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
        format!("{} in <{parent}>", names.join(", "))
    };
    no_attributes(lines, node)?;
    let mut found = Vec::new();
    for child in node.children() {
        if child.is_element() {
            if !names.contains(&child.tag_name().name()) {
                return Err(wrong(lines.of(child), &expected(), &format!("<{}>", child.tag_name().name())));
            }
            found.push(child);
        } else if let Some(text) = child.text().filter(|text| child.is_text() && !text.trim().is_empty()) {
            // The text may begin with the line ends before the word.
            let before = text.len() - text.trim_start().len();
            let line = lines.of(child) + text[..before].matches('\n').count();
            return Err(wrong(line, &expected(), shortened(text.trim())));
        }
    }
    Ok(found)
}

/// The text in an element that has nothing else in it.
fn word(lines: &Lines, node: Node<'_, '_>) -> Result<String, ImportError> {
    no_attributes(lines, node)?;
    match node.children().find(Node::is_element) {
        Some(child) => {
            let (name, child_name) = (node.tag_name().name(), child.tag_name().name());
            Err(wrong(lines.of(child), &format!("a word in <{name}>"), &format!("<{child_name}>")))
        }
        // Comments may stand in between.
        None => {
            let texts = node.children().filter(Node::is_text).filter_map(|child| child.text());
            Ok(texts.collect::<String>().trim().to_string())
        }
    }
}

fn no_attributes(lines: &Lines, node: Node<'_, '_>) -> Result<(), ImportError> {
    match node.attributes().next() {
        None => Ok(()),
        Some(one) => Err(wrong(lines.of(node), &format!("no attribute of <{}>", node.tag_name().name()), one.name())),
    }
}

/// So much of a text as an error shows.
fn shortened(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(60).map_or(line, |(end, _)| &line[..end])
}

/// The elements in an element, each at most once, by name.
struct Fields<'a, 'i, 'l> {
    lines: &'l Lines,
    parent: Node<'a, 'i>,
    /// With its text, but for `servers`.
    found: HashMap<&'a str, (Node<'a, 'i>, String)>,
}

impl<'a, 'i> Fields<'a, 'i, '_> {
    fn of<'l>(lines: &'l Lines, parent: Node<'a, 'i>, names: &[&str]) -> Result<Fields<'a, 'i, 'l>, ImportError> {
        let mut found = HashMap::new();
        for node in elements(lines, parent, names)? {
            let name = node.tag_name().name();
            let text = if name == "servers" { String::new() } else { word(lines, node)? };
            if let Some((first, _)) = found.insert(name, (node, text)) {
                let reason = format!("<{name}> is there twice, first in line {}", lines.of(first));
                return Err(ImportError { line: lines.of(node), reason });
            }
        }
        Ok(Fields { lines, parent, found })
    }

    fn node(&self, name: &str) -> Option<Node<'a, 'i>> {
        self.found.get(name).map(|(node, _)| *node)
    }

    fn word(&self, name: &str) -> Option<&str> {
        self.found.get(name).map(|(_, text)| text.as_str())
    }

    fn line(&self, name: &str) -> usize {
        self.lines.of(self.node(name).unwrap_or(self.parent))
    }

    fn missing(&self, name: &str) -> ImportError {
        wrong(self.lines.of(self.parent), &format!("<{name}> in <{}>", self.parent.tag_name().name()), "")
    }

    fn needed(&self, name: &str) -> Result<&str, ImportError> {
        self.word(name).ok_or_else(|| self.missing(name))
    }

    fn wrong(&self, name: &str, expected: &str) -> ImportError {
        wrong(self.line(name), expected, shortened(self.word(name).unwrap_or_default()))
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, expected: &str) -> Result<T, ImportError> {
        self.needed(name)?.parse().map_err(|_| self.wrong(name, expected))
    }

    /// A number, if it is there.
    fn number(
        &self,
        name: &str,
        expected: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, ImportError> {
        let Some(word) = self.word(name) else { return Ok(None) };
        let digits = Some(word).filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|word| word.parse().ok()).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| self.wrong(name, expected))
    }

    fn port(&self) -> Result<Option<u16>, ImportError> {
        let number = self.number("port", "a port from 1 to 65535", 1..=u32::from(u16::MAX))?;
        Ok(number.and_then(|number| u16::try_from(number).ok()))
    }
}
