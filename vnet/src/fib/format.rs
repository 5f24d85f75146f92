//! `show ip fib` and `show adj` as text. A uRPF list has the number of the path-list it follows from.

use std::fmt::{self, Write};

use super::address::Address;
use super::forward::{Forward, ForwardKind};
use super::path::{Source, Target};
use super::rib::Rib;
use super::view::{AdjacencyRow, PathView, RouteView, SourceView, Summary};
use crate::ids::{IfIndex, NodeId};

/// Names what a plugin's node and index stand for.
type Plugins<'a> = &'a dyn Fn(NodeId, u32) -> String;

impl<A: Address> Rib<A> {
    /// The line that stands above every listing.
    pub fn heading_text(&self) -> String {
        // Who keeps the table in being: it is the only one, so always these two.
        let locks = "locks:[adjacency:1, default-route:1, ]";
        let hash = "flow hash:[src dst sport dport proto flowlabel ]";
        format!("{}-VRF:0, fib_index:0, {hash} epoch:0 flags:none {locks}\n", A::LONG)
    }

    /// A route in one listing of many; `plugin` names what a plugin's node and index stand for.
    pub fn route_text(&self, route: &RouteView<A>, plugin: &dyn Fn(NodeId, u32) -> String) -> String {
        let mut out = format!("{}\n", route.prefix);
        self.chain(&mut out, route, "  ", plugin).expect(STRING);
        out
    }

    /// A route in full.
    pub fn route_detail_text(&self, route: &RouteView<A>, plugin: &dyn Fn(NodeId, u32) -> String) -> String {
        let mut out = String::new();
        self.detail(&mut out, route, plugin).expect(STRING);
        out
    }

    /// What a forwarding entry says, in words.
    pub fn forward_text(&self, forward: Forward, plugin: &dyn Fn(NodeId, u32) -> String) -> String {
        match forward.kind {
            ForwardKind::Drop | ForwardKind::DropRoute => format!("dpo-drop {}", A::SHORT),
            ForwardKind::Local => format!("dpo-receive: {}", self.interface_name(IfIndex(forward.index))),
            ForwardKind::Glean | ForwardKind::Arp | ForwardKind::Rewrite => {
                let row = forward.adjacency().and_then(|index| self.adjacency_row(index));
                row.map_or_else(String::new, |row| row.adjacency.text(&row.name).to_string())
            }
            ForwardKind::LoadBalance => {
                format!("dpo-load-balance: [proto:{} index:{}]", A::SHORT, forward.index)
            }
            ForwardKind::Plugin => plugin(forward.node, forward.index),
        }
    }

    fn detail(&self, out: &mut String, route: &RouteView<A>, plugin: Plugins<'_>) -> fmt::Result {
        writeln!(out, "{} fib:0 index:{} locks:{}", route.prefix, route.index, route.locks)?;
        for source in &route.sources {
            self.source(out, source, plugin)?;
        }
        if route.locks as usize > route.sources.len() {
            writeln!(out, "  recursive-resolution refs:1 src-flags:added, cover:-1")?;
        }
        writeln!(out)?;
        write!(out, " forwarding: ")?;
        self.chain(out, route, "  ", plugin)
    }

    fn source(&self, out: &mut String, source: &SourceView<A>, plugin: Plugins<'_>) -> fmt::Result {
        write!(out, "  {} refs:1 ", source.source)?;
        let target = source.paths.first().map(|p| p.path.target);
        let entry_flags = match (source.source, target) {
            (_, Some(Target::Connected { .. })) => "connected,attached,",
            (_, Some(Target::Local(_))) => "connected,local,",
            (Source::Plugin(_), _) => "exclusive,",
            (Source::Adjacency, _) | (_, Some(Target::Attached(_))) => "attached,",
            (_, None | Some(Target::Drop)) => "drop,",
            _ => "",
        };
        if !entry_flags.is_empty() {
            write!(out, "entry-flags:{entry_flags} ")?;
        }
        write!(out, "src-flags:added,")?;
        if source.active {
            write!(out, "contributing,active,")?;
        }
        let cover = source.cover.and_then(|cover| self.entries.get(&cover)).map(|entry| entry.number);
        match (cover, source.source) {
            (Some(number), _) => write!(out, " cover:{number}")?,
            (None, Source::Interface) => write!(out, " cover:-1")?,
            (None, _) => {}
        }
        writeln!(out)?;
        let exclusive = matches!(source.source, Source::Plugin(_));
        let flags = if exclusive { " flags:exclusive," } else { "" };
        let (list, locks, interfaces) = (source.path_list, source.path_list_locks, self.interfaces(source));
        write!(out, "    path-list:[{list}] locks:{locks}{flags} uPRF-list:{list} len:{} itfs:[", interfaces.len())?;
        interfaces.iter().try_for_each(|interface| write!(out, "{interface}, "))?;
        writeln!(out, "]")?;
        for path in &source.paths {
            self.path(out, source, path, plugin)?;
        }
        if source.source == Source::Adjacency {
            writeln!(out, "    Extensions:")?;
            for path in &source.paths {
                writeln!(out, "     path:{} adj-flags:[refines-cover]", path.index)?;
            }
        }
        Ok(())
    }

