//! `lb-sweep`: takes expired flows out of the table, a little per pass; drops fragments whose first did not come.

use vnet::{InputCx, InputNode, Poll, next_nodes, node_errors};

use crate::local::LbLocal;
use crate::tables::LbTables;

next_nodes! {
    /// Where the sweep sends packets.
    pub enum SweepNext {
        /// What waited in vain.
        Drop => "error-drop",
    }
}

node_errors! {
    /// Why the sweep drops.
    pub enum SweepError {
        /// Its ports are in another fragment.
        NoFirst => error "fragment whose first did not come",
    }
}

/// See the head of this module.
pub(super) struct Sweep;

impl InputNode for Sweep {
    type Next = SweepNext;
    type Error = SweepError;
    type Local = LbLocal;
    type Trace = ();

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let now = cx.now();
        while let Some(held) = cx.local.fragments.expire(now.nanos) {
            cx.release_as(held, SweepError::NoFirst);
        }
        let waiting = cx.local.fragments.deadline().map_or(Poll::Idle, Poll::Until);
        let due = cx.local.due(now.seconds);
        if due == 0 {
            return waiting;
        }
        match cx.tables.extension::<LbTables>().and_then(|tables| tables.downcast_ref::<LbTables>()) {
            // The rest in the next pass, without a sleep before it.
            Some(tables) if cx.local.sweep(now.seconds, tables.live(), due) => Poll::Until(now.nanos),
            _ => waiting,
        }
    }
}
