//! What `show lb` and `show lb vips` report, as values, and their texts in VPP's layout.
//!
//! Where VPP slips we do not: ports are in host order, `usage` is out of all the flows that fit, servers are listed in
//! the order in which they were added, the counters begin on a line of their own, and the VIPs are counted without
//! the default one that VPP keeps. Below each server stand its own counters, and the scheduler on a line of its own, which
//! VPP does not have.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use vnet::wire::Mac;

use crate::config::{Family, IpPrefix, LbConfig, MssClamp, Ping, Scheduler, Server, Service, State, Vip};
use crate::flow_table::{Pressed, Timeouts};
use crate::quic_lb::{Configs, ServerId};

/// `show lb`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of `Conf`, and numbers of VIPs and servers, removed ones included")]
pub struct LbReport {
    pub ip4_src: Ipv4Addr,
    pub ip6_src: Ipv6Addr,
    pub vips: usize,
    pub servers: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nat: Vec<NatReport>,
    /// Packets of NAT that found no source address and port.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_source: u64,
    pub cores: Vec<CoreReport>,
}

/// The sessions of NAT, of one family, on all workers.
#[derive(Clone, Debug, Serialize)]
pub struct NatReport {
    /// The family.
    pub family: Family,
    /// The addresses that servers see with full NAT, first and last.
    pub pool: Option<(IpAddr, IpAddr)>,
    /// Sessions there are.
    pub used: usize,
    /// Sessions that there may be.
    pub size: usize,
    /// Addresses that new sessions do not get any more, and how many each still has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<(IpAddr, usize)>,
}

impl fmt::Display for NatReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " nat{}", self.family.digit())?;
        if let Some((first, last)) = self.pool {
            write!(f, " snat:{first}-{last}")?;
        }
        writeln!(f, " sessions: {} / {}", self.used, self.size)?;
        for (address, sessions) in &self.leaving {
            writeln!(f, "  leaving:{address} sessions: {sessions}")?;
        }
        Ok(())
    }
}

/// A worker's flow table.
#[derive(Clone, Debug, Serialize)]
pub struct CoreReport {
    /// The worker.
    pub core: usize,
    /// Seconds a flow may be silent.
    pub timeout: u32,
    /// The same by the flow's state.
    pub timeouts: Timeouts,
    /// What became of flows that found no room.
    pub pressed: Pressed,
    /// Flows remembered.
    pub used: usize,
    /// Flows that fit.
    pub size: usize,
}

impl LbReport {
    /// The report of a configuration and of what its workers said.
    pub fn new(config: &LbConfig, cores: Vec<CoreReport>) -> Self {
        let conf = config.conf();
        let (vips, servers) = (config.vips().count(), config.servers().count());
        Self { ip4_src: conf.ip4_src, ip6_src: conf.ip6_src, vips, servers, nat: Vec::new(), no_source: 0, cores }
    }
}

impl fmt::Display for LbReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lb_main ip4-src-address: {} ", self.ip4_src)?;
        writeln!(f, " ip6-src-address: {} ", self.ip6_src)?;
        writeln!(f, " #vips: {}", self.vips)?;
        writeln!(f, " #ass: {}", self.servers)?;
        self.nat.iter().try_for_each(|nat| nat.fmt(f))?;
        if self.no_source > 0 {
            writeln!(f, " no source address and port left for NAT: {}", self.no_source)?;
        }
        for core in &self.cores {
            writeln!(f, "core {}", core.core)?;
            writeln!(f, "  timeout: {}s", core.timeout)?;
            writeln!(f, "  usage: {} / {}", core.used, core.size)?;
            let Timeouts { plain, half_open, established, closing } = core.timeouts;
            if [half_open, established, closing] != [plain; 3] {
                write!(f, "  tcp timeouts: half-open {half_open}s established {established}s")?;
                writeln!(f, " closing {closing}s")?;
            }
            if core.pressed != Pressed::default() {
                let Pressed { evicted, refused, collided } = core.pressed;
                write!(f, "  half-open flows evicted: {evicted}  flows refused: {refused}")?;
                writeln!(f, "  identities collided: {collided}")?;
            }
        }
        Ok(())
    }
}

/// One line about a VIP: `show lb vips`, and traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields of `Vip` and its options")]
pub struct VipLine {
    pub kind: String,
    pub prefix: IpPrefix,
    pub new_len: u32,
    pub servers: usize,
    pub state: State,
    pub service: Service,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dscp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat: Option<NatLine>,
}