    /// The interfaces that a source's paths lead to, each once: those by which a sender behind the prefix may come in.
    fn interfaces(&self, source: &SourceView<A>) -> Vec<IfIndex> {
        let of_path = |view: &PathView<A>| match view.path.target {
            Target::Attached(interface) | Target::Connected { interface, .. } | Target::Local(interface) => {
                Some(interface)
            }
            Target::NextHop { interface, .. } => Some(interface),
            Target::Recursive(_) => view.forward.adjacency().map(|index| self.adjacency(index).interface),
            Target::Drop | Target::Plugin { .. } => None,
        };
        let mut all: Vec<_> = source.paths.iter().filter_map(of_path).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn path(&self, out: &mut String, source: &SourceView<A>, view: &PathView<A>, plugin: Plugins<'_>) -> fmt::Result {
        let path = &view.path;
        let (kind, configured) = match path.target {
            Target::NextHop { .. } => ("attached-nexthop", ""),
            Target::Recursive(_) => ("recursive", ""),
            Target::Attached(_) => ("attached", ""),
            Target::Connected { .. } => ("attached", "glean,"),
            Target::Local(_) => ("receive", "local,"),
            Target::Drop => ("special", "drop,"),
            Target::Plugin { .. } => ("exclusive", "exclusive,"),
        };
        write!(out, "      path:[{}] pl-index:{} {} ", view.index, source.path_list, A::SHORT)?;
        write!(out, "weight={} pref={} {kind}:  oper-flags:", path.weight, path.preference)?;
        out.push_str(match (view.resolved, view.looped) {
            (true, _) => "resolved,",
            (false, true) => "recursive-loop,",
            (false, false) => "",
        });
        if !configured.is_empty() {
            write!(out, " cfg-flags:{configured}")?;
        }
        writeln!(out)?;
        let name = |interface| self.interface_name(interface);
        match path.target {
            Target::NextHop { address, interface } => {
                writeln!(out, "        {address} {}", name(interface))?;
                writeln!(out, "      [@0]: {}", self.forward_text(view.forward, plugin))
            }
            Target::Recursive(address) => {
                writeln!(out, "        via {address} in fib:0")?;
                writeln!(out, "      [@0]: {}", self.forward_text(view.forward, plugin))
            }
            Target::Attached(interface) | Target::Connected { interface, .. } | Target::Local(interface) => {
                writeln!(out, "         {}", name(interface))
            }
            Target::Drop => writeln!(out, "        [@0]: dpo-drop {}", A::SHORT),
            Target::Plugin { .. } => writeln!(out, "        [@0]: {}", self.forward_text(view.forward, plugin)),
        }
    }

    /// The heading `unicast-ip4-chain` and the buckets below it.
    fn chain(&self, out: &mut String, route: &RouteView<A>, indent: &str, plugin: Plugins<'_>) -> fmt::Result {
        let (short, index, count) = (A::SHORT, route.forward_index, route.buckets.len());
        let (packets, bytes) = (route.to.packets, route.to.bytes);
        writeln!(out, "{indent}unicast-{short}-chain")?;
        write!(out, "{indent}[@0]: dpo-load-balance: [proto:{short} index:{index} buckets:{count} uRPF:{index} ")?;
        writeln!(out, "to:[{packets}:{bytes}]]")?;
        for (i, &forward) in route.buckets.iter().enumerate() {
            let text = self.forward_text(forward, plugin);
            writeln!(out, "{indent}  [{i}] [@{}]: {text}", slot(forward.kind))?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    Prefix length         Count     ")?;
        self.lengths.iter().try_for_each(|(len, count)| writeln!(f, "{len:>20}{count:>16}"))
    }
}

impl fmt::Display for AdjacencyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[@{}] {}", self.index, self.adjacency.text(&self.name))
    }
}

/// The number that VPP prints before a forwarding entry: the slot of its node among the next nodes of `ip4-lookup`, in
/// the order that stays the same there from start to start. Plugins get theirs behind these.
fn slot(kind: ForwardKind) -> u8 {
    match kind {
        ForwardKind::Drop | ForwardKind::DropRoute | ForwardKind::LoadBalance => 0,
        ForwardKind::Arp => 3,
        ForwardKind::Glean => 4,
        ForwardKind::Rewrite => 5,
        ForwardKind::Local => 11,
        ForwardKind::Plugin => 12,
    }
}

const STRING: &str = "writing to a String cannot fail";
