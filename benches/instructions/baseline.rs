//! What was counted, once and now.

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Percent that a count may be off. Counts of the same program differ by up to a third of one, since the flow table's keys
/// are drawn at random, and with them which flows share a bucket; and a change elsewhere moves what the compiler inlines
/// by a few instructions. That leaves some six of them, less than what one more thing to look at in two nodes takes.
pub const TOLERANCE: f64 = 2.0;

/// Counts, and what they hang on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    compiler: String,
    processor: String,
    /// By configuration, per packet.
    instructions: BTreeMap<String, f64>,
}

/// What a comparison said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All are within the tolerance.
    Same,
    /// One is below it, or not in the baseline; none above.
    Less,
    /// One is above it, or was not counted.
    More,
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline.json");

impl Baseline {
    /// Nothing yet, of this compiler and processor.
    ///
    /// # Errors
    /// If the compiler does not say its version.
    pub fn new() -> Result<Self, String> {
        let output = Command::new("rustc").arg("-V").output().map_err(|error| format!("rustc: {error}"))?;
        let compiler = String::from_utf8_lossy(&output.stdout).trim().to_string();
        Ok(Baseline { compiler, processor: processor(), instructions: BTreeMap::new() })
    }

    /// The one that is kept.
    ///
    /// # Errors
    /// The file and what is wrong with it.
    pub fn read() -> Result<Self, String> {
        let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Keeps this one.
    ///
    /// # Errors
    /// The file and the kernel's reason.
    pub fn write(&self) -> Result<(), String> {
        self.print();
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(FILE, text + "\n").map_err(|error| format!("{FILE}: {error}"))
    }

    /// Notes a count, to a tenth.
    pub fn put(&mut self, name: &str, count: f64) {
        self.instructions.insert(name.to_string(), (count * 10.0).round() / 10.0);
    }

    /// Compiler and processor: counts of others cannot be compared.
    pub fn ground(&self) -> String {
        format!("{} for {}", self.compiler, self.processor)
    }

    /// A table of these counts.
    pub fn print(&self) {
        for (name, count) in &self.instructions {
            println!("{name:<26} {count:>8.1} instructions per packet");
        }
    }

    /// A line of JSON for each.
    pub fn print_json(&self) {
        for (name, count) in &self.instructions {
            let Baseline { compiler, processor, .. } = self;
            println!(
                "{}",
                serde_json::json!({
                    "bench": "instructions", "name": name, "instructions": count, "compiler": compiler,
                    "processor": processor,
                })
            );
        }
    }

    /// Prints both, line by line, and judges.
    pub fn compare(&self, now: &Self) -> Verdict {
        println!("{:<26} {:>8} {:>8} {:>8}", "instructions per packet", "baseline", "now", "change");
        let names = self
            .instructions
            .keys()
            .chain(now.instructions.keys().filter(|name| !self.instructions.contains_key(*name)));
        let judged = names.map(|name| {
            let (before, now) = (self.instructions.get(name), now.instructions.get(name));
            let (Some(before), Some(now)) = (before, now) else {
                println!("{name:<26} {:>8} {:>8}", word(before), word(now));
                return if now.is_some() { Verdict::Less } else { Verdict::More };
            };
            let (change, verdict) = judge(*before, *now);
            let said = match verdict {
                Verdict::Same => "",
                Verdict::Less => "  fewer",
                Verdict::More => "  MORE",
            };
            println!("{name:<26} {before:>8.1} {now:>8.1} {change:>+7.2} %{said}");
            verdict
        });
        judged.max().unwrap_or(Verdict::More)
    }
}

fn word(count: Option<&f64>) -> String {
    count.map_or_else(|| "none".into(), |count| format!("{count:.1}"))
}

/// The change in percent, and whether it is too much.
fn judge(before: f64, now: f64) -> (f64, Verdict) {
    let change = (now / before - 1.0) * 100.0;
    let verdict = match change {
        change if change.abs() <= TOLERANCE => Verdict::Same,
        change if change < 0.0 => Verdict::Less,
        _ => Verdict::More,
    };
    (change, verdict)
}

/// What decides which instructions run: under valgrind there is AVX2 or not.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let wide = if std::is_x86_feature_detected!("avx2") { " with AVX2" } else { "" };
    #[cfg(not(target_arch = "x86_64"))]
    let wide = "";
    format!("{}{wide}", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(list: &[(&str, f64)]) -> Baseline {
        let mut made = Baseline { compiler: "one".into(), processor: "x".into(), instructions: BTreeMap::new() };
        list.iter().for_each(|(name, count)| made.put(name, *count));
        made
    }

    #[test]
    fn one_that_is_above_decides() {
        let before = counted(&[("a", 100.0), ("b", 200.0)]);
        assert_eq!(before.compare(&counted(&[("a", 101.9), ("b", 196.1)])), Verdict::Same);
        assert_eq!(before.compare(&counted(&[("a", 97.0), ("b", 200.0)])), Verdict::Less);
        assert_eq!(before.compare(&counted(&[("a", 50.0), ("b", 204.1)])), Verdict::More);
        // One that is new asks for a new baseline, one that is gone is no success.
        assert_eq!(before.compare(&counted(&[("a", 100.0), ("b", 200.0), ("c", 1.0)])), Verdict::Less);
        assert_eq!(before.compare(&counted(&[("a", 100.0)])), Verdict::More);
        assert_eq!(counted(&[]).compare(&counted(&[])), Verdict::More);
        assert_eq!(before.compare(&counted(&[("a", f64::NAN), ("b", 200.0)])), Verdict::More);
    }

    #[test]
    fn another_compiler_is_another_ground() {
        let (one, mut other) = (counted(&[]), counted(&[]));
        assert_eq!(one.ground(), other.ground());
        other.compiler = "two".into();
        assert_ne!(one.ground(), other.ground());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), one);
    }
}
