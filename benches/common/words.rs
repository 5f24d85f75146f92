//! The words behind `--` of the benches with few of them.

use std::process::exit;

/// Whether `--json` was said, and the numbers of these options, each with what it is otherwise.
pub fn read<const N: usize>(mut numbers: [(&str, u64); N]) -> (bool, [u64; N]) {
    let mut json = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            // Cargo adds this.
            "--bench" => (),
            _ => {
                let number = word.strip_prefix("--").and_then(|name| numbers.iter_mut().find(|(own, _)| *own == name));
                let Some((_, number)) = number else {
                    fail(&format!("expected --json{}, got `{word}'", listed(&numbers)))
                };
                *number = match words.next().and_then(|word| word.parse().ok()) {
                    Some(count @ 1..=1_000_000_000) => count,
                    _ => fail(&format!("expected a number from 1 to 1000000000 after {word}")),
                };
            }
        }
    }
    (json, numbers.map(|(_, number)| number))
}

fn listed(numbers: &[(&str, u64)]) -> String {
    numbers.iter().map(|(name, _)| format!(", --{name} N")).collect()
}

/// Ends the program with a sentence.
pub fn fail(words: &str) -> ! {
    eprintln!("{words}");
    exit(2)
}
