use super::*;
use proptest::prelude::*;

fn key(number: u8) -> Key {
    if number.is_multiple_of(2) { Key::ip4(7, 8, number.into(), 17) } else { Key::ip6([1; 16], [2; 16], number.into()) }
}

/// What is done, in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    First(u8, u32),
    /// A fragment that is not the first, all the way to being held.
    Later(u8),
    Expire,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..12, any::<u32>()).prop_map(|(key, value)| Step::First(key, value)),
        6 => (0u8..12).prop_map(Step::Later),
        1 => Just(Step::Expire),
        2 => (0u64..60).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..400)
}

/// The same as a list, the oldest first.
#[derive(Default)]
struct Model {
    all: Vec<One>,
}

#[derive(Clone, Debug)]
struct One {
    key: u8,
    known: Option<u32>,
    packets: Vec<u64>,
    deadline: u64,
}

impl Model {
    fn take(&mut self, key: u8) -> Option<One> {
        let at = self.all.iter().position(|one| one.key == key)?;
        Some(self.all.remove(at))
    }

    fn make_room(&mut self, room: Room) {
        if self.all.len() == room.datagrams {
            let oldest = self.all.iter().position(|one| one.known.is_some()).unwrap();
            self.all.remove(oldest);
        }
    }

    fn held(&self) -> usize {
        self.all.iter().map(|one| one.packets.len()).sum()
    }

