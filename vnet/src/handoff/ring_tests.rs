use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What is done to a ring.
#[derive(Clone, Debug)]
enum Step {
    /// A record of these pieces.
    Write(u64, Vec<Vec<u8>>),
    Publish,
    /// Takes the next record, reading its bytes in pieces of this many.
    Take(usize),
    GiveBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let piece = prop::collection::vec(any::<u8>(), 0..40);
    let write = (any::<u64>(), prop::collection::vec(piece, 0..4)).prop_map(|(head, pieces)| Step::Write(head, pieces));
    let step = prop_oneof![
        3 => write,
        2 => Just(Step::Publish),
        3 => (1usize..30).prop_map(Step::Take),
        1 => Just(Step::GiveBack),
    ];
    prop::collection::vec(step, 0..200)
}

type Record = (u64, Vec<u8>);

proptest! {
    #[test]
    fn it_is_a_queue_with_a_bound(steps in steps()) {
        let ring = Ring::new(256).unwrap();
        let (mut writer, mut reader) = (Writer::new(ring.clone()), Reader::new(ring.clone()));
        let (mut hidden, mut visible): (VecDeque<Record>, VecDeque<Record>) = Default::default();
        // Words that are taken up: not published, published, and read but not given back.
        let (mut used, mut read) = (0, 0);
        for step in steps {
            match step {
                Step::Write(head, pieces) => {
                    let bytes = pieces.concat();
                    let words = 2 + bytes.len().div_ceil(8);
                    let fits = used + words <= 32;
                    let written = writer.write(&[head], bytes.len(), pieces.iter().map(|piece| &piece[..]));
                    prop_assert_eq!(written, fits);
                    if fits {
                        used += words;
                        hidden.push_back((head, bytes));
                    }
                }
                Step::Publish => {
                    prop_assert_eq!(writer.publish(), !hidden.is_empty());
                    visible.append(&mut hidden);
                }
                Step::Take(piece) => {
                    let head = reader.peek::<1>();
                    prop_assert_eq!(head, visible.front().map(|(head, _)| [*head]));
                    let Some((_, expected)) = visible.pop_front() else { continue };
                    let bytes = reader.take::<1, _>(|len, bytes| {
                        let mut out = vec![0; len];
                        out.chunks_mut(piece).for_each(|piece| bytes.read(piece));
                        out
                    });
                    read += 2 + bytes.len().div_ceil(8);
                    prop_assert_eq!(bytes, expected);
                }
                Step::GiveBack => {
                    reader.give_back();
                    used -= std::mem::take(&mut read);
                }
            }
            prop_assert_eq!(ring.is_empty(), ring.waiting() == 0);
        }
    }
}

#[test]
fn two_threads_see_every_record_once_and_in_order() {
    const RECORDS: u64 = 200_000;
    let ring = Ring::new(4096).unwrap();
    let mut writer = Writer::new(ring.clone());
    let mut reader = Reader::new(ring.clone());
    let sender = std::thread::spawn(move || {
        let bytes: Vec<u8> = (0..255).collect();
        for number in 0..RECORDS {
            let len = (number * 7 % 250) as usize;
            let (first, second) = bytes[..len].split_at(len / 3);
            while !writer.write(&[number, !number], len, [first, second].into_iter()) {
                writer.publish();
                std::thread::yield_now();
            }
            if number % 5 == 0 {
                writer.publish();
            }
        }
        writer.publish();
    });
    for number in 0..RECORDS {
        let head = loop {
            match reader.peek::<2>() {
                Some(head) => break head,
                None => {
                    reader.give_back();
                    std::thread::yield_now();
                }
            }
        };
        assert_eq!(head, [number, !number]);
        reader.take::<2, _>(|len, bytes| {
            let mut out = [0; 256];
            assert_eq!(len, (number * 7 % 250) as usize);
            bytes.read(&mut out[..len]);
            assert!(out[..len].iter().enumerate().all(|(at, byte)| *byte == at as u8));
        });
        if number % 3 == 0 {
            reader.give_back();
        }
    }
    assert!(reader.peek::<2>().is_none());
    reader.give_back();
    sender.join().unwrap();
    assert!(ring.is_empty());
}

#[test]
fn a_record_longer_than_the_ring_never_fits() {
    let ring = Ring::new(128).unwrap();
    assert_eq!(ring.room(), 128);
    let mut writer = Writer::new(ring);
    assert!(!writer.write(&[1], 120, std::iter::once(&[0; 120][..])));
    assert!(writer.write(&[1], 112, std::iter::once(&[0; 112][..])), "to the last word");
    assert!(!writer.write(&[], 0, std::iter::empty()));
}
