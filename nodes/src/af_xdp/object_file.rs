//! An XDP program in the object file that a compiler wrote: ELF, as the kernel's `Documentation/bpf/llvm_reloc.rst` and libbpf
//! describe it.

use object::elf::R_BPF_64_64;
use object::read::elf::ElfFile64;
use object::{
    Architecture, Endianness, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags, RelocationTarget,
    SectionKind,
};

/// Where maps are declared: with types (BTF), or as `struct bpf_map_def` was.
const MAPS: [&str; 2] = [".maps", "maps"];

type File<'d> = ElfFile64<'d, Endianness>;
type Section<'d, 'f> = object::read::elf::ElfSection64<'d, 'f, Endianness>;

/// The instructions of the file's XDP program, and at which of them the address of its map goes.
///
/// # Errors
/// In words: there is no such program or more than one, or it takes more than one map and the kernel's functions.
pub(super) fn program(bytes: &[u8]) -> Result<(Vec<[u8; 8]>, Vec<usize>), String> {
    let file = File::parse(bytes).map_err(|error| format!("a broken object file: {error}"))?;
    if file.architecture() != Architecture::Bpf || file.is_little_endian() != cfg!(target_endian = "little") {
        return Err(format!("an object file for {:?}; expected one for eBPF (clang -target bpf)", file.architecture()));
    }
    let section = only_program(&file)?;
    let data = section.data().map_err(|error| format!("a broken object file: {error}"))?;
    let (words, []) = data.as_chunks::<8>() else {
        return Err("a broken object file: half an instruction".into());
    };
    let (mut places, mut map) = (Vec::new(), None);
    for (offset, relocation) in section.relocations() {
        let named = named_map(&file, &relocation)?;
        if *map.get_or_insert_with(|| named.clone()) != named {
            return Err("takes more than one map; expected that of the sockets only".into());
        }
        let place = usize::try_from(offset).ok().filter(|offset| offset % 8 == 0 && *offset < data.len());
        places.push(place.ok_or("a broken object file: a relocation of no instruction")? / 8);
    }
    Ok((words.to_vec(), places))
}

/// The section with the program.
fn only_program<'d, 'f>(file: &'f File<'d>) -> Result<Section<'d, 'f>, String> {
    let is_program = |section: &Section| {
        let name = section.name().unwrap_or_default();
        section.kind() == SectionKind::Text && section.size() > 0 && name.starts_with("xdp")
    };
    let mut programs = file.sections().filter(is_program);
    let section = programs.next().ok_or("no section of XDP instructions; expected SEC(\"xdp\")")?;
    let functions = |section: &Section| {
        let at = section.index();
        file.symbols().filter(|symbol| symbol.section_index() == Some(at) && symbol.is_global()).count()
    };
    if programs.next().is_some() || functions(&section) > 1 {
        return Err("more than one XDP program; expected one".into());
    }
    Ok(section)
}

/// What is known of the map that an instruction asks for: its section and its place there.
fn named_map(file: &File, relocation: &Relocation) -> Result<(String, u64), String> {
    let RelocationTarget::Symbol(index) = relocation.target() else {
        return Err("a broken object file: a relocation without a symbol".into());
    };
    let broken = |error: object::Error| format!("a broken object file: {error}");
    let symbol = file.symbol_by_index(index).map_err(broken)?;
    let section = symbol.section_index().map(|at| file.section_by_index(at)).transpose().map_err(broken)?;
    let section = section.as_ref().map(|section| section.name().unwrap_or_default()).unwrap_or_default();
    // Of a number of 64 bits: the address of a map, or of data.
    let is_load = matches!(relocation.flags(), RelocationFlags::Elf { r_type: R_BPF_64_64 });
    if is_load && MAPS.contains(&section) {
        return Ok((section.to_string(), symbol.address()));
    }
    let name = symbol.name().ok().filter(|name| !name.is_empty()).unwrap_or(section);
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
        let words = read(&Usual::new().file.write().unwrap(), 0x0102_0304).unwrap();
        let expected = [[0x18, 0x11, 0, 0, 4, 3, 2, 1], CODE[1], CODE[2]];
        assert_eq!(words, expected.map(u64::from_ne_bytes));
    }

    #[test]
    fn what_cannot_be_loaded_is_said() {
        assert!(refused(&object(Architecture::X86_64)).contains("for X86_64; expected one for eBPF"));
        assert!(refused(&object(Architecture::Bpf)).contains("expected SEC(\"xdp\")"));
        let mut two = Usual::new();
        add_program(&mut two.file, "xdp.frags");
        assert!(refused(&two.file).contains("more than one XDP program"));
        let mut maps = Usual::new();
        let other = maps.add_map("counters");
        maps.refer(0, other);
        assert!(refused(&maps.file).contains("more than one map"));
        let mut data = Usual::new();
        let symbol = add_symbol(&mut data.file, "limit", SymbolKind::Data, SymbolSection::Undefined, 0);
        data.refer(0, symbol);
        assert!(refused(&data.file).starts_with("`limit' is neither a map nor"));
        let mut elsewhere = Usual::new();
        let map = elsewhere.file.symbol_id(b"xsks_map").unwrap();
        elsewhere.refer(16, map);
        assert_eq!(refused(&elsewhere.file), "instruction 2 does not load the address of a map");
    }

    proptest! {
        #[test]
        fn a_broken_file_is_refused_or_read(at: prop::sample::Index, byte: u8, cut: Option<prop::sample::Index>) {
            let mut bytes = Usual::new().file.write().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
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
