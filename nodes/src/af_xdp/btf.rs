//! Types of maps, as compilers describe them: BTF, in the kernel's `Documentation/bpf/btf.rst`.
//!
//! A map is a variable whose type is a structure. The map's type, a number of `enum bpf_map_type`, is the length of the array
//! that the member `type` points to; nothing else of the structure is looked at.

/// What a section of BTF begins with.
const MAGIC: u16 = 0xeb9f;

/// Kinds of types.
const INTEGER: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCTURE: u32 = 4;
const UNION: u32 = 5;
const ENUMERATION: u32 = 6;
const PROTOTYPE: u32 = 13;
const VARIABLE: u32 = 14;
const SECTION: u32 = 15;
const TAG: u32 = 17;
const ENUMERATION64: u32 = 19;

/// One type.
struct Type<'d> {
    /// Where its name is among the strings.
    name: u32,
    kind: u32,
    /// The type that it is of, or its size.
    of: u32,
    /// What follows, of a length that the kind says.
    parts: &'d [[u8; 4]],
}

/// The number of the type of the map with this name; `None` where nothing is said of it.
pub(super) fn map_type(section: &[u8], map: &str) -> Option<u32> {
    let btf = Btf::parse(section)?;
    let variable = btf.types.iter().find(|it| it.kind == VARIABLE && btf.is_name(it.name, map))?;
    let structure = btf.get(variable.of, STRUCTURE)?;
    let (members, []) = structure.parts.as_chunks::<3>() else { return None };
    let [_, pointer, _] = members.iter().find(|[name, ..]| btf.is_name(word(name), "type"))?;
    let array = btf.get(btf.get(word(pointer), POINTER)?.of, ARRAY)?;
    array.parts.get(2).map(word)
}

struct Btf<'d> {
    /// In their order; the first has number 1.
    types: Vec<Type<'d>>,
    strings: &'d [u8],
}

impl<'d> Btf<'d> {
    fn parse(section: &'d [u8]) -> Option<Btf<'d>> {
        if section.first_chunk() != Some(&MAGIC.to_ne_bytes()) {
            return None;
        }
        // The header says its own length, and where types and strings are behind it.
        let field = |at: usize| section.get(at..)?.first_chunk().map(|bytes| word(bytes) as usize);
        let body = section.get(field(4)?..)?;
        let part = |at, len| body.get(field(at)?..)?.get(..field(len)?);
        let (mut words, _) = part(8, 12)?.as_chunks::<4>();
        let mut types = Vec::new();
        while let Some(([name, info, of], behind)) = words.split_first_chunk() {
            let (kind, count) = (word(info) >> 24 & 31, (word(info) & 0xffff) as usize);
            let len = match kind {
                INTEGER | VARIABLE | TAG => 1,
                ARRAY => 3,
                STRUCTURE | UNION | SECTION | ENUMERATION64 => 3 * count,
                ENUMERATION | PROTOTYPE => 2 * count,
                _ => 0,
            };
            let (parts, others) = behind.split_at_checked(len)?;
            types.push(Type { name: word(name), kind, of: word(of), parts });
            words = others;
        }
        Some(Btf { types, strings: part(16, 20)? })
    }

    fn get(&self, number: u32, kind: u32) -> Option<&Type<'d>> {
        self.types.get((number as usize).checked_sub(1)?).filter(|it| it.kind == kind)
    }

    /// Whether the string at this place is `name`.
    fn is_name(&self, at: u32, name: &str) -> bool {
        let string = self.strings.get(at as usize..).and_then(|strings| strings.strip_prefix(name.as_bytes()));
        string.is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_ne_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section of these types, each with its words, whose names are places in `\0type\0flows\0`.
    fn section(types: &[&[u32]]) -> Vec<u8> {
        let types: Vec<u8> = types.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let strings = b"\0type\0flows\0";
        let places = [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        let mut bytes = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        bytes.extend(places.iter().flat_map(|word| word.to_ne_bytes()));
        [bytes, types, strings.to_vec()].concat()
    }

    #[test]
    fn the_type_is_found_behind_all_kinds() {
        let info = |kind: u32, parts: u32| kind << 24 | parts;
        let skipped: [&[u32]; 9] = [
            &[0, info(INTEGER, 0), 4, 32],
            &[0, info(UNION, 1), 4, 0, 1, 0],
            &[0, info(ENUMERATION, 2), 4, 0, 0, 0, 1],
            &[0, info(ENUMERATION64, 1), 8, 0, 0, 0],
            &[0, info(PROTOTYPE, 1), 1, 0, 1],
            &[0, info(SECTION, 1), 4, 0, 0, 0],
            &[0, info(TAG, 0), 1, 0],
            // A type definition, and a member of another name.
            &[0, info(8, 0), 1],
            &[6, info(8, 0), 1],
        ];
        let map: [&[u32]; 4] = [
            &[0, info(ARRAY, 0), 0, 1, 1, 17],
            &[0, info(POINTER, 0), 10],
            &[0, info(STRUCTURE, 2), 16, 6, 1, 0, 1, 11, 64],
            &[6, info(VARIABLE, 0), 12, 1],
        ];
        let all = section(&[&skipped[..], &map].concat());
        assert_eq!(map_type(&all, "flows"), Some(17));
        assert_eq!(map_type(&all, "flow"), None);
        for len in 0..all.len() {
            assert_eq!(map_type(&all[..len], "flows"), None, "{len} bytes");
        }
        let [array, pointer, _, variable] = map;
        let without: [&[u32]; 4] = [array, pointer, &[0, info(STRUCTURE, 1), 8, 6, 11, 0], variable];
        assert_eq!(map_type(&section(&[&skipped[..], &without].concat()), "flows"), None, "no member of that name");
    }
}
