//! What is known of a flow's connection, and how long it may be silent.

use super::FlowTableError;
use super::bucket::MAX_TIMEOUT;

/// How far a flow has come, as seen from the client's side alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum FlowState {
    /// It has no connection: UDP, ICMP and others.
    #[default]
    Plain = 0,
    /// TCP, of which one packet came. Such an entry gives way where a bucket is full. Bit 0 says that the next packet
    /// changes the state.
    HalfOpen = 1,
    /// TCP, of which more than one packet came.
    Established = 2,
    /// TCP, of which a FIN or RST came. Later packets keep it, and a SYN begins a new flow.
    Closing = 4,
}

/// A packet that changes the state of a connection otherwise than by being one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// SYN: however often it comes, the client may not be where it says.
    Syn,
    /// FIN or RST.
    End,
}

impl FlowState {
    /// That of a flow whose first packet is of this protocol.
    pub fn of_new(protocol: u8) -> FlowState {
        if protocol == vnet::wire::ip4::protocol::TCP { FlowState::HalfOpen } else { FlowState::Plain }
    }

    pub(super) fn from_bits(bits: u32) -> FlowState {
        match bits & 7 {
            1 => FlowState::HalfOpen,
            2 => FlowState::Established,
            4 => FlowState::Closing,
            _ => FlowState::Plain,
        }
    }

    /// The state after one more packet.
    pub(super) fn after_packet(self) -> FlowState {
        if self == FlowState::HalfOpen { FlowState::Established } else { self }
    }

    /// The word in lists.
    pub fn name(self) -> &'static str {
        match self {
            FlowState::Plain => "plain",
            FlowState::HalfOpen => "half-open",
            FlowState::Established => "established",
            FlowState::Closing => "closing",
        }
    }
}

/// Seconds after which a silent flow is forgotten, by its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the states")]
pub struct Timeouts {
    pub plain: u32,
    pub half_open: u32,
    pub established: u32,
    pub closing: u32,
}

impl Timeouts {
    /// One for all states.
    pub fn all(timeout: u32) -> Timeouts {
        Timeouts { plain: timeout, half_open: timeout, established: timeout, closing: timeout }
    }

    /// That of a state.
    #[inline]
    pub fn of(&self, state: FlowState) -> u32 {
        match state {
            FlowState::Plain => self.plain,
            FlowState::HalfOpen => self.half_open,
            FlowState::Established => self.established,
            FlowState::Closing => self.closing,
        }
    }

    /// What decides how often a table is swept. Not how long half-open and closing flows may be silent, which is a short
    /// time: their entries give way by themselves.
    pub fn to_sweep(&self) -> u32 {
        self.plain.min(self.established)
    }

    /// The longest that a flow may be silent.
    pub fn longest(&self) -> u32 {
        self.plain.max(self.half_open).max(self.established).max(self.closing)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// If one cannot be.
    pub fn check(&self) -> Result<(), FlowTableError> {
        let all = [self.plain, self.half_open, self.established, self.closing];
        match all.into_iter().find(|timeout| !(1..=MAX_TIMEOUT).contains(timeout)) {
            Some(timeout) => Err(FlowTableError::Timeout(timeout)),
            None => Ok(()),
        }
    }
}
