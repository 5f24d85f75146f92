//! Draws what the benches have measured: the files of JSON lines in `docs/performance` become plots (SVG) beside them, and
//! tables in `docs/performance.md`.
//!
//! `cargo run --example performance [FOLDER]`, where the folder has `performance.md` and `performance/*.jsonl`; it is `docs`
//! where none is named. `benches/all` measures everything and ends with this.

mod chart;
mod lines;
mod page;
mod plots;
mod tables;

use std::path::{Path, PathBuf};

use lines::Lines;

fn main() {
    let folder =
        std::env::args().nth(1).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), PathBuf::from);
    if let Err(error) = make(&folder) {
        eprintln!("performance: {error}");
        std::process::exit(1);
    }
}

fn make(folder: &Path) -> Result<(), String> {
    let lines = Lines::read(&folder.join("performance"))?;
    for plot in plots::ALL {
        let file = folder.join("performance").join(plot.file);
        match (plot.draw)(&lines, &file)? {
            true => println!("{}", file.display()),
            false => println!("{}: left alone, nothing was measured for it", file.display()),
        }
    }
    let file = folder.join("performance.md");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let text = page::renew(&text, |name| {
        tables::ALL.iter().find(|table| table.name == name).map(|table| (table.make)(&lines))
    })?;
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}
