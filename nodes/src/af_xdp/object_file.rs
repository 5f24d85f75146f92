//! An XDP program in the object file that a compiler wrote: ELF, as the kernel's `Documentation/bpf/llvm_reloc.rst` and libbpf
//! describe it.

use std::ffi::{CStr, CString};
use std::fmt::Display;

use object::elf::R_BPF_64_64;
use object::read::elf::ElfFile64;
use object::{
    Architecture, Endianness, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags, RelocationTarget,
    SectionKind,
};

use super::btf;

/// Where maps are declared: with types (BTF), ...
const TYPED: &str = ".maps";
/// ... or as `struct bpf_map_def`.
const UNTYPED: &str = "maps";

type File<'d> = ElfFile64<'d, Endianness>;
type Section<'d, 'f> = object::read::elf::ElfSection64<'d, 'f, Endianness>;

/// What an object file says of its XDP program.
#[derive(Debug)]
pub(super) struct ProgramFile {
    pub(super) instructions: Vec<[u8; 8]>,
    /// The instructions that load the address of the map.
    pub(super) places: Vec<usize>,
    /// Some functions of the kernel are for certain licences only.
    pub(super) license: CString,
}

/// `BPF_MAP_TYPE_XSKMAP` in the kernel's `enum bpf_map_type`.
const SOCKETS: u32 = 17;

/// Reads an object file.
///
/// # Errors
/// In words: there is no XDP program or more than one, or it does not take exactly one map and the kernel's functions; or the file
/// says that the map is not of sockets.
pub(super) fn read(bytes: &[u8]) -> Result<ProgramFile, String> {
    let file = File::parse(bytes).map_err(broken)?;
    if file.architecture() != Architecture::Bpf {
        return Err(format!("an object file for {:?}; expected one for eBPF (clang -target bpf)", file.architecture()));
    }
    if file.is_little_endian() != cfg!(target_endian = "little") {
        return Err("an object file in the other order of bytes; expected this machine's (clang -target bpf)".into());
    }
    if file.symbols().next().is_none() {
        return Err("an object file without symbols; expected one that was not stripped of them".into());
    }
    let section = only_program(&file)?;
    let data = section.data().map_err(broken)?;
    let (instructions, []) = data.as_chunks::<8>() else { return Err(broken("half an instruction")) };
    let (mut places, mut map) = (Vec::new(), None);
    for (offset, relocation) in section.relocations() {
        // All loads of one map ask for one symbol.
        if map.as_ref().is_none_or(|(target, _)| *target != relocation.target()) {
            let named = named_map(&file, &relocation)?;
            if map.replace((relocation.target(), named)).is_some() {
                return Err("takes more than one map; expected that of the sockets only".into());
            }
        }
        let place = usize::try_from(offset).ok().filter(|offset| offset % 8 == 0 && *offset < data.len());
        places.push(place.ok_or_else(|| broken("a relocation of no instruction"))? / 8);
    }
    let (_, map) = map.ok_or("takes no map; expected one of sockets (XSKMAP), to hand frames over")?;
    if let Some(kind) = map.kind(&file).filter(|kind| *kind != SOCKETS) {
        return Err(format!("map `{}' is of type {kind}; expected one of sockets (XSKMAP, {SOCKETS})", map.name));
    }
    let license = file.section_by_name("license").and_then(|section| section.data().ok());
    let license = license.and_then(|text| CStr::from_bytes_until_nul(text).ok()).unwrap_or_default();
    Ok(ProgramFile { instructions: instructions.to_vec(), places, license: license.into() })
}

fn broken(what: impl Display) -> String {
    format!("a broken object file: {what}")
}

/// The section with the program.
fn only_program<'d, 'f>(file: &'f File<'d>) -> Result<Section<'d, 'f>, String> {
    let is_program = |section: &Section| {
        let name = section.name().unwrap_or_default();
        // Those run for packets on their way to another device or processor.
        let is_elsewhere = name.ends_with("/devmap") || name.ends_with("/cpumap");
        section.kind() == SectionKind::Text && section.size() > 0 && name.starts_with("xdp") && !is_elsewhere
    };
    let mut programs = file.sections().filter(is_program);
    let section = programs.next().ok_or("no section of XDP instructions; expected SEC(\"xdp\")")?;
    let at = section.index();
    let mut functions = file.symbols().filter(|symbol| symbol.section_index() == Some(at) && symbol.is_global());
    let function = functions.next();
    if programs.next().is_some() || functions.next().is_some() {
        return Err("more than one XDP program; expected one".into());
    }
    let name = section.name().unwrap_or_default();
    let function =
        function.ok_or_else(|| format!("no global function in section `{name}'; expected the program (not static)"))?;
    // The kernel begins with the first instruction.
    if function.address() != 0 {
        let function = function.name().unwrap_or_default();
        return Err(format!(
            "another function stands before `{function}' in section `{name}'; expected none (inline it)"
        ));
    }
    Ok(section)
}

