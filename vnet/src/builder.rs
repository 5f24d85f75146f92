//! Putting a router together: what crates register, and the checks before it runs.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;

use crate::arcs::{self, ArcIndex, Feature};
use crate::fib::LinkKind;
use crate::graph::{Locals, Outbox, SinkCx, SinkNode, Vector};
use crate::handoff::Exchange;
use crate::ids::{IfIndex, NodeId};
use crate::interface::{Caps, Interface};
use crate::mem::{Packet, PageSize, Pool};
use crate::registry::{NodeSpec, Registry};
use crate::router::{Control, Router, RouterParts};
use crate::tables::{Connected, OwnAddresses, Published, Tables};
use crate::worker::{Worker, WorkerShared};

/// How large a router is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Packet threads; 0 and 1 both mean one.
    pub workers: usize,
    /// Buffers of each packet thread.
    pub buffers: u32,
    /// The pages under them.
    pub pages: PageSize,
    /// Processors that the packet threads are bound to, in turn; empty: wherever the kernel puts them.
    pub cores: Vec<usize>,
    /// Run the graph on the caller's thread, by [`Router::step`]: for tests, benchmarks and embedding programs.
    pub inline: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { workers: 1, buffers: 16_384, pages: PageSize::Default, cores: Vec::new(), inline: false }
    }
}

/// Why a router cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A node, next node, or state is missing or there twice.
    #[error("{0}")]
    Graph(String),
    /// Features in a circle.
    #[error("the features of arc `{arc}` stand in a circle: {circle}")]
    FeatureCircle {
        /// The arc's name.
        arc: String,
        /// The features.
        circle: String,
    },
    /// A feature names an arc that nobody made.
    #[error("feature `{feature}` is for arc `{arc}`, which does not exist")]
    UnknownArc {
        /// The feature.
        feature: String,
        /// The arc.
        arc: String,
    },
    /// The kernel refused memory or a descriptor.
    #[error("cannot set up a packet thread: {0}")]
    System(#[from] std::io::Error),
}

/// What a crate does once the router is there.
type Starter = Box<dyn FnOnce(&mut Router)>;

type MakeLocal = Box<dyn Fn(usize) -> Box<dyn Any + Send>>;

/// What crates register with.
pub struct Builder {
    nodes: Vec<NodeSpec>,
    arcs: Vec<(String, Vec<Feature>)>,
    unknown: Vec<(String, String)>,
    locals: Vec<(TypeId, MakeLocal)>,
    extensions: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
    states: AHashMap<TypeId, Box<dyn Any>>,
    starters: Vec<Starter>,
    /// Bytes of the ring between two workers.
    hand_over: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        let mut builder = Builder {
            nodes: Vec::new(),
            arcs: ["ip4-unicast", "interface-output", "ip6-unicast"].map(|name| (name.into(), Vec::new())).into(),
            unknown: Vec::new(),
            locals: Vec::new(),
            extensions: Vec::new(),
            states: AHashMap::new(),
            starters: Vec::new(),
            hand_over: None,
        };
        builder.node(NodeSpec::sink("null-node", |_| Null));
        builder.local(|_| ());
        builder.extension(());
        builder
    }
}

impl Builder {
    /// An empty router: only `null-node` and `local0` exist.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Registers a node.
    pub fn node(&mut self, spec: NodeSpec) -> &mut Self {
        self.nodes.push(spec);
        self
    }