/// What NAT adds to the line of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields of `VipOptions`")]
pub struct NatLine {
    pub node_port: bool,
    pub port: u16,
    pub target_port: Option<u16>,
}

impl NatLine {
    fn new(vip: &Vip) -> Option<Self> {
        match vip.key.service {
            Service::Port { port, .. } if vip.options.encap.is_nat() => {
                Some(Self { node_port: vip.options.node_port, port, target_port: vip.options.target_port })
            }
            _ => None,
        }
    }
}

impl fmt::Display for NatLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.node_port { "nodeport" } else { "clusterip" };
        write!(f, "type:{kind} port:{}", self.port)?;
        self.target_port.map_or(Ok(()), |port| write!(f, " target_port:{port}"))
    }
}

impl VipLine {
    /// The line of a VIP.
    pub fn new(vip: &Vip) -> Self {
        Self {
            kind: vip.kind(),
            prefix: vip.key.prefix,
            new_len: vip.options.new_len,
            servers: vip.servers.len(),
            state: vip.state,
            service: vip.key.service,
            dscp: vip.options.encap.dscp(),
            nat: NatLine::new(vip),
        }
    }
}

impl fmt::Display for VipLine {
    /// Without a line's end, but with VPP's space at the end of a VIP of one port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} new_size:{} #as:{}", self.kind, self.prefix, self.new_len, self.servers)?;
        f.write_str(removed(self.state))?;
        match self.service {
            Service::All => Ok(()),
            Service::Port { protocol, port } => write!(f, "  protocol:{} port:{port} ", protocol.number()),
        }?;
        self.dscp.map_or(Ok(()), |dscp| write!(f, "  dscp:{dscp}"))?;
        self.nat.map_or(Ok(()), |nat| write!(f, " {nat}"))
    }
}

/// One line about a server: traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields of `Server`")]
pub struct ServerLine {
    pub address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub weight: u8,
    pub state: State,
}

impl fmt::Display for ServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} weight:{} {}", self.address, Port(self.port), self.weight, word(self.state))
    }
}

/// A server's own port, which VPP does not have.
struct Port(Option<u16>);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |port| write!(f, " target_port:{port}"))
    }
}

/// Packets of a VIP, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, zerocopy::FromZeros)]
pub struct VipCounters {
    /// Of flows that were known.
    #[serde(rename = "packet from existing sessions")]
    pub known: u64,
    /// Of flows that were new, and are remembered now.
    #[serde(rename = "first session packet")]
    pub new: u64,
    /// Of flows that found no room in the flow table.
    #[serde(rename = "untracked packet")]
    pub untracked: u64,
    /// That no server was there for.
    #[serde(rename = "no server configured")]
    pub no_server: u64,
}

/// What the rest of the router knows about a server, summed over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// Slots of the scheduler's table.
    pub buckets: u32,
    /// Flows remembered now.
    pub flows: u64,
    /// The forwarding entry that leads to it.
    pub dpo: u32,
    /// Packets sent to it.
    pub packets: u64,
    /// Bytes of those packets, as they came.
    pub bytes: u64,
    /// Flows given to it so far.
    pub total_flows: u64,
    /// The longest packet that the way to it takes, before it is wrapped; 0: there is no way.
    pub room: u16,
}

/// A server in `show lb vips verbose`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of `Server` and what is known about it")]
pub struct ServerReport {
    pub slot: u32,
    #[serde(flatten)]
    pub line: ServerLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<ServerId>,
    #[serde(flatten)]
    pub facts: ServerFacts,
}

/// A VIP in `show lb vips verbose`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of `Vip`, its counters and servers")]
pub struct VipReport {
    pub index: u32,
    #[serde(flatten)]
    pub line: VipLine,
    pub src_ip_sticky: bool,
    pub scheduler: Scheduler,
    /// Bytes that packets are longer by on their way to a server.
    pub overhead: u16,
    /// The longest packet that the ways to all servers take, before it is wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss_clamp: Option<MssClamp>,
    pub ping: Ping,
    #[serde(skip_serializing_if = "Configs::is_empty")]
    pub quic_lb: Configs,
    pub counters: VipCounters,
    #[serde(rename = "as")]
    pub servers: Vec<ServerReport>,
}

