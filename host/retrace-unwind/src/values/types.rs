//! Types as the printer needs them: behind names and qualifiers, with sizes, members and bounds that are known.

use std::{cell::OnceCell, cell::RefCell, collections::HashMap, rc::Rc};

use gimli::{AttributeValue, DwAte};

use super::{
    dies::{Die, DieId, Entry, flag, is_structure, unsigned},
    expression::Evaluator,
    value::Fault,
};

/// Names and qualifiers before a type (`typedef`, `const`).
const MAX_NAMES: usize = 64;
/// Types in types, where one has to be followed to know a size.
const MAX_NESTING: usize = 64;
/// Dimensions of an array.
const MAX_DIMENSIONS: usize = 16;

/// A type.
pub(crate) struct Type<'a, 'i> {
    /// None for `void`.
    pub(crate) die: Option<Die<'a, 'i>>,
    pub(crate) kind: Kind<'a, 'i>,
    /// In bytes; 0 if it is not known.
    pub(crate) size: u64,
    /// The name that it is used by, of the outermost `typedef`; `wchar_t` is told by it.
    pub(crate) alias: Option<String>,
    members: OnceCell<Vec<Member<'a, 'i>>>,
}

/// What a type is.
pub(crate) enum Kind<'a, 'i> {
    /// A base type; gdb shows what it cannot name as an integer.
    Base(DwAte),
    Pointer(Option<Die<'a, 'i>>),
    Reference(Option<Die<'a, 'i>>),
    /// A pointer to a member: true for one to a function.
    MemberPointer {
        of_function: bool,
    },
    Structure {
        union: bool,
    },
    /// A structure that is only declared.
    Incomplete,
    Array {
        element: Die<'a, 'i>,
        dimensions: Vec<Dimension<'a, 'i>>,
    },
    Enumeration,
    Function,
    /// Characters of a fixed length (Fortran).
    Text,
    Void,
    /// Something without a size: `decltype(nullptr)`.
    Other,
}

/// A dimension of an array: its entry says the bounds, which may have to be computed.
#[derive(Clone, Copy)]
pub(crate) struct Dimension<'a, 'i> {
    pub(crate) die: Die<'a, 'i>,
}

/// What a structure is made of.
pub(crate) struct Member<'a, 'i> {
    pub(crate) die: Die<'a, 'i>,
    pub(crate) entry: Entry<'i>,
    /// None for an unnamed union or structure.
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) kind: Option<Die<'a, 'i>>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Base,
    Field,
    Static,
    /// `DW_TAG_variant_part`: one of several, as in Rust's enums.
    Variants,
}

/// Types that were looked at, by entry.
#[derive(Default)]
pub(crate) struct Types<'a, 'i> {
    known: RefCell<HashMap<DieId, Rc<Type<'a, 'i>>>>,
}

impl<'a, 'i> Types<'a, 'i> {
    /// The type of an entry; `void` for none.
    pub(crate) fn get(&self, die: Option<Die<'a, 'i>>, evaluator: &Evaluator<'_, 'a, 'i>) -> Rc<Type<'a, 'i>> {
        let Some(die) = die else { return Rc::new(Type::new(None, Kind::Void, 1)) };
        if let Some(known) = self.known.borrow().get(&die.id()) {
            return Rc::clone(known);
        }
        let made = Rc::new(resolve(die, evaluator, 0));
        self.known.borrow_mut().insert(die.id(), Rc::clone(&made));
        made
    }
}

impl<'a, 'i> Type<'a, 'i> {
    fn new(die: Option<Die<'a, 'i>>, kind: Kind<'a, 'i>, size: u64) -> Self {
        Self { die, kind, size, alias: None, members: OnceCell::new() }
    }

    /// Members in the order of the declaration.
    pub(crate) fn members(&self, evaluator: &Evaluator<'_, 'a, 'i>) -> &[Member<'a, 'i>] {
        self.members.get_or_init(|| self.die.map(|die| members(die, evaluator)).unwrap_or_default())
    }

