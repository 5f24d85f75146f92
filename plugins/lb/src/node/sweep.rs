//! `lb-sweep`: takes expired flows out of the table, a little per pass.

use vnet::{InputCx, InputNode, Poll, next_nodes};

use crate::local::LbLocal;
use crate::tables::LbTables;

next_nodes! {
    /// The sweep sends nothing.
    pub enum SweepNext {
        /// Never used.
        Drop => "error-drop",
    }
}

/// See the head of this module.
pub(super) struct Sweep;

impl InputNode for Sweep {
    type Next = SweepNext;
    type Error = vnet::NoErrors;
    type Local = LbLocal;
    type Trace = ();

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let now = cx.now();
        let due = cx.local.due(now.seconds);
        if due == 0 {
            return Poll::Idle;
        }
        match cx.tables.extension::<LbTables>().and_then(|tables| tables.downcast_ref::<LbTables>()) {
            // The rest in the next pass, without a sleep before it.
            Some(tables) if cx.local.sweep(now.seconds, tables.live(), due) => Poll::Until(now.nanos),
            _ => Poll::Idle,
        }
    }
}