    /// Registers state that each worker owns and nodes share; found by its type.
    pub fn local<T: Send + 'static>(&mut self, make: impl Fn(usize) -> T + 'static) -> &mut Self {
        self.locals.push((TypeId::of::<T>(), Box::new(move |worker| Box::new(make(worker)))));
        self
    }

    /// Registers a plugin's part of the [`Tables`], with its first value; found by its type.
    pub fn extension<T: Send + Sync + 'static>(&mut self, value: T) -> &mut Self {
        self.extensions.push((TypeId::of::<T>(), Arc::new(value)));
        self
    }

    /// Registers state of the control thread; found by its type.
    pub fn state<T: 'static>(&mut self, value: T) -> &mut Self {
        self.states.insert(TypeId::of::<T>(), Box::new(value));
        self
    }

    /// Runs `work` once the router is built: for timers, observers and the like.
    pub fn on_start(&mut self, work: impl FnOnce(&mut Router) + 'static) -> &mut Self {
        self.starters.push(Box::new(work));
        self
    }

    /// Lets workers hand packets over to each other (see [`handoff`](crate::handoff)), through rings of so many bytes
    /// between any two of them; [`handoff::ROOM`](crate::handoff::ROOM) will do. The largest number asked for counts, rounded
    /// up.
    pub fn hand_over(&mut self, bytes: usize) -> &mut Self {
        self.hand_over = self.hand_over.max(Some(bytes));
        self
    }

    /// Makes a feature arc beyond the engine's own; its features follow by [`Builder::feature`].
    pub fn arc(&mut self, name: &str) -> ArcIndex {
        self.arcs.push((name.into(), Vec::new()));
        ArcIndex((self.arcs.len() - 1) as u8)
    }

    /// Makes a node available as a feature of an arc.
    pub fn feature(&mut self, arc: &str, feature: Feature) -> &mut Self {
        match self.arcs.iter_mut().find(|(name, _)| name == arc) {
            Some((_, features)) => features.push(feature),
            None => self.unknown.push((feature.node, arc.into())),
        }
        self
    }

    /// Checks everything and makes the router; its packet threads run from now on (unless `inline`).
    ///
    /// # Errors
    /// Unknown next nodes, duplicate names, features in a circle, state that a node needs and nobody registered: each
    /// named.
    pub fn build(self, config: &Config) -> Result<Router, BuildError> {
        let workers = config.workers.max(1);
        if let Some((feature, arc)) = self.unknown.into_iter().next() {
            return Err(BuildError::UnknownArc { feature, arc });
        }
        let locals = self.locals.iter().map(|(id, _)| *id).collect();
        let mut registry = Registry::new(locals);
        let shared: Vec<_> = (0..workers).map(|_| WorkerShared::new().map(Arc::new)).collect::<std::io::Result<_>>()?;
        let exchange = self.hand_over.map(|bytes| Exchange::new(&shared, bytes)).transpose()?;
        let handing_over = exchange.iter().flat_map(Exchange::nodes);
        for spec in self.nodes.into_iter().chain(handing_over) {
            registry.add(spec, workers).map_err(BuildError::Graph)?;
        }
        let mut arcs = Vec::new();
        for (name, features) in self.arcs {
            let order = arcs::order(&features)
                .map_err(|circle| BuildError::FeatureCircle { arc: name.clone(), circle })?
                .into_iter()
                .map(|at| features[at].node.clone());
            let mut nodes = Vec::new();
            for feature in order {
                let node = registry.find(&feature).ok_or_else(|| {
                    BuildError::Graph(format!("feature `{feature}` of arc `{name}` is no node that exists"))
                })?;
                nodes.push(node);
            }
            arcs.push((name, nodes));
        }

        let start = Instant::now();
        let outbox = Arc::new(Outbox::new(4096));
        let (nodes4, nodes6) = Router::fib_nodes(&registry);
        let (mut ip4, mut ip6) = (Control::new(nodes4), Control::new(nodes6));
        ip4.rib.set_workers(workers);
        ip6.rib.set_workers(workers);
        let tables = Tables {
            version: 0,
            forwarding: 0,
            fib4: ip4.rib.publish(),
            fib6: ip6.rib.publish(),
            interfaces: vec![local0()],
            own4: OwnAddresses::default(),
            own6: OwnAddresses::default(),
            connected4: Connected::default(),
            connected6: Connected::default(),
            path_mtus: Default::default(),
            arcs: vec![Default::default(); arcs.len()],
            extensions: self.extensions,
        };
        let published = Arc::new(Published::new(tables.clone()));
        let mut made = Vec::new();
        for (index, shared) in shared.into_iter().enumerate() {
            let mut locals = Locals::default();
            for (_, make) in &self.locals {
                locals.insert(make(index));
            }
            let pool = Pool::with_pages(config.buffers.max(1), config.pages)?;
            let mut worker =
                Worker::new(index, pool, locals, published.clone(), shared.clone(), outbox.clone(), start)?;
            if let Some(exchange) = &exchange {
                worker.join(exchange.clone());
            }
            for number in 0..registry.nodes.len() {
                let id = NodeId(number as u16);
                let dispatch = Router::make_node(&registry, &tables, id, index).map_err(BuildError::Graph)?;
                let info = &registry.nodes[number];
                let input = info.kind == crate::NodeKind::Input;
                worker.install(id, dispatch, info.stats[index].clone(), input);
            }
            made.push((worker, shared));
        }
        let mut router = Router::assemble(RouterParts {
            registry,
            arcs,
            ip4,
            ip6,
            tables,
            published,
            outbox,
            states: self.states,
            start,
            workers: made,
            inline: config.inline,
            cores: config.cores.clone(),
            exchange,
        })
        .map_err(BuildError::System)?;
        for starter in self.starters {
            starter(&mut router);
        }
        Ok(router)
    }
}

fn local0() -> Interface {
    Interface {
        index: IfIndex(0),
        name: "local0".into(),
        mac: [0; 6],
        admin_up: false,
        link_up: false,
        mtu: 0,
        mtu_ip4: 0,
        mtu_path: u16::MAX,
        link: LinkKind::PointToPoint,
        caps: Caps::default(),
        promiscuous: false,
        output: NodeId(0),
        tx: NodeId(0),
        ip4: false,
        ip6: false,
    }
}

/// The node with number 0: packets without a destination end there.
struct Null;

crate::node_errors! {
    enum NullError {
        Blackholed => error "blackholed packets",
    }
}

impl SinkNode for Null {
    type Error = NullError;
    type Trace = ();
    fn consume(&mut self, cx: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        cx.count(NullError::Blackholed, vector.len() as u64);
    }
    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}