    /// The member of this name.
    pub(crate) fn field(&self, name: &str, evaluator: &Evaluator<'_, 'a, 'i>) -> Option<&Member<'a, 'i>> {
        self.members(evaluator).iter().find(|member| member.role == Role::Field && member.name.as_deref() == Some(name))
    }
}

/// Members of a structure or of a variant.
pub(crate) fn members<'a, 'i>(die: Die<'a, 'i>, evaluator: &Evaluator<'_, 'a, 'i>) -> Vec<Member<'a, 'i>> {
    let budget = evaluator.budget;
    let member = |(die, entry): (Die<'a, 'i>, Entry<'i>)| {
        let role = match entry.tag() {
            gimli::DW_TAG_inheritance => Role::Base,
            gimli::DW_TAG_variable => Role::Static,
            gimli::DW_TAG_member if flag(&entry, gimli::DW_AT_declaration) => Role::Static,
            gimli::DW_TAG_member => Role::Field,
            gimli::DW_TAG_variant_part => Role::Variants,
            _ => return None,
        };
        let name = die.name(&entry, budget).filter(|name| !name.is_empty());
        let kind = die.reference(&entry, gimli::DW_AT_type);
        Some(Member { die, entry, name, role, kind })
    };
    die.children(budget).into_iter().filter_map(member).collect()
}

fn resolve<'a, 'i>(die: Die<'a, 'i>, evaluator: &Evaluator<'_, 'a, 'i>, nesting: usize) -> Type<'a, 'i> {
    let budget = evaluator.budget;
    let word = u64::from(die.unit().encoding().address_size);
    let mut alias = None;
    let mut die = die;
    for _ in 0..MAX_NAMES {
        let Some(entry) = die.entry(budget) else { break };
        let target = die.reference(&entry, gimli::DW_AT_type);
        let size = unsigned(&entry, gimli::DW_AT_byte_size)
            .or_else(|| unsigned(&entry, gimli::DW_AT_bit_size).map(|bits| bits.div_ceil(8)));
        let (kind, size) = match entry.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
            | gimli::DW_TAG_immutable_type
            | gimli::DW_TAG_packed_type
            | gimli::DW_TAG_shared_type
            | gimli::DW_TAG_subrange_type
            | gimli::DW_TAG_template_alias => {
                if alias.is_none() && entry.tag() == gimli::DW_TAG_typedef {
                    alias = die.name(&entry, budget);
                }
                match target {
                    Some(target) => die = target,
                    None => return Type { alias, ..Type::new(None, Kind::Void, 1) },
                }
                continue;
            }
            gimli::DW_TAG_base_type => {
                let encoding = match entry.attr_value(gimli::DW_AT_encoding) {
                    Some(AttributeValue::Encoding(encoding)) => encoding,
                    _ => gimli::DW_ATE_unsigned,
                };
                (Kind::Base(encoding), size.unwrap_or(0))
            }
            gimli::DW_TAG_pointer_type => (Kind::Pointer(target), size.unwrap_or(word)),
            gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type => {
                (Kind::Reference(target), size.unwrap_or(word))
            }
            gimli::DW_TAG_ptr_to_member_type => {
                let of_function = target
                    .and_then(|target| target.entry(budget))
                    .is_some_and(|entry| entry.tag() == gimli::DW_TAG_subroutine_type);
                (Kind::MemberPointer { of_function }, if of_function { 2 * word } else { word })
            }
            tag if is_structure(tag) => {
                // The declaration in a type unit's user names the type by its signature.
                if let Some(definition) = die.reference(&entry, gimli::DW_AT_signature) {
                    die = definition;
                    continue;
                }
                let union = tag == gimli::DW_TAG_union_type;
                let declared = flag(&entry, gimli::DW_AT_declaration);
                let kind = if declared { Kind::Incomplete } else { Kind::Structure { union } };
                (kind, size.unwrap_or(0))
            }
            gimli::DW_TAG_enumeration_type => {
                if let Some(definition) = die.reference(&entry, gimli::DW_AT_signature) {
                    die = definition;
                    continue;
                }
                let size = size.or_else(|| target.map(|target| nested(target, evaluator, nesting).size));
                (Kind::Enumeration, size.unwrap_or(4))
            }
            gimli::DW_TAG_array_type => match target {
                Some(element) => array(die, element, size, evaluator, nesting),
                None => (Kind::Other, 0),
            },
            gimli::DW_TAG_subroutine_type | gimli::DW_TAG_subprogram => (Kind::Function, 1),
            gimli::DW_TAG_string_type => (Kind::Text, size.unwrap_or_else(|| text_size(die, &entry, evaluator))),
            gimli::DW_TAG_unspecified_type => (Kind::Other, size.unwrap_or(0)),
            _ => (Kind::Other, size.unwrap_or(0)),
        };
        return Type { alias, ..Type::new(Some(die), kind, size) };
    }
    Type { alias, ..Type::new(Some(die), Kind::Other, 0) }
}

