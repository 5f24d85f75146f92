//! Why a packet is none of the common ones.

use vnet::wire::flow::FlowError;
use vnet::wire::flow6::Flow6Error;

use super::Staged;

/// Why a packet is none of the common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFlow {
    Fragment,
    Short,
    NoVip,
    /// It has a flow, and a checksum to be completed or to be cut into pieces first.
    Unfinished,
    /// An echo request, which has a flow, and which we answer ourselves for some VIPs.
    Echo,
    /// Extension headers that cannot be gone through.
    Chain,
    /// It has a flow, and begins a connection.
    Syn,
    /// It has a flow, and ends a connection.
    End,
    /// An ICMP error, about a packet the other way.
    Quote,
    /// It has a flow, and perhaps a connection ID that names a server.
    Named,
}

/// Where the reason stands in [`Staged::found`]: above a handle's slot, which is 0 then, so that no server is found.
const REASON_AT: u32 = 24;

impl NoFlow {
    const ALL: [NoFlow; 10] = [
        NoFlow::Fragment,
        NoFlow::Short,
        NoFlow::NoVip,
        NoFlow::Unfinished,
        NoFlow::Echo,
        NoFlow::Chain,
        NoFlow::Syn,
        NoFlow::End,
        NoFlow::Quote,
        NoFlow::Named,
    ];

    #[cold]
    pub(super) fn staged(self, vip: u32) -> Staged {
        Staged::new(0, vip, (self as u32) << REASON_AT)
    }

    pub(super) fn of(staged: Staged) -> NoFlow {
        Self::ALL[(staged.found >> REASON_AT) as usize % Self::ALL.len()]
    }
}

impl From<FlowError> for NoFlow {
    fn from(error: FlowError) -> NoFlow {
        match error {
            FlowError::Fragment => NoFlow::Fragment,
            FlowError::Short => NoFlow::Short,
        }
    }
}

impl From<Flow6Error> for NoFlow {
    fn from(error: Flow6Error) -> NoFlow {
        match error {
            Flow6Error::Fragment => NoFlow::Fragment,
            Flow6Error::Short => NoFlow::Short,
            Flow6Error::Chain(_) => NoFlow::Chain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_back_and_name_no_server() {
        for why in NoFlow::ALL {
            let staged = why.staged(5);
            assert_eq!((NoFlow::of(staged), staged.identity, staged.vip()), (why, 0, 5));
            assert!(crate::handle::ServerHandle::from_bits(staged.found).is_none());
        }
    }
}
