//! What a node tells of a vector is heard by the next one if, and only if, it is of all the packets that this one gets.

use vnet::{
    Builder, Config, Cx, IfIndex, InputCx, InputNode, NoErrors, NodeSpec, Offload, Packet, PacketNode, Poll, Scope,
    SinkCx, SinkNode, Tally, Vector, next_nodes,
};

/// A packet's first byte: to the first teller, to the second, and one that tellers do not settle at once.
const FIRST: u8 = 0;
const SECOND: u8 = 1;
const UNUSUAL: u8 = 2;

next_nodes! {
    enum FromSource {
        Drop => "end",
        First => "first",
        Second => "second",
    }
}

next_nodes! {
    enum Ask {
        Drop => "end",
        Asker => "asker",
    }
}

next_nodes! {
    enum End {
        Drop => "end",
    }
}

/// Brings packets of growing length in, once.
struct Source(Vec<u8>);

impl InputNode for Source {
    type Next = FromSource;
    type Error = NoErrors;
    type Local = ();
    type Trace = ();
    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let kinds = std::mem::take(&mut self.0);
        for (n, kind) in kinds.iter().enumerate() {
            let next = |_: &mut Packet<'_>| if *kind == SECOND { FromSource::Second } else { FromSource::First };
            cx.deliver(IfIndex(0), &vec![*kind; 60 + n], next, |_| ()).unwrap();
        }
        if kinds.is_empty() { Poll::Idle } else { Poll::Busy(kinds.len()) }
    }
}

struct Teller;

impl PacketNode for Teller {
    type Next = Ask;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ();
    fn at_once(&mut self, cx: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, Ask) {
        let mut tally = Tally::NONE;
        let done = vector.head(|packet| {
            packet.meta_mut().offload = Offload::LOCAL;
            tally.add(packet.len(), Offload::LOCAL);
            packet.data()[0] != UNUSUAL
        });
        cx.tell(tally);
        (done, Ask::Asker)
    }
    fn finish(&mut self, _: &mut Cx<'_, '_, Self>, _: &mut Packet<'_>, (): ()) -> Ask {
        Ask::Asker
    }
    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) {}
}

/// Notes what it is told, and tells nothing.
#[derive(Default)]
struct Asker(Vec<(usize, Option<Tally>)>);

impl PacketNode for Asker {
    type Next = End;
    type Error = NoErrors;
    type Shared = ();
    type Local = ();
    type Staged = ();
    type Trace = ();
    fn at_once(&mut self, _: &mut Cx<'_, '_, Self>, vector: &mut Vector<'_>, _: &[()]) -> (usize, End) {
        self.0.push((vector.len(), vector.tally()));
        assert_eq!(vector.rest(0).tally(), None, "of a part nothing is known");
        (vector.len(), End::Drop)
    }
    fn finish(&mut self, _: &mut Cx<'_, '_, Self>, _: &mut Packet<'_>, (): ()) -> End {
        End::Drop
    }
    fn trace(&self, _: &Scope<'_, (), ()>, _: &Packet<'_>, (): ()) {}
}

#[derive(Default)]
struct Forget(Vec<Option<Tally>>);

impl SinkNode for Forget {
    type Error = NoErrors;
    type Trace = ();
    fn consume(&mut self, _: &mut SinkCx<'_, '_, Self>, vector: &mut Vector<'_>) {
        self.0.push(vector.tally());
    }
    fn trace(&self, _: &SinkCx<'_, '_, Self>, _: &Packet<'_>) {}
}

/// What the asker heard of vectors of these packets, one vector after the other.
fn heard(vectors: &[&[u8]]) -> Vec<(usize, Option<Tally>)> {
    let mut builder = Builder::new();
    builder
        .node(NodeSpec::input("source", |_| Source(Vec::new())))
        .node(NodeSpec::packet("first", |_| Teller))
        .node(NodeSpec::packet("second", |_| Teller))
        .node(NodeSpec::packet("asker", |_| Asker::default()))
        .node(NodeSpec::sink("end", |_| Forget::default()));
    let mut router = builder.build(&Config { inline: true, buffers: 2048, ..Config::default() }).unwrap();
    let [source, asker, end] = ["source", "asker", "end"].map(|name| router.node(name).unwrap());
    for vector in vectors {
        let kinds = vector.to_vec();
        router.ask(0, move |worker| worker.node::<Source>(source).unwrap().0 = kinds);
        router.step();
    }
    let at_the_end = router.ask(0, move |worker| std::mem::take(&mut worker.node::<Forget>(end).unwrap().0));
    assert!(at_the_end.iter().all(Option::is_none), "nobody told the last node anything");
    router.ask(0, move |worker| std::mem::take(&mut worker.node::<Asker>(asker).unwrap().0))
}

fn of(lengths: std::ops::Range<u64>) -> Option<Tally> {
    Some(Tally { bytes: lengths.sum(), offload: Offload::LOCAL })
}

#[test]
fn the_next_node_hears_of_a_whole_vector() {
    assert_eq!(heard(&[&[FIRST; 10], &[FIRST; 3]]), [(10, of(60..70)), (3, of(60..63))]);
}

#[test]
fn of_a_part_of_a_vector_nothing_is_heard() {
    let parts: [&[u8]; 3] = [&[FIRST, FIRST, UNUSUAL, FIRST], &[UNUSUAL], &[FIRST; 4]];
    assert_eq!(heard(&parts), [(4, None), (1, None), (4, of(60..64))]);
}

#[test]
fn of_vectors_that_come_together_nothing_is_heard() {
    let both: Vec<u8> = (0..10).map(|n| if n % 2 == 0 { FIRST } else { SECOND }).collect();
    assert_eq!(heard(&[&both, &[SECOND; 5]]), [(10, None), (5, of(60..65))]);
}
