//! The XDP program: what the kernel runs for every frame of the device, put together from instructions here.
//!
//! There is no compiler: the program is six instructions. An operator's own is taken from an object file.

use std::ffi::CString;
use std::path::Path;

use super::object_file::{self, ProgramFile};
use crate::sys::bpf::SocketMap;

/// A register of the virtual machine. A call takes its arguments from `R1` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reg {
    R1 = 1,
    R2 = 2,
    R3 = 3,
}

/// One instruction of eBPF (RFC 9669, section 3), as far as they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `to = *(u32 *)(from + offset)`
    Load32 { to: Reg, from: Reg, offset: i16 },
    /// `to = value`
    Set { to: Reg, value: i32 },
    /// `to =` the map with this descriptor; takes two places
    SetMap { to: Reg, map: i32 },
    /// Calls a helper of the kernel by its number.
    Call(i32),
    /// Ends with the value of register 0, which a call leaves there.
    Exit,
}

/// Opcodes: class and what it says of it.
const LDX_MEM_W: u8 = 0x61;
const MOV64_K: u8 = 0xb7;
const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// In the place of the source register of [`LD_IMM64`]: the value is a map's descriptor.
const PSEUDO_MAP_FD: u8 = 1;

/// One instruction in eight bytes, as a number in the machine's own order.
fn word(opcode: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let ([o0, o1], [v0, v1, v2, v3]) = (offset.to_ne_bytes(), value.to_ne_bytes());
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    u64::from_ne_bytes([opcode, registers, o0, o1, v0, v1, v2, v3])
}

/// What the kernel loads.
pub(super) fn assemble(ops: &[Op]) -> Vec<u64> {
    let mut words = Vec::new();
    for op in ops {
        match *op {
            Op::Load32 { to, from, offset } => words.push(word(LDX_MEM_W, to as u8, from as u8, offset, 0)),
            Op::Set { to, value } => words.push(word(MOV64_K, to as u8, 0, 0, value)),
            Op::SetMap { to, map } => {
                words.extend([word(LD_IMM64, to as u8, PSEUDO_MAP_FD, 0, map), 0]);
            }
            Op::Call(helper) => words.push(word(CALL, 0, 0, 0, helper)),
            Op::Exit => words.push(word(EXIT, 0, 0, 0, 0)),
        }
    }
    words
}

/// Hands every frame to the socket of the queue that it came by, or to the kernel where there is none.
pub(super) fn to_sockets(map: &SocketMap) -> Vec<u64> {
    /// `rx_queue_index` in `struct xdp_md`.
    const QUEUE: i16 = 16;
    const REDIRECT_MAP: i32 = 51;
    const XDP_PASS: i32 = 2;
    assemble(&[
        Op::Load32 { to: Reg::R2, from: Reg::R1, offset: QUEUE },
        Op::SetMap { to: Reg::R1, map: map.raw() },
        Op::Set { to: Reg::R3, value: XDP_PASS },
        Op::Call(REDIRECT_MAP),
        Op::Exit,
    ])
}

/// A program of the operator's from an object file, which is given the map of the sockets, and its licence.
///
/// # Errors
/// In words, when the file is none.
pub(super) fn from_file(path: &Path, map: &SocketMap) -> Result<(Vec<u64>, CString), String> {
    let name = path.display().to_string();
    let bytes = cli::read_file(&name, LARGEST).map_err(|what| format!("prog: {what}"))?;
    read(&bytes, map.raw()).map_err(|what| format!("prog {name}: {what}"))
}

/// With what compilers add for debuggers.
const LARGEST: u64 = 64 << 20;

/// The kernel takes no longer ones.
const LONGEST: usize = 1_000_000;

/// The instructions in an object file, which use the map with this descriptor, and its licence.
///
/// # Errors
/// In words.
pub fn read(bytes: &[u8], map: i32) -> Result<(Vec<u64>, CString), String> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err("no object file; expected one of a compiler (clang -target bpf -c)".into());
    }
    let ProgramFile { instructions, places, license } = object_file::read(bytes)?;
    if instructions.len() > LONGEST {
        return Err(format!("{} instructions; expected at most {LONGEST}", instructions.len()));
    }
    let mut words: Vec<u64> = instructions.iter().map(|instruction| u64::from_ne_bytes(*instruction)).collect();
    for at in places {
        let [opcode, registers, ..] = instructions[at];
        if opcode != LD_IMM64 {
            return Err(format!("instruction {at} does not load the address of a map"));
        }
        let to = if cfg!(target_endian = "little") { registers & 15 } else { registers >> 4 };
        words[at] = word(LD_IMM64, to, PSEUDO_MAP_FD, 0, map);
    }
    Ok((words, license))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_the_kernels() {
        let all = assemble(&[
            Op::Load32 { to: Reg::R2, from: Reg::R1, offset: 16 },
            Op::SetMap { to: Reg::R1, map: 0x0102_0304 },
            Op::Set { to: Reg::R3, value: -2 },
            Op::Call(51),
            Op::Exit,
        ]);
        let expected = [
            [0x61, 0x12, 16, 0, 0, 0, 0, 0],
            [0x18, 0x11, 0, 0, 4, 3, 2, 1],
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0xb7, 3, 0, 0, 0xfe, 0xff, 0xff, 0xff],
            [0x85, 0, 0, 0, 51, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes(&all), expected.concat());
    }

    #[test]
    fn other_files_are_refused_in_words() {
        assert!(read(b"\x7fELF and so on", 7).unwrap_err().contains("broken object file"));
        assert!(read(b"123456789", 7).unwrap_err().starts_with("no object file"));
        assert!(read(b"", 7).unwrap_err().starts_with("no object file"));
    }
}