fn nested<'a, 'i>(die: Die<'a, 'i>, evaluator: &Evaluator<'_, 'a, 'i>, nesting: usize) -> Type<'a, 'i> {
    if nesting >= MAX_NESTING { Type::new(Some(die), Kind::Other, 0) } else { resolve(die, evaluator, nesting + 1) }
}

fn array<'a, 'i>(
    die: Die<'a, 'i>,
    element: Die<'a, 'i>,
    size: Option<u64>,
    evaluator: &Evaluator<'_, 'a, 'i>,
    nesting: usize,
) -> (Kind<'a, 'i>, u64) {
    let is_dimension =
        |entry: &Entry<'i>| matches!(entry.tag(), gimli::DW_TAG_subrange_type | gimli::DW_TAG_enumeration_type);
    let dimensions: Vec<Dimension<'a, 'i>> = die
        .children(evaluator.budget)
        .into_iter()
        .filter(|(_, entry)| is_dimension(entry))
        .take(MAX_DIMENSIONS)
        .map(|(die, _)| Dimension { die })
        .collect();
    let elements = dimensions
        .iter()
        .try_fold(1_u64, |product, dimension| product.checked_mul(dimension.length(evaluator, None).ok().flatten()?));
    let size = size.or_else(|| elements?.checked_mul(nested(element, evaluator, nesting).size));
    (Kind::Array { element, dimensions }, size.unwrap_or(0))
}

