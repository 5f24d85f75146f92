//! Names for the numbers that refer to parts of the graph and of the tables.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, zerocopy::FromZeros)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            /// The number as an index into a slice.
            #[inline(always)]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// A node of the graph; the same number in every worker's copy of the graph.
    NodeId(u16)
}
id! {
    /// An interface (VPP's `sw_if_index`); 0 is `local0`.
    IfIndex(u32)
}
id! {
    /// An adjacency: a neighbour on an interface, with its rewrite.
    AdjIndex(u32)
}
id! {
    /// An entry of the forwarding table (VPP's `dpo-idx`): what a route's leaf refers to.
    ForwardIndex(u32)
}
