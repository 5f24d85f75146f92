//! Reading files that somebody names.

use std::fs::File;
use std::io::Read;

/// The longest file read, in bytes: a script of a million routes has 50 MB.
const LONGEST: u64 = 256 << 20;

/// Reads a file of text: not a device or a folder, and no more than fits.
///
/// # Errors
/// In words, with the file's name.
pub fn read_text_file(file: &str) -> Result<String, String> {
    String::from_utf8(read_file(file, LONGEST)?).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("cannot read `{file}': line {line} is not text (UTF-8)")
    })
}

/// Reads a file of at most so many bytes; not a device, a folder or a pipe, which all commands would wait for.
///
/// # Errors
/// In words, with the file's name.
pub fn read_file(file: &str, longest: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read `{file}': {error}");
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(format!("cannot read `{file}': it is not an ordinary file"));
    }
    let mut bytes = Vec::new();
    // A file may grow while it is read.
    File::open(file).and_then(|file| file.take(longest + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > longest {
        return Err(format!("cannot read `{file}': it is longer than {} MB", longest >> 20));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_folders_are_refused() {
        for file in ["/dev/zero", "/tmp", "/proc/self/fd"] {
            assert_eq!(read_text_file(file).unwrap_err(), format!("cannot read `{file}': it is not an ordinary file"));
        }
        assert!(read_file("/proc/self/exe", 1 << 20).unwrap_err().ends_with("it is longer than 1 MB"));
        assert!(read_text_file("/proc/self/exe").unwrap_err().ends_with("line 1 is not text (UTF-8)"));
        assert!(read_text_file("/nowhere").unwrap_err().starts_with("cannot read `/nowhere': No such file"));
        assert!(read_text_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap().contains("[package]"));
    }
}
