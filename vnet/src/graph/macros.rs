//! The enums of a node, with their texts beside them.

/// Declares a node's next nodes: an enum whose variants name them. The first must be the node's way to drop.
///
/// `To` after a semicolon adds the variant `To(NodeId)` for nodes that tables name, which `into()` makes of a `NodeId`, too;
/// `Hold` adds the variant `Hold` for packets that the node keeps.
///
/// ```
/// vnet::next_nodes! {
///     /// Where `my-node` sends packets.
///     pub enum Next {
///         /// Not for us.
///         Drop => "error-drop",
///         /// On to routing.
///         Lookup => "ip4-lookup",
///     }
/// }
/// ```
#[macro_export]
macro_rules! next_nodes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident => $node:literal,)* }) => {
        $crate::next_nodes!(@go [$(#[$meta])*] [$vis] $name {$($(#[$doc])* $variant => $node,)*} {} {});
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident => $node:literal,)* ; To }) => {
        $crate::next_nodes!(@go [$(#[$meta])*] [$vis] $name {$($(#[$doc])* $variant => $node,)*}
            {/** The node that a table named. */ To($crate::NodeId),} {$name::To(node) => $crate::Target::To(node),});
        $crate::next_nodes!(@from $name);
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident => $node:literal,)* ; Hold }) => {
        $crate::next_nodes!(@go [$(#[$meta])*] [$vis] $name {$($(#[$doc])* $variant => $node,)*}
            {/** The node keeps the packet. */ Hold,} {$name::Hold => $crate::Target::Hold,});
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident => $node:literal,)* ; To, Hold }) => {
        $crate::next_nodes!(@go [$(#[$meta])*] [$vis] $name {$($(#[$doc])* $variant => $node,)*}
            {/** The node that a table named. */ To($crate::NodeId), /** The node keeps the packet. */ Hold,}
            {$name::To(node) => $crate::Target::To(node), $name::Hold => $crate::Target::Hold,});
        $crate::next_nodes!(@from $name);
    };
    (@go [$(#[$meta:meta])*] [$vis:vis] $name:ident {$($(#[$doc:meta])* $variant:ident => $node:literal,)*}
        {$($extra:tt)*} {$($arm:tt)*}) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$doc])* $variant,)* $($extra)* }
        impl $crate::NextNodes for $name {
            const NAMES: &'static [&'static str] = &[$($node),*];
            #[inline(always)]
            fn target(self) -> $crate::Target {
                #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
                #[repr(u8)]
                enum Slot { $($variant,)* }
                match self {
                    $($name::$variant => $crate::Target::Static(Slot::$variant as u8),)*
                    $($arm)*
                }
            }
            #[inline(always)]
            fn drop() -> Self { $crate::next_nodes!(@first $name $($variant)*) }
        }
    };
    (@from $name:ident) => {
        impl ::std::convert::From<$crate::NodeId> for $name {
            #[inline(always)]
            fn from(node: $crate::NodeId) -> Self { $name::To(node) }
        }
    };
    (@first $name:ident $first:ident $($rest:ident)*) => { $name::$first };
}

/// Declares a node's errors and counts, each with the sentence that `show errors` prints.
///
/// ```
/// vnet::node_errors! {
///     /// What can happen in `my-node`.
///     pub enum Error {
///         /// The first byte is not ours.
///         Foreign => error "not our magic number",
///         /// Counted, not dropped.
///         Seen => info "packets seen",
///     }
/// }
/// ```
#[macro_export]
macro_rules! node_errors {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident => $severity:ident $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        $vis enum $name { $($(#[$doc])* $variant,)* }
        impl $crate::ErrorCodes for $name {
            const LIST: &'static [$crate::ErrorInfo] =
                &[$($crate::ErrorInfo { text: $text, severity: $crate::node_errors!(@$severity) }),*];
            #[inline(always)]
            fn code(self) -> u16 { self as u16 }
        }
    };
    (@error) => { $crate::Severity::Error };
    (@warn) => { $crate::Severity::Warn };
    (@info) => { $crate::Severity::Info };
}