/// The reports of all VIPs. `counters` are asked for by the VIP's index, `facts` by the server's slot.
pub fn vip_reports(
    config: &LbConfig,
    counters: impl Fn(u32) -> VipCounters,
    facts: impl Fn(u32) -> ServerFacts,
) -> Vec<VipReport> {
    let server = |slot: u32, server: &Server| ServerReport {
        slot,
        line: ServerLine { address: server.address, port: server.port, weight: server.weight, state: server.state },
        mac: server.mac.map(|mac| Mac(mac).to_string()),
        server_id: server.server_id,
        facts: facts(slot),
    };
    let room = |&slot: &u32| Some(facts(slot).room).filter(|&room| room > 0);
    let report = |(index, vip): (u32, &Vip)| VipReport {
        overhead: vip.options.encap.overhead(),
        mtu: vip.servers.iter().filter_map(room).min(),
        mss_clamp: vip.options.mss_clamp,
        ping: vip.ping(),
        quic_lb: vip.options.quic_lb,
        index,
        line: VipLine::new(vip),
        src_ip_sticky: vip.options.src_ip_sticky,
        scheduler: vip.options.scheduler,
        counters: counters(index),
        servers: vip.servers.iter().filter_map(|&slot| Some(server(slot, config.server(slot)?))).collect(),
    };
    config.vips().map(report).collect()
}

impl fmt::Display for VipReport {
    /// The lines of `verbose`, with the empty one at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = &self.line;
        write!(f, " {} [{}] {}", line.kind, self.index, line.prefix)?;
        writeln!(f, "{}{}", if self.src_ip_sticky { " src_ip_sticky" } else { "" }, removed(line.state))?;
        writeln!(f, "  new_size:{}", line.new_len)?;
        if let Service::Port { protocol, port } = line.service {
            writeln!(f, "  protocol:{} port:{port}", protocol.number())?;
        }
        if let Some(dscp) = line.dscp {
            writeln!(f, "  dscp:{dscp}")?;
        }
        if let Some(nat) = line.nat {
            writeln!(f, "  {nat}")?;
        }
        writeln!(f, "  scheduler:{}", self.scheduler)?;
        write!(f, "  overhead:{}", self.overhead)?;
        self.mtu.map_or(Ok(()), |mtu| write!(f, " mtu:{mtu}"))?;
        match self.mss_clamp {
            Some(MssClamp::Auto) => write!(f, " mss-clamp:auto")?,
            Some(MssClamp::At(most)) => write!(f, " mss-clamp:{most}")?,
            Some(MssClamp::Off) | None => {}
        }
        writeln!(f, " ping:{}", self.ping.name())?;
        self.quic_lb.iter().try_for_each(|config| writeln!(f, "  {config}"))?;
        writeln!(f, "  counters:")?;
        writeln!(f, "    packet from existing sessions: {}", self.counters.known)?;
        writeln!(f, "    first session packet: {}", self.counters.new)?;
        writeln!(f, "    untracked packet: {}", self.counters.untracked)?;
        writeln!(f, "    no server configured: {}", self.counters.no_server)?;
        writeln!(f, "  #as:{}", self.servers.len())?;
        self.servers.iter().try_for_each(|server| server.fmt(f))?;
        writeln!(f)
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, facts) = (&self.line, &self.facts);
        write!(f, "    {}{}", line.address, Port(line.port))?;
        if let Some(mac) = &self.mac {
            write!(f, " mac:{mac}")?;
        }
        if let Some(id) = &self.server_id {
            write!(f, " server-id:{id}")?;
        }
        write!(f, " weight:{} buckets:{}", line.weight, facts.buckets)?;
        // VPP has another space in front of "removed".
        let state = if line.state == State::Removed { " removed" } else { "used" };
        writeln!(f, " flows:{} dpo:{} {state}", facts.flows, facts.dpo)?;
        write!(f, "      packets:{} bytes:{} flows:{}", facts.packets, facts.bytes, facts.total_flows)?;
        if line.state == State::Removed || line.weight == 0 {
            write!(f, " leaving:{}", facts.flows)?;
        }
        writeln!(f)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn word(state: State) -> &'static str {
    match state {
        State::Used => "used",
        State::Removed => "removed",
    }
}

fn removed(state: State) -> &'static str {
    match state {
        State::Used => "",
        State::Removed => " removed",
    }
}