/// Length of a Fortran string that is kept beside it.
fn text_size<'a, 'i>(die: Die<'a, 'i>, entry: &Entry<'i>, evaluator: &Evaluator<'_, 'a, 'i>) -> u64 {
    let Some(length) = entry.attr_value(gimli::DW_AT_string_length) else { return 0 };
    let length = match &length {
        AttributeValue::Exprloc(expression) => {
            let size = unsigned(entry, gimli::DW_AT_string_length_byte_size)
                .unwrap_or_else(|| u64::from(die.unit().encoding().address_size));
            evaluator.located(die, *expression, size).and_then(|value| {
                Ok(super::value::number(value.part().bytes(size.min(8))?, evaluator.big_endian()).cast_signed())
            })
        }
        other => evaluator.property(die, other, None),
    };
    length.ok().and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

impl<'a, 'i> Dimension<'a, 'i> {
    /// Number of elements; none for an array of unknown length. `object` is where the array's descriptor is.
    pub(crate) fn length(self, evaluator: &Evaluator<'_, 'a, 'i>, object: Option<u64>) -> Result<Option<u64>, Fault> {
        let entry = self.die.entry(evaluator.budget).ok_or(Fault::Limit)?;
        if entry.tag() == gimli::DW_TAG_enumeration_type {
            let values = self.die.children(evaluator.budget);
            return Ok(Some(values.iter().filter(|(_, entry)| entry.tag() == gimli::DW_TAG_enumerator).count() as u64));
        }
        let bound = |name| match entry.attr_value(name) {
            Some(value) => evaluator.property(self.die, &value, object).map(Some),
            None => Ok(None),
        };
        if let Some(count) = bound(gimli::DW_AT_count)? {
            return Ok(u64::try_from(count).ok());
        }
        let Some(upper) = bound(gimli::DW_AT_upper_bound)? else { return Ok(None) };
        let lower = bound(gimli::DW_AT_lower_bound)?.unwrap_or_else(|| self.default_lower_bound(evaluator));
        let length = upper.checked_sub(lower).and_then(|difference| difference.checked_add(1));
        // `int a[0]` has the upper bound -1 in 32 or 64 bits.
        Ok(Some(length.and_then(|length| u64::try_from(length).ok()).filter(|_| upper != 0xffff_ffff).unwrap_or(0)))
    }

    /// Distance of its elements in bytes, if it is not their size.
    pub(crate) fn stride(self, evaluator: &Evaluator<'_, 'a, 'i>, object: Option<u64>) -> Option<i64> {
        let entry = self.die.entry(evaluator.budget)?;
        let value = entry.attr_value(gimli::DW_AT_byte_stride)?;
        evaluator.property(self.die, &value, object).ok()
    }

    /// Source: DWARF 5, table 7.17.
    fn default_lower_bound(self, evaluator: &Evaluator<'_, 'a, 'i>) -> i64 {
        i64::from(matches!(Language::of(self.die, evaluator), Language::Fortran))
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cpp,
    Rust,
    Fortran,
    Go,
}

impl Language {
    /// Of the unit that holds an entry.
    pub(crate) fn of(die: Die<'_, '_>, evaluator: &Evaluator<'_, '_, '_>) -> Self {
        let entry = die.root().entry(evaluator.budget);
        match entry.and_then(|entry| entry.attr_value(gimli::DW_AT_language)) {
            Some(AttributeValue::Language(language)) => match language {
                gimli::DW_LANG_C_plus_plus
                | gimli::DW_LANG_C_plus_plus_03
                | gimli::DW_LANG_C_plus_plus_11
                | gimli::DW_LANG_C_plus_plus_14
                | gimli::DW_LANG_C_plus_plus_17
                | gimli::DW_LANG_C_plus_plus_20 => Self::Cpp,
                gimli::DW_LANG_Rust | gimli::DwLang(0x9000) => Self::Rust,
                gimli::DW_LANG_Fortran77
                | gimli::DW_LANG_Fortran90
                | gimli::DW_LANG_Fortran95
                | gimli::DW_LANG_Fortran03
                | gimli::DW_LANG_Fortran08 => Self::Fortran,
                gimli::DW_LANG_Go => Self::Go,
                _ => Self::C,
            },
            _ => Self::C,
        }
    }
}

impl<'a, 'i> Member<'a, 'i> {
    /// Bytes from the beginning of the structure, which is at `address` if it is in memory.
    pub(crate) fn offset(&self, evaluator: &Evaluator<'_, 'a, 'i>, address: Option<u64>) -> Result<u64, Fault> {
        match self.entry.attr_value(gimli::DW_AT_data_member_location) {
            None => Ok(0),
            Some(AttributeValue::Exprloc(expression)) => {
                // A virtual base: its place is in the object's table.
                let start = address.unwrap_or(0);
                let place = evaluator.number(self.die, expression, address, Some(start))?;
                Ok(place.wrapping_sub(start))
            }
            Some(value) => value.udata_value().ok_or(Fault::Unusable("the place of a member is no number")),
        }
    }

    /// First bit and number of bits of a bit-field, counted from the beginning of the structure.
    pub(crate) fn bits(&self, offset: u64, storage: u64, big_endian: bool) -> Option<(u64, u64)> {
        let size = unsigned(&self.entry, gimli::DW_AT_bit_size)?;
        if let Some(start) = unsigned(&self.entry, gimli::DW_AT_data_bit_offset) {
            return Some((start, size));
        }
        // DWARF 3: from the highest bit of the storage unit.
        let start = unsigned(&self.entry, gimli::DW_AT_bit_offset)?;
        let storage = unsigned(&self.entry, gimli::DW_AT_byte_size).unwrap_or(storage).checked_mul(8)?;
        let start = if big_endian { start } else { storage.checked_sub(start)?.checked_sub(size)? };
        Some((offset.checked_mul(8)?.checked_add(start)?, size))
    }
}
