use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn member(n: u32, weight: u8) -> Member {
    Member { slot: n + 1, address: Ipv4Addr::from_bits(0x0a00_0202 + n).into(), port: 0, weight }
}

fn members(weights: &[u8]) -> Vec<Member> {
    weights.iter().zip(0..).map(|(&weight, n)| member(n, weight)).collect()
}

fn counts(len: u32, weights: &[u8]) -> Vec<usize> {
    let table = MaglevTable::build(len, &members(weights)).unwrap();
    (1..=weights.len() as u32).map(|slot| table.count(slot)).collect()
}

#[test]
fn shares_are_those_of_vpp() {
    assert_eq!(counts(1024, &[50, 100, 100, 100]), [150, 292, 291, 291]);
    assert_eq!(counts(1024, &[50, 0, 100, 100]), [208, 0, 408, 408]);
    assert_eq!(counts(1024, &[100, 100, 100]), [342, 341, 341]);
    assert_eq!(counts(1024, &[100, 50]), [674, 350]);
    assert_eq!(counts(1024, &[0, 50]), [0, 1024]);
    assert_eq!(counts(1024, &[100, 100]), [512, 512]);
    assert_eq!(counts(32, &[100]), [32]);
    assert_eq!(counts(1024, &[0, 0]), [0, 0]);
}

#[test]
fn weights_count_where_they_exceed_the_slots() {
    // VPP gives 8 to each of these.
    assert_eq!(counts(32, &[100, 100, 50, 50]), [11, 11, 5, 5]);
    assert_eq!(counts(16, &[100, 1]), [15, 1]);
    assert_eq!(counts(1024, &[100; 11]), [[94].as_slice(), &[93; 10]].concat());
}

#[test]
fn too_few_slots_are_refused_with_what_would_do() {
    let build = |len, weights: &[u8]| MaglevTable::build(len, &members(weights));
    assert_eq!(build(2, &[100; 3]), Err(NoRoom { needed: 4 }));
    assert_eq!(build(2, &[100; 5]), Err(NoRoom { needed: 8 }));
    assert!(build(2, &[100, 0, 100]).is_ok());
    assert_eq!(build(7, &[100, 1, 1, 1]), Err(NoRoom { needed: 128 }));
    assert!(build(128, &[100, 1, 1, 1]).is_ok());
}

#[test]
fn lengths_are_powers_of_two_or_primes() {
    let valid: Vec<u32> = (0..20).filter(|&len| is_valid_len(len)).collect();
    assert_eq!(valid, [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19]);
    assert!(is_valid_len(65537) && is_valid_len(655_373) && is_valid_len(MAX_LEN));
    assert!(!is_valid_len(1000) && !is_valid_len(MAX_LEN * 2) && !is_valid_len(u32::MAX));
}

/// The table is a format between machines: this pins it down.
#[test]
fn the_table_of_a_small_example() {
    let table = MaglevTable::build(16, &members(&[100, 100, 50])).unwrap();
    assert_eq!(**table.slots(), [2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 3, 2, 2, 3, 3, 2]);
}

#[test]
fn a_server_that_goes_moves_few_slots_of_others() {
    for (len, servers) in [(1024, 10), (65536, 100), (65537, 100)] {
        let all = members(&vec![100; servers]);
        let before = MaglevTable::build(len, &all).unwrap();
        let after = MaglevTable::build(len, &all[1..]).unwrap();
        let own = before.count(1);
        let others = after.moved(&before) - own;
        println!("{servers} servers, {len} slots: {own} slots of the removed one, {others} of others moved");
        // The paper's figure 12 has about 2 % for a like ratio of slots to servers.
        assert!(others * 100 < len as usize * 4, "{others} of {len}");
    }
}

/// Prints how long a table takes, for `cargo test --release -- --nocapture`.
#[test]
fn time_to_build() {
    for (len, servers) in [(65536, 1000), (65537, 1000), (655_373, 1000)] {
        let all = members(&vec![100; servers]);
        let start = std::time::Instant::now();
        let table = MaglevTable::build(len, &all).unwrap();
        println!("{len} slots, {servers} servers: {:?}", start.elapsed());
        assert!(table.slots().iter().all(|&slot| slot != 0));
    }
}

fn weight() -> impl Strategy<Value = u8> {
    prop_oneof![Just(100u8), 0..=100u8]
}

proptest! {
    #[test]
    fn order_does_not_matter(weights in prop::collection::vec(weight(), 1..20), len in 100u32..3000, seed: u64) {
        let len = if seed % 2 == 0 { len.next_power_of_two() } else { (len..).find(|&len| is_valid_len(len)).unwrap() };
        let mut members = members(&weights);
        let one = MaglevTable::build(len, &members);
        let mut state = seed | 1;
        for i in (1..members.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            members.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(one, MaglevTable::build(len, &members));
    }

    #[test]
    fn shares_add_up_and_are_fair(weights in prop::collection::vec(1u32..=100, 1..60), log in 3u32..14) {
        let len = 1 << log;
        let total: u32 = weights.iter().sum();
        match shares(len, &weights) {
            Ok(shares) => {
                prop_assert_eq!(shares.iter().sum::<u32>(), len);
                for (i, (&share, &weight)) in shares.iter().zip(&weights).enumerate() {
                    prop_assert!(share > 0);
                    for (&other, _) in shares.iter().zip(&weights).filter(|&(_, &w)| w == weight) {
                        prop_assert!(share.abs_diff(other) <= 1, "equal weights at {}", i);
                    }
                    if total > len {
                        let exact = f64::from(len) * f64::from(weight) / f64::from(total);
                        prop_assert!((f64::from(share) - exact).abs() < 1.0, "{} for {}", share, exact);
                    }
                }
            }
            Err(NoRoom { needed }) => {
                prop_assert!(total > len && needed > len);
                prop_assert!(shares(needed, &weights).is_ok());
                prop_assert!(needed / 2 <= len || shares(needed / 2, &weights).is_err());
            }
        }
    }

    /// The rule of the rounds, one slot at a time.
    #[test]
    fn rounds_as_vpp_deals_them(weights in prop::collection::vec(1u32..=100, 1..10), len in 1000u32..5000) {
        let mut dealt = vec![0; weights.len()];
        let mut left = len;
        'all: loop {
            for turn in 0..100 {
                for (share, _) in dealt.iter_mut().zip(&weights).filter(|&(_, &weight)| weight > turn) {
                    *share += 1;
                    left -= 1;
                    if left == 0 {
                        break 'all;
                    }
                }
            }
        }
        prop_assert_eq!(shares(len, &weights).unwrap(), dealt);
    }
}
