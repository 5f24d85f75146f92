//! `ping`: echo requests from the control thread, and the replies that packet threads see.

use std::net::IpAddr;
use std::time::Instant;

use vnet::{Cx, Notice, PacketNode, Router};

/// An echo reply that came back.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// From whom.
    pub from: IpAddr,
    /// The identifier of the request.
    pub id: u16,
    /// The sequence number of the request.
    pub sequence: u16,
    /// Hops left.
    pub ttl: u8,
    /// Bytes of the ICMP message.
    pub len: usize,
    /// When it was seen.
    pub at: Instant,
}

/// Who waits for replies, and what came.
#[derive(Default)]
pub struct Pings {
    next_id: u16,
    waiting: Vec<u16>,
    replies: Vec<Reply>,
}

impl Pings {
    /// Begins to wait for replies; gives the identifier for the requests.
    pub fn begin(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        self.waiting.push(self.next_id);
        self.next_id
    }

    /// The reply to a request, if it came.
    pub fn take(&mut self, id: u16, sequence: u16) -> Option<Reply> {
        let at = self.replies.iter().position(|reply| (reply.id, reply.sequence) == (id, sequence))?;
        Some(self.replies.swap_remove(at))
    }

    /// Ends waiting.
    pub fn end(&mut self, id: u16) {
        self.waiting.retain(|other| *other != id);
        self.replies.retain(|reply| reply.id != id);
    }
}

/// Replies that may be kept for those who wait.
const MOST_REPLIES: usize = 1024;

/// What a node saw of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// From whom.
    pub(crate) from: IpAddr,
    /// Hops left.
    pub(crate) ttl: u8,
    /// Bytes of the ICMP message.
    pub(crate) len: usize,
}

/// A reply came for one of our own addresses.
pub(crate) fn answered<N: PacketNode>(cx: &mut Cx<'_, '_, N>, seen: Seen, id: u16, sequence: u16) {
    let reply = Reply { from: seen.from, id, sequence, ttl: seen.ttl, len: seen.len, at: cx.now().instant };
    cx.notify(Notice::Call(Box::new(move |router: &mut Router| {
        if let Some(pings) = router.state::<Pings>()
            && pings.waiting.contains(&id)
            && pings.replies.len() < MOST_REPLIES
        {
            pings.replies.push(reply);
        }
    })));
}