/// What is known of the map that an instruction asks for.
struct Map {
    name: String,
    section: String,
    /// Its place there.
    address: u64,
}

impl Map {
    /// The number of its type, where the file says it.
    fn kind(&self, file: &File) -> Option<u32> {
        if self.section == TYPED {
            let types = file.section_by_name(".BTF")?;
            return btf::map_type(types.data().ok()?, &self.name);
        }
        // `struct bpf_map_def` begins with it.
        let maps = file.section_by_name(&self.section)?;
        let definition = maps.data().ok()?.get(usize::try_from(self.address).ok()?..)?;
        definition.first_chunk().map(|kind| u32::from_ne_bytes(*kind))
    }
}

fn named_map(file: &File, relocation: &Relocation) -> Result<Map, String> {
    let RelocationTarget::Symbol(index) = relocation.target() else {
        return Err(broken("a relocation without a symbol"));
    };
    let symbol = file.symbol_by_index(index).map_err(broken)?;
    let section = symbol.section_index().map(|at| file.section_by_index(at)).transpose().map_err(broken)?;
    let section = section.as_ref().map(|section| section.name().unwrap_or_default()).unwrap_or_default();
    let (name, has_name) = match symbol.name() {
        Ok(name) if !name.is_empty() => (name, true),
        _ => (section, false),
    };
    // Of a number of 64 bits: the address of a map, or of data.
    let is_load = matches!(relocation.flags(), RelocationFlags::Elf { r_type: R_BPF_64_64 });
    if is_load && [TYPED, UNTYPED].contains(&section) {
        if !has_name {
            return Err("takes a map without a symbol of its own; expected one that is not static".into());
        }
        return Ok(Map { name: name.into(), section: section.into(), address: symbol.address() });
    }
    Err(format!("`{name}' is neither a map nor a function of the kernel; expected no data and no other functions"))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
    use object::{BinaryFormat, SymbolFlags, SymbolKind, SymbolScope};
    use proptest::prelude::*;

    use super::super::program::read;
    use super::*;

    /// As clang writes them, with what they are of beside them.
    const SOCKETS_O: &[u8] = include_bytes!("../../tests/data/xdp/sockets.o");
    const COUNTS_O: &[u8] = include_bytes!("../../tests/data/xdp/counts.o");
    const BEHIND_O: &[u8] = include_bytes!("../../tests/data/xdp/behind.o");

    /// `r1 = map; exit`, the first in two places.
    const CODE: [[u8; 8]; 3] = [[0x18, 1, 0, 0, 0, 0, 0, 0], [0; 8], [0x95, 0, 0, 0, 0, 0, 0, 0]];

    fn object(architecture: Architecture) -> Object<'static> {
        Object::new(BinaryFormat::Elf, architecture, Endianness::Little)
    }

    /// A section of this name, with a function of the same name.
    fn add_program(file: &mut Object<'_>, name: &str) -> SectionId {
        let section = file.add_section(Vec::new(), name.into(), SectionKind::Text);
        file.append_section_data(section, &CODE.concat(), 8);
        add_symbol(file, name, SymbolKind::Text, SymbolSection::Section(section), 0);
        section
    }

    fn add_symbol(file: &mut Object<'_>, name: &str, kind: SymbolKind, section: SymbolSection, value: u64) -> SymbolId {
        let (name, scope, flags) = (name.into(), SymbolScope::Linkage, SymbolFlags::None);
        file.add_symbol(Symbol { name, value, size: 8, kind, scope, weak: false, section, flags })
    }

    /// A file as a compiler writes it: one program, one map.
    struct Usual {
        file: Object<'static>,
        program: SectionId,
        maps: SectionId,
    }

    impl Usual {
        fn new() -> Usual {
            let mut file = object(Architecture::Bpf);
            let program = add_program(&mut file, "xdp");
            let maps = file.add_section(Vec::new(), ".maps".into(), SectionKind::Data);
            let mut usual = Usual { file, program, maps };
            let map = usual.add_map("xsks_map");
            usual.refer(0, map);
            usual
        }

        fn add_map(&mut self, name: &str) -> SymbolId {
            let value = self.file.append_section_data(self.maps, &[0; 32], 8);
            add_symbol(&mut self.file, name, SymbolKind::Data, SymbolSection::Section(self.maps), value)
        }

        /// Has the instruction at so many bytes ask for a symbol.
        fn refer(&mut self, offset: u64, symbol: SymbolId) {
            let flags = RelocationFlags::Elf { r_type: R_BPF_64_64 };
            self.file.add_relocation(self.program, Relocation { offset, symbol, addend: 0, flags }).unwrap();
        }
    }

    fn refused(file: &Object<'_>) -> String {
        read(&file.write().unwrap(), 7).unwrap_err()
    }

    #[test]
    fn the_program_gets_the_map() {
        let (words, license) = read(&Usual::new().file.write().unwrap(), 0x0102_0304).unwrap();
        let expected = [[0x18, 0x11, 0, 0, 4, 3, 2, 1], CODE[1], CODE[2]];
        assert_eq!(words, expected.map(u64::from_ne_bytes));
        assert_eq!(license.as_c_str(), c"");
    }

    #[test]
    fn files_of_a_compiler_are_read() {
        let (words, license) = read(SOCKETS_O, 0x0102_0304).unwrap();
        let loads = words.iter().filter(|word| word.to_ne_bytes()[4..] == [4, 3, 2, 1]).count();
        assert_eq!((loads, license.as_c_str()), (1, c"GPL"));
        assert_eq!(read(COUNTS_O, 7).unwrap_err(), "map `counts' is of type 2; expected one of sockets (XSKMAP, 17)");
        let error = read(BEHIND_O, 7).unwrap_err();
        assert_eq!(error, "another function stands before `to_socket' in section `xdp'; expected none (inline it)");
    }

    #[test]
    fn what_cannot_be_loaded_is_said() {
        assert!(refused(&object(Architecture::X86_64)).contains("for X86_64; expected one for eBPF"));
        assert!(refused(&object(Architecture::Bpf)).contains("without symbols"));
        let mut elsewhere = object(Architecture::Bpf);
        add_program(&mut elsewhere, "xdp/devmap");
        assert!(refused(&elsewhere).contains("expected SEC(\"xdp\")"));
        let mut two = Usual::new();
        add_program(&mut two.file, "xdp.frags");
        assert!(refused(&two.file).contains("more than one XDP program"));
        let mut maps = Usual::new();
        let other = maps.add_map("counters");
        maps.refer(0, other);
        assert!(refused(&maps.file).contains("more than one map"));
        let mut fixed = object(Architecture::Bpf);
        let section = fixed.add_section(Vec::new(), "xdp".into(), SectionKind::Text);
        fixed.append_section_data(section, &CODE.concat(), 8);
        add_symbol(&mut fixed, "data", SymbolKind::Data, SymbolSection::Undefined, 0);
        assert!(refused(&fixed).starts_with("no global function in section `xdp'"));
        let mut alone = object(Architecture::Bpf);
        let program = add_program(&mut alone, "xdp");
        let maps = alone.add_section(Vec::new(), ".maps".into(), SectionKind::Data);
        alone.append_section_data(maps, &[0; 32], 8);
        let symbol = alone.section_symbol(maps);
        let mut alone = Usual { file: alone, program, maps };
        alone.refer(0, symbol);
        assert!(refused(&alone.file).starts_with("takes a map without a symbol"));
        let mut data = Usual::new();
        let symbol = add_symbol(&mut data.file, "limit", SymbolKind::Data, SymbolSection::Undefined, 0);
        data.refer(0, symbol);
        assert!(refused(&data.file).starts_with("`limit' is neither a map nor"));
        let mut none = object(Architecture::Bpf);
        add_program(&mut none, "xdp");
        assert!(refused(&none).starts_with("takes no map; expected one"));
        let mut other = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Big);
        add_program(&mut other, "xdp");
        assert!(refused(&other).contains("other order of bytes"));
        let mut untyped = object(Architecture::Bpf);
        let program = add_program(&mut untyped, "xdp");
        let maps = untyped.add_section(Vec::new(), "maps".into(), SectionKind::Data);
        let mut untyped = Usual { file: untyped, program, maps };
        let map = untyped.add_map("flows");
        untyped.refer(0, map);
        assert_eq!(refused(&untyped.file), "map `flows' is of type 0; expected one of sockets (XSKMAP, 17)");
        let mut elsewhere = Usual::new();
        let map = elsewhere.file.symbol_id(b"xsks_map").unwrap();
        elsewhere.refer(16, map);
        assert_eq!(refused(&elsewhere.file), "instruction 2 does not load the address of a map");
    }

    proptest! {
        #[test]
        fn a_broken_file_is_refused_or_read(
            at in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
            cut: Option<prop::sample::Index>,
            of_compiler: bool,
        ) {
            let mut bytes = if of_compiler { SOCKETS_O.to_vec() } else { Usual::new().file.write().unwrap() };
            for (at, byte) in at {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let len = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
            let _ = read(&bytes[..len], 7);
        }

        #[test]
        fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..300), elf: bool) {
            if elf && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(b"\x7fELF");
            }
            let _ = read(&bytes, 7);
        }
    }
}
