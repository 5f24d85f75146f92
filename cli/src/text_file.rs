//! Reading files of commands and settings that somebody names.

use std::fs::File;
use std::io::Read;

/// The longest file read, in bytes: a script of a million routes has 50 MB.
const LONGEST: u64 = 256 << 20;

/// Reads a file of text: not a device or a folder, and no more than fits.
///
/// # Errors
/// In words, with the file's name.
pub fn read_text_file(file: &str) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{file}': {error}");
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(format!("cannot read `{file}': it is not an ordinary file"));
    }
    let mut text = String::new();
    // A file may grow while it is read.
    File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text)).map_err(unreadable)?;
    if text.len() as u64 > LONGEST {
        return Err(format!("cannot read `{file}': it is longer than {} MB", LONGEST >> 20));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_folders_are_refused() {
        for file in ["/dev/zero", "/tmp", "/proc/self/fd"] {
            assert_eq!(read_text_file(file).unwrap_err(), format!("cannot read `{file}': it is not an ordinary file"));
        }
        assert!(read_text_file("/nowhere").unwrap_err().starts_with("cannot read `/nowhere': No such file"));
        assert!(read_text_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap().contains("[package]"));
    }
}
