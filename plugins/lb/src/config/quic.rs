//! What servers are called in QUIC's connection IDs.

use super::{LbConfig, LbError, Protocol, Server, ServerSpec, Service, State, Vip, VipKey};
use crate::quic_lb::{Configs, ServerId};

impl LbConfig {
    /// Whether a VIP of this key can have such configurations, with the servers that it has, if it is there.
    pub(super) fn check_quic_lb(&self, key: &VipKey, configs: &Configs, vip: Option<&Vip>) -> Result<(), LbError> {
        if configs.is_empty() {
            return Ok(());
        }
        if !matches!(key.service, Service::Port { protocol: Protocol::Udp, .. }) {
            return Err(LbError::QuicLbUdp(*key));
        }
        let named = vip.into_iter().flat_map(|vip| self.named(vip));
        match named.into_iter().find(|(id, _)| !configs.fits(id)) {
            Some((id, server)) => Err(wrong_length(id, server, *key, configs)),
            None => Ok(()),
        }
    }

    /// Whether a server of a VIP can be called so, as a command says, or as it was called before.
    pub(super) fn check_server_id(
        &self,
        vip: &Vip,
        spec: &ServerSpec,
        before: Option<ServerId>,
    ) -> Result<(), LbError> {
        let configs = &vip.options.quic_lb;
        if let Some(id) = spec.server_id {
            if configs.is_empty() {
                return Err(LbError::ServerIdUnused { id, vip: vip.key });
            }
            if !configs.fits(&id) {
                return Err(wrong_length(id, *spec, vip.key, configs));
            }
        }
        let Some(id) = spec.server_id.or(before) else { return Ok(()) };
        let other = self.named(vip).find(|(taken, other)| *taken == id && other.key() != spec.key());
        other.map_or(Ok(()), |(_, other)| Err(LbError::ServerIdTaken { id, other, vip: vip.key }))
    }

    /// The configured servers of a VIP that have a name in connection IDs.
    fn named<'c>(&'c self, vip: &'c Vip) -> impl Iterator<Item = (ServerId, ServerSpec)> + 'c {
        let servers = vip.servers.iter().filter_map(|slot| self.server(*slot));
        let used = servers.filter(|server| server.state == State::Used);
        used.filter_map(|server| Some((server.server_id?, spec_of(server))))
    }

    /// What connection IDs call the servers of a VIP, each with its slot. Removed ones keep their connections as long as
    /// they have flows, and give way to others of their name.
    pub fn server_ids(&self, vip: &Vip) -> Vec<(ServerId, u32)> {
        let server = |&slot: &u32| self.server(slot).map(|server| (slot, server));
        let mut servers: Vec<(u32, &Server)> = vip.servers.iter().filter_map(server).collect();
        servers.sort_by_key(|(_, server)| server.state == State::Used);
        servers.into_iter().filter_map(|(slot, server)| Some((server.server_id?, slot))).collect()
    }
}

fn spec_of(server: &Server) -> ServerSpec {
    ServerSpec { address: server.address, port: server.port, mac: server.mac, server_id: server.server_id }
}

fn wrong_length(id: ServerId, server: ServerSpec, vip: VipKey, configs: &Configs) -> LbError {
    LbError::ServerIdLength { id, server, vip, lengths: configs.lengths() }
}
