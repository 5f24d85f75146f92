//! How much moves when servers come and go: measured, beside what cannot be avoided.
//!
//! The paper measures the same in section 5.3 and figure 12: 1,000 servers, 65,537 and 655,373 slots, servers removed
//! at random, the average of many times. What moves beyond the unavoidable grows with the number of servers that leave
//! at once, and is less in the larger table. All servers have the same share there, however many slots there are
//! (figure 11); here that is to one slot.

use std::net::Ipv4Addr;

use super::{MaglevTable, Member};

const SERVERS: u32 = 1000;

fn server(n: u32) -> Member {
    Member { slot: n + 1, address: Ipv4Addr::from_bits(0x0a00_0001 + n).into(), port: 0, weight: 100 }
}

/// A generator of the tests' own (Marsaglia's xorshift64), so that every run removes the same servers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(end)) >> 32) as u32
    }
}

/// What moved, as a part of all slots.
struct Moved {
    /// Slots with another server than before.
    all: f64,
    /// Those that had to move: of servers that left, or for those that came.
    least: f64,
}

/// The average over several times of `count` servers of 1,000 leaving; the other way round, they come.
fn leave(len: u32, count: u32, times: u32) -> Moved {
    let all: Vec<Member> = (0..SERVERS).map(server).collect();
    let before = MaglevTable::build(len, &all).unwrap();
    one_slot_apart(&before, &all);
    let (mut random, mut moved) = (Random(0x2545_f491_4f6c_dd1d), (0, 0));
    for _ in 0..times {
        let mut left = all.clone();
        let gone: Vec<Member> =
            (0..count).map(|_| left.swap_remove(random.below(left.len() as u32) as usize)).collect();
        let after = MaglevTable::build(len, &left).unwrap();
        one_slot_apart(&after, &left);
        moved.0 += after.moved(&before);
        moved.1 += gone.iter().map(|member| before.count(member.slot)).sum::<usize>();
    }
    let part = |slots: usize| slots as f64 / f64::from(len) / f64::from(times);
    Moved { all: part(moved.0), least: part(moved.1) }
}

/// Equal weights differ by one slot at most.
fn one_slot_apart(table: &MaglevTable, members: &[Member]) {
    let mut counts = vec![0u32; SERVERS as usize + 1];
    table.slots().iter().for_each(|&slot| counts[slot as usize] += 1);
    let own = || members.iter().map(|member| counts[member.slot as usize]);
    assert_eq!(counts[0], 0);
    assert!(own().max().unwrap() - own().min().unwrap() <= 1);
}

/// Prints the table for `cargo test -p lb disruption -- --nocapture`.
#[test]
fn servers_leave_and_come() {
    println!("   slots  servers  moved when they leave or come  unavoidable  of others  ratio");
    let mut others = Vec::new();
    for len in [65_537, 655_373] {
        for count in [1, 10, 50] {
            // When they come instead, the same slots move the other way: a table does not know which was first.
            let Moved { all, least } = leave(len, count, if cfg!(debug_assertions) { 5 } else { 50 });
            let (percent, least_percent) = (all * 100.0, least * 100.0);
            println!(
                "{len:>8}  {count:>7}  {percent:>27.3} %  {least_percent:>9.3} %  {:>7.3} %  {:>5.2}",
                percent - least_percent,
                all / least
            );
            assert!(all >= least);
            others.push((len, count, all - least));
        }
    }
    // As in the figure: more with more servers, less with more slots.
    for (len, count, part) in &others {
        assert!(*part < BOUNDS[usize::from(*len > 65_537)], "{len} slots, {count} servers: {part}");
        for (other_len, other_count, other) in &others {
            assert!(!(len == other_len && count < other_count) || part < other);
            assert!(!(len > other_len && count == other_count) || part < other);
        }
    }
}

/// Parts of all slots that moved between servers that stay, at the most; see the table.
const BOUNDS: [f64; 2] = [0.05, 0.02];

#[test]
fn coming_is_leaving_the_other_way_round() {
    let all: Vec<Member> = (0..100).map(server).collect();
    let (many, few) = (MaglevTable::build(65_537, &all).unwrap(), MaglevTable::build(65_537, &all[10..]).unwrap());
    assert_eq!(many.moved(&few), few.moved(&many));
}
