//! How many slots each server gets.
//!
//! As long as the weights add up to no more than the slots, the rule is VPP's: in a round every server takes as many
//! slots as its weight, one at a time in turn, so that the last round, which the slots do not suffice for, is shared
//! evenly among all whose weight is not used up. 1024 slots and weights 50, 100, 100, 100: two rounds of 350 and a last
//! one of 324 = 50 + 92 + 91 + 91, together 150, 292, 291, 291.
//!
//! With more weight than slots there is no full round, and that rule would forget the weights. Shares are then
//! proportional to within one slot.

/// A server of weight above 0 would get no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// The smallest power of two that has slots for all.
    pub needed: u32,
}

/// The slots of each weight (above 0); they add up to `len`. Earlier ones get what cannot be divided.
///
/// # Errors
/// If some would get none.
pub fn shares(len: u32, weights: &[u32]) -> Result<Vec<u32>, NoRoom> {
    divide(len, weights).ok_or_else(|| {
        let mut needed = len.saturating_add(1).next_power_of_two();
        while divide(needed, weights).is_none() {
            needed *= 2;
        }
        NoRoom { needed }
    })
}

fn divide(len: u32, weights: &[u32]) -> Option<Vec<u32>> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        Some(vec![0; weights.len()])
    } else if total <= u64::from(len) {
        Some(by_rounds(len, weights, total as u32))
    } else {
        in_proportion(len, weights, total)
    }
}

fn by_rounds(len: u32, weights: &[u32], total: u32) -> Vec<u32> {
    let rounds = len / total;
    let last = len % total;
    // In the last round, `level` turns are complete; `over` servers have one more.
    let taken = |level: u32| -> u32 { weights.iter().map(|&weight| weight.min(level)).sum() };
    let highest = weights.iter().copied().max().unwrap_or(0);
    let level = (0..highest).rev().find(|&level| taken(level) <= last).unwrap_or(0);
    let mut over = last - taken(level);
    let share = |&weight: &u32| {
        let extra = u32::from(weight > level && over > 0);
        over -= extra;
        rounds * weight + weight.min(level) + extra
    };
    weights.iter().map(share).collect()
}

/// The largest remainders get what rounding down left, but nobody gets nothing; `None` where one slot for each of the
/// lightest would cost another more than one.
fn in_proportion(len: u32, weights: &[u32], total: u64) -> Option<Vec<u32>> {
    let exact = |weight: u32| u64::from(len) * u64::from(weight);
    let mut shares: Vec<u32> = weights.iter().map(|&weight| ((exact(weight) / total) as u32).max(1)).collect();
    let given: u64 = shares.iter().map(|&share| u64::from(share)).sum();
    let left = u64::from(len).checked_sub(given)?;
    let mut order: Vec<usize> = (0..weights.len()).filter(|&i| exact(weights[i]) >= total).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(exact(weights[i]) % total));
    order.iter().take(left as usize).for_each(|&i| shares[i] += 1);
    Some(shares)
}