    fn later(&self, key: u8, now: u64, room: Room) -> Later<u32> {
        let one = self.all.iter().find(|one| one.key == key);
        match one {
            Some(One { known: Some(value), deadline, .. }) if now < *deadline => Later::Known(*value),
            Some(one) if one.packets.len() == room.each => Later::Full,
            _ if self.held() == room.held => Later::Full,
            _ => Later::Hold,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_list_would(steps in steps(), datagrams in 1usize..10, held in 1usize..8, each in 1usize..=4) {
        let mut room = Room { datagrams, held, each, wait: 50, keep: 200 };
        let mut real = Fragments::new(room);
        room.datagrams = datagrams.max(held + 1);
        let (mut model, mut now, mut number) = (Model::default(), 0, 0u64);
        for step in steps {
            match step {
                Step::First(name, value) => {
                    let released = real.first(key(name), value, now);
                    let was = model.take(name);
                    if was.is_none() {
                        model.make_room(room);
                    }
                    prop_assert_eq!(released.to_vec(), was.map(|one| one.packets).unwrap_or_default());
                    let deadline = now + room.keep;
                    model.all.push(One { key: name, known: Some(value), packets: vec![], deadline });
                }
                Step::Later(name) => {
                    let expected = model.later(name, now, room);
                    prop_assert_eq!(real.later(key(name), now), expected);
                    number += 1;
                    let result = real.hold(key(name), number, now);
                    match expected {
                        Later::Known(value) =>
                            prop_assert_eq!(result, Err(Back { packet: number, known: Some(value) })),
                        Later::Full => prop_assert_eq!(result, Err(Back { packet: number, known: None })),
                        Later::Hold => {
                            prop_assert_eq!(result, Ok(()));
                            match model.all.iter_mut().find(|one| one.key == name && one.known.is_none()) {
                                Some(one) => one.packets.push(number),
                                None => {
                                    if model.take(name).is_none() {
                                        model.make_room(room);
                                    }
                                    let deadline = now + room.wait;
                                    model.all.push(One { key: name, known: None, packets: vec![number], deadline });
                                }
                            }
                        }
                    }
                }
                Step::Expire => {
                    let waiting = model.all.iter().filter(|one| one.known.is_none());
                    prop_assert_eq!(real.deadline(), waiting.map(|one| one.deadline).min());
                    let given: Vec<u64> = std::iter::from_fn(|| real.expire(now)).collect();
                    let (gone, kept) = model.all.drain(..).partition::<Vec<_>, _>(|one| one.deadline <= now);
                    model.all = kept;
                    prop_assert_eq!(given, gone.into_iter().flat_map(|one| one.packets).collect::<Vec<_>>());
                }
                Step::Pass(time) => now += time,
            }
            prop_assert_eq!(real.held(), model.held());
        }
        let left = std::iter::from_fn(|| real.expire(u64::MAX)).count();
        prop_assert_eq!((left, real.held(), real.deadline()), (model.held(), 0, None));
        // Everything is free again.
        for number in 0..room.datagrams as u32 * 2 {
            prop_assert!(real.first(Key::ip4(number, 0, 0, 0), number, 0).is_empty());
        }
        let known = |number: u32| real.later(Key::ip4(number, 0, 0, 0), 1) == Later::Known(number);
        prop_assert_eq!((0..room.datagrams as u32 * 2).filter(|&number| known(number)).count(), room.datagrams);
    }

    /// Whatever the order of arrival, every fragment goes where the first one went, in the order in which they came.
    #[test]
    fn any_order_of_arrival(order in Just((0u64..5).collect::<Vec<_>>()).prop_shuffle(), other in 0u8..12) {
        let mut fragments = Fragments::new(Room::default());
        let mut sent = Vec::new();
        for (time, number) in (0u64..).zip(order.iter().copied()) {
            prop_assert!(fragments.first(key(other), 1, time).is_empty());
            if number == 0 {
                sent.push(number);
                sent.extend(fragments.first(key(12), 99, time));
                continue;
            }
            match fragments.later(key(12), time) {
                Later::Known(value) => {
                    prop_assert_eq!(value, 99);
                    sent.push(number);
                }
                Later::Hold => fragments.hold(key(12), number, time).unwrap(),
                Later::Full => prop_assert!(false, "four may wait"),
            }
        }
        let first = order.iter().position(|number| *number == 0).unwrap();
        let expected: Vec<u64> = std::iter::once(0).chain(order[..first].iter().copied()).collect();
        prop_assert_eq!(&sent[..=first], &expected[..]);
        prop_assert_eq!(sent.len(), 5);
        prop_assert_eq!(fragments.held(), 0);
    }
}

#[test]
fn the_bounds_of_the_default() {
    let mut fragments = Fragments::new(Room::default());
    let name = |number: u32| Key::ip4(number, 1, 2, 17);
    for number in 0..256u32 {
        fragments.hold(name(number / 4), number, 0).unwrap();
    }
    assert_eq!(fragments.hold(name(0), 999, 0), Err(Back { packet: 999, known: None }));
    assert_eq!(fragments.later(name(500), 0), Later::Full);
    // A flood of first fragments drives out those that are known, and nothing that waits.
    for number in 1000..5000u32 {
        assert!(fragments.first(name(number), number, 5).is_empty());
    }
    assert_eq!(fragments.later(name(4999), 6), Later::Known(4999));
    assert_eq!(fragments.later(name(1000), 6), Later::Full);
    assert_eq!(fragments.first(name(63), 7, 6).to_vec(), [252, 253, 254, 255]);
    assert_eq!(fragments.deadline(), Some(1_000_000_000));
    assert_eq!(fragments.expire(999_999_999), None);
    assert_eq!(std::iter::from_fn(|| fragments.expire(1_000_000_000)).count(), 252);
    assert_eq!(fragments.later(name(63), 30_000_000_005), Later::Known(7));
    assert_eq!(fragments.later(name(63), 30_000_000_006), Later::Hold);
    assert_eq!(fragments.hold(name(63), 1, 30_000_000_006), Ok(()), "another datagram of the same name");
    assert_eq!(fragments.first(name(63), 8, 30_000_000_007).to_vec(), [1]);
}

#[test]
fn families_and_protocols_are_apart() {
    let mut fragments: Fragments<u8, ()> = Fragments::new(Room::default());
    fragments.first(Key::ip4(1, 2, 3, 17), 4, 0);
    let mut wide = [[0; 16]; 2];
    (wide[0][3], wide[1][3]) = (1, 2);
    for other in [
        Key::ip6(wide[0], wide[1], 3),
        Key::ip4(1, 2, 3, 6),
        Key::ip4(1, 2, 4, 17),
        Key::ip4(1, 3, 3, 17),
        Key::ip4(2, 2, 3, 17),
    ] {
        assert_eq!(fragments.later(other, 0), Later::Hold);
    }
    assert_eq!(fragments.later(Key::ip4(1, 2, 3, 17), 0), Later::Known(4));
}

#[test]
fn the_longest_datagram_may_come_backwards() {
    let mut memory = Fragments::<u32, usize>::new(Room::default());
    for piece in (1..53).rev() {
        assert_eq!(memory.later(key(3), 0), Later::Hold);
        memory.hold(key(3), piece, 0).unwrap();
    }
    assert_eq!(memory.held(), 52);
    assert_eq!(memory.first(key(3), 7, 0).into_vec(), (1..53).rev().collect::<Vec<_>>());
    assert_eq!((memory.held(), memory.later(key(3), 0)), (0, Later::Known(7)));
}
