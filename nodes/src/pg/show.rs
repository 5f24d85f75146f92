//! `show packet-generator`.

use std::fmt;

use cli::columns::{centred, left, scientific};

/// What a stream has done.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// Whether it is still sending.
    pub enabled: bool,
    /// Packets sent since it was enabled.
    pub count: u64,
    /// Packets to send; 0: no end.
    pub limit: u64,
    /// Packets per second; 0: as many as the graph takes.
    pub rate: f64,
    /// Bytes of the shortest packet.
    pub min_size: u64,
    /// Bytes of the longest packet.
    pub max_size: u64,
    /// Whether sizes are drawn at random.
    pub random_size: bool,
    /// The packet thread that sends.
    pub worker: usize,
}

/// The table of streams, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct StreamTable(pub Vec<StreamRow>);

impl fmt::Display for StreamTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no streams currently defined");
        }
        writeln!(f, "{}{}{}Parameters", left("Name", 16), centred("Enabled", 12), centred("Count", 16))?;
        for row in &self.0 {
            let enabled = if row.enabled { "Yes" } else { "No" };
            write!(f, "{}{}{}", left(&row.name, 16), centred(enabled, 12), centred(row.count, 16))?;
            // VPP prints a signed number: `limit -1` stays that.
            write!(f, "limit {}, rate {} pps, ", row.limit as i64, scientific(row.rate, 2))?;
            let sign = if row.random_size { '+' } else { '-' };
            write!(f, "size {}{sign}{}, ", row.min_size, row.max_size)?;
            writeln!(f, "buffer-size {}, worker {}, ", vnet::mem::DATA_SIZE, row.worker)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_real_vpp_prints() {
        let four = StreamRow {
            name: "four".into(),
            enabled: false,
            count: 5,
            limit: 5,
            rate: 0.0,
            min_size: 43,
            max_size: 60,
            random_size: false,
            worker: 0,
        };
        let fast = StreamRow { name: "fast".into(), enabled: true, limit: u64::MAX, rate: 1e6, ..four.clone() };
        assert_eq!(
            StreamTable(vec![four, fast]).to_string(),
            "Name               Enabled        Count     Parameters\n\
             four                 No             5       limit 5, rate 0.00e0 pps, size 43-60, buffer-size 2048, worker 0, \n\
             fast                 Yes            5       limit -1, rate 1.00e6 pps, size 43-60, buffer-size 2048, worker 0, \n"
        );
    }
}
