//! Containers of libstdc++ by their elements, as the printers that come with it show them.
//!
//! A container is told by its name in `std` and by having the members that it is read through; where one of them is
//! missing (another library, another version) it is shown as the structure that it is.

use std::rc::Rc;

use super::{Printer, text::ELEMENTS};
use crate::values::{
    dies::Die,
    types::{Kind, Role, Type},
    value::{Fault, Part, Value, number},
};

/// Base classes and members that are searched for one member.
const MAX_SEARCH: usize = 10;
/// Nodes that are visited from one element of a tree to the next.
const MAX_CLIMB: usize = 128;

/// A place with its type.
type Found<'v, 'a, 'i> = (Rc<Type<'a, 'i>>, Part<'v>);

impl<'a, 'i> Printer<'_, '_, 'a, 'i> {
    /// False if the structure is no container that is known.
    pub(super) fn container(&mut self, kind: &Type<'a, 'i>, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let budget = self.evaluator.budget;
        let Some(die) = kind.die else { return Ok(false) };
        let Some(entry) = die.entry(budget) else { return Ok(false) };
        let Some(name) = die.name(&entry, budget) else { return Ok(false) };
        let (template, arguments) = name.split_once('<').unwrap_or((&name, ""));
        if !KNOWN.contains(&template) {
            return Ok(false);
        }
        let full = die.qualified_name(&entry, "::", budget).unwrap_or_default();
        if !full.starts_with("std::") {
            return Ok(false);
        }
        let start = self.out.len();
        let shown = match template {
            "basic_string" => self.string(kind, die, part)?,
            "basic_string_view" => self.string_view(kind, die, part)?,
            "vector" => self.vector(kind, die, arguments, part, depth)?,
            "deque" => self.deque(kind, die, part, depth)?,
            "list" => self.list(kind, die, part, depth)?,
            "map" | "multimap" | "set" | "multiset" => self.tree(kind, template, part, depth)?,
            "unordered_map" | "unordered_multimap" | "unordered_set" | "unordered_multiset" => {
                self.hash_table(kind, template, part, depth)?
            }
            "unique_ptr" => self.unique_pointer(kind, arguments, part)?,
            "shared_ptr" | "weak_ptr" => self.shared_pointer(kind, template, arguments, part)?,
            "optional" => self.optional(kind, die, arguments, part, depth)?,
            "variant" => self.variant_of(kind, die, arguments, part, depth)?,
            "tuple" => self.tuple(kind, part, depth)?,
            "pair" => self.pair(kind, part, depth)?,
            "atomic" => self.atomic(kind, arguments, part, depth)?,
            _ => false,
        };
        if !shown {
            self.out.truncate(start);
        }
        Ok(shown)
    }

    /// The member of this name, in the structure or its bases.
    pub(super) fn inner<'v>(&self, kind: &Type<'a, 'i>, part: Part<'v>, name: &str) -> Option<Found<'v, 'a, 'i>> {
        self.search(kind, part, 0, &|member, _| member == Some(name))
    }

    /// Members of members.
    fn path<'v>(&self, kind: &Type<'a, 'i>, part: Part<'v>, names: &[&str]) -> Option<Found<'v, 'a, 'i>> {
        let (first, rest) = names.split_first()?;
        let mut found = self.inner(kind, part, first)?;
        for name in rest {
            found = self.inner(&found.0, found.1, name)?;
        }
        Some(found)
    }

    /// The first field of the structure or its bases that is wanted.
    fn search<'v>(
        &self,
        kind: &Type<'a, 'i>,
        part: Part<'v>,
        depth: usize,
        wanted: &dyn Fn(Option<&str>, &Type<'a, 'i>) -> bool,
    ) -> Option<Found<'v, 'a, 'i>> {
        if depth > MAX_SEARCH {
            return None;
        }
        let members = kind.members(self.evaluator);
        let own = members.iter().filter(|member| member.role == Role::Field).find_map(|member| {
            let kind = self.type_of(member.kind);
            wanted(member.name.as_deref(), &kind).then(|| self.member_part(member, part).ok())?.map(|part| (kind, part))
        });
        own.or_else(|| {
            members.iter().filter(|member| member.role == Role::Base).find_map(|member| {
                let kind = self.type_of(member.kind);
                self.search(&kind, self.member_part(member, part).ok()?, depth + 1, wanted)
            })
        })
    }

    /// The number at the end of a path of members.
    fn number_at(&self, kind: &Type<'a, 'i>, part: Part<'_>, names: &[&str]) -> Option<u64> {
        let (kind, part) = self.path(kind, part, names)?;
        if !(1..=8).contains(&kind.size) {
            return None;
        }
        Some(number(part.bytes(kind.size).ok()?, self.big_endian()))
    }

    /// The type argument of a template.
    pub(super) fn template_type(&self, die: Die<'a, 'i>, index: usize) -> Option<Die<'a, 'i>> {
        let children = die.children(self.evaluator.budget);
        let mut types = children.iter().filter(|(_, entry)| entry.tag() == gimli::DW_TAG_template_type_parameter);
        let (die, entry) = types.nth(index)?;
        die.reference(entry, gimli::DW_AT_type)
    }

    fn word_size(&self) -> u64 {
        u64::from(self.evaluator.subprogram.unit().encoding().address_size)
    }

    fn pointer_at(&self, address: u64) -> Result<u64, Fault> {
        Ok(number(&self.evaluator.memory(address, self.word_size())?, self.big_endian()))
    }

    /// A value in memory.
    fn item(&mut self, kind: &Type<'a, 'i>, address: u64, depth: usize) {
        match self.evaluator.memory(address, kind.size) {
            Ok(bytes) => self.value(kind, Value::new(bytes, Some(address)).part(), depth + 1),
            Err(fault) => self.fault(&fault),
        }
    }

    /// `{1, 2, 3}` of values at these addresses; `more` says that there are others.
    fn items(&mut self, kind: &Type<'a, 'i>, addresses: &[u64], more: bool, depth: usize, numbered: bool) {
        self.push(" = {");
        for (index, address) in addresses.iter().enumerate() {
            if self.is_full() {
                break;
            }
            if index > 0 {
                self.push(", ");
            }
            if numbered {
                self.push(&format!("[{index}] = "));
            }
            self.item(kind, *address, depth);
        }
        self.push(if more { "...}" } else { "}" });
    }

    fn string(&mut self, kind: &Type<'a, 'i>, die: Die<'a, 'i>, part: Part<'_>) -> Result<bool, Fault> {
        let Some(address) = self.number_at(kind, part, &["_M_dataplus", "_M_p"]) else { return Ok(false) };
        let length = match self.number_at(kind, part, &["_M_string_length"]) {
            Some(length) => length,
            // The string of before C++11 has its length before its characters.
            None => self.pointer_at(address.wrapping_sub(3 * self.word_size()))?,
        };
        self.characters(die, address, length)
    }

    fn string_view(&mut self, kind: &Type<'a, 'i>, die: Die<'a, 'i>, part: Part<'_>) -> Result<bool, Fault> {
        let address = self.number_at(kind, part, &["_M_str"]);
        let (Some(address), Some(length)) = (address, self.number_at(kind, part, &["_M_len"])) else {
            return Ok(false);
        };
        self.characters(die, address, length)
    }

    fn characters(&mut self, die: Die<'a, 'i>, address: u64, length: u64) -> Result<bool, Fault> {
        let character = self.type_of(self.template_type(die, 0));
        let Some(prefix) = self.character_prefix(&character) else { return Ok(false) };
        let shown = length.min(ELEMENTS as u64);
        let mut bytes = self.evaluator.memory(address, shown * character.size)?;
        let cut = shown < length;
        let width = usize::try_from(character.size).unwrap_or(1);
        if !cut {
            bytes.extend(std::iter::repeat_n(0, width));
        }
        let written = super::text::string(&bytes, width, self.big_endian(), prefix, cut);
        self.push(&written);
        Ok(true)
    }

    fn vector(
        &mut self,
        kind: &Type<'a, 'i>,
        die: Die<'a, 'i>,
        arguments: &str,
        part: Part<'_>,
        depth: usize,
    ) -> Result<bool, Fault> {
        let element = self.type_of(self.template_type(die, 0));
        if arguments.starts_with("bool,") {
            return self.bits(kind, part);
        }
        let pointer = |name| self.number_at(kind, part, &["_M_impl", name]);
        let pointers = (pointer("_M_start"), pointer("_M_finish"), pointer("_M_end_of_storage"));
        let (Some(start), Some(finish), Some(end)) = pointers else { return Ok(false) };
        let (Some(used), Some(reserved)) = (finish.checked_sub(start), end.checked_sub(start)) else {
            return Ok(false);
        };
        let (Some(length), Some(capacity)) = (used.checked_div(element.size), reserved.checked_div(element.size))
        else {
            return Ok(false);
        };
        self.push(&format!("std::vector of length {length}, capacity {capacity}"));
        if length > 0 {
            let shown = length.min(ELEMENTS as u64);
            let addresses: Vec<u64> =
                (0..shown).map(|index| start.wrapping_add(index.wrapping_mul(element.size))).collect();
            self.items(&element, &addresses, shown < length, depth, false);
        }
        Ok(true)
    }

    /// `std::vector<bool>`: bits of words.
    fn bits(&mut self, kind: &Type<'a, 'i>, part: Part<'_>) -> Result<bool, Fault> {
        let field = |names: &[&str]| self.number_at(kind, part, names);
        let start = field(&["_M_impl", "_M_start", "_M_p"]);
        let finish = field(&["_M_impl", "_M_finish", "_M_p"]);
        let offset = field(&["_M_impl", "_M_finish", "_M_offset"]);
        let end = field(&["_M_impl", "_M_end_of_storage"]);
        let (Some(start), Some(finish), Some(offset), Some(end)) = (start, finish, offset, end) else {
            return Ok(false);
        };
        let (Some(used), Some(reserved)) = (finish.checked_sub(start), end.checked_sub(start)) else {
            return Ok(false);
        };
        let length = used.saturating_mul(8).saturating_add(offset);
        self.push(&format!("std::vector<bool> of length {length}, capacity {}", reserved.saturating_mul(8)));
        if length > 0 {
            let shown = length.min(ELEMENTS as u64);
            let bytes = self.evaluator.memory(start, shown.div_ceil(8).next_multiple_of(self.word_size()))?;
            let bytes: Vec<u8> = if self.big_endian() {
                let word = usize::from(self.evaluator.subprogram.unit().encoding().address_size.max(1));
                bytes.chunks(word).flat_map(|word| word.iter().rev().copied()).collect()
            } else {
                bytes
            };
            let bit = |index: u64| {
                let byte = usize::try_from(index / 8).ok().and_then(|byte| bytes.get(byte));
                byte.is_some_and(|byte| byte >> (index % 8) & 1 == 1).to_string()
            };
            let text = (0..shown).map(bit).collect::<Vec<_>>().join(", ");
            let more = if shown < length { "..." } else { "" };
            self.push(&format!(" = {{{text}{more}}}"));
        }
        Ok(true)
    }

    fn deque(&mut self, kind: &Type<'a, 'i>, die: Die<'a, 'i>, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        /// Bytes of a block of elements, if they are not larger than it.
        const BLOCK_BYTES: u64 = 512;
        let element = self.type_of(self.template_type(die, 0));
        let field = |iterator, name| self.number_at(kind, part, &["_M_impl", iterator, name]);
        let start = (field("_M_start", "_M_cur"), field("_M_start", "_M_last"), field("_M_start", "_M_node"));
        let finish = (field("_M_finish", "_M_cur"), field("_M_finish", "_M_first"), field("_M_finish", "_M_node"));
        let ((Some(cur), Some(last), Some(node)), (Some(end), Some(first), Some(end_node))) = (start, finish) else {
            return Ok(false);
        };
        if element.size == 0 {
            return Ok(false);
        }
        let word = self.word_size().max(1);
        let block = (BLOCK_BYTES / element.size).max(1);
        let blocks = end_node.wrapping_sub(node).cast_signed() / word.cast_signed();
        let count = (blocks - 1)
            .wrapping_mul(block.cast_signed())
            .wrapping_add((end.wrapping_sub(first) / element.size).cast_signed())
            .wrapping_add((last.wrapping_sub(cur) / element.size).cast_signed());
        let Ok(count) = u64::try_from(count) else { return Ok(false) };
        self.push(&format!("std::deque with {}", counted(count)));
        let mut addresses = Vec::new();
        let (mut node, mut at, mut end_of_block) = (node, cur, last);
        while (addresses.len() as u64) < count.min(ELEMENTS as u64) {
            addresses.push(at);
            at = at.wrapping_add(element.size);
            if at == end_of_block {
                node = node.wrapping_add(word);
                at = self.pointer_at(node).unwrap_or(0);
                end_of_block = at.wrapping_add(block * element.size);
            }
        }
        if count > 0 {
            self.items(&element, &addresses, count > addresses.len() as u64, depth, false);
        }
        Ok(true)
    }

    fn list(&mut self, kind: &Type<'a, 'i>, die: Die<'a, 'i>, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let Some((_, header)) = self.path(kind, part, &["_M_impl", "_M_node"]) else { return Ok(false) };
        let Some(head) = header.address() else { return Ok(false) };
        let element = self.type_of(self.template_type(die, 0));
        let data = (2 * self.word_size()).next_multiple_of(alignment(&element));
        let mut addresses = Vec::new();
        let mut node = self.pointer_at(head)?;
        while node != head && node != 0 && addresses.len() <= ELEMENTS {
            addresses.push(node.wrapping_add(data));
            node = self.pointer_at(node)?;
        }
        if addresses.is_empty() {
            self.push("empty std::__cxx11::list");
            return Ok(true);
        }
        self.push("std::__cxx11::list");
        let more = addresses.len() > ELEMENTS;
        addresses.truncate(ELEMENTS);
        self.items(&element, &addresses, more, depth, true);
        Ok(true)
    }

    /// `[key] = value` of pairs, `[0] = value` of sets.
    fn entries(&mut self, element: &Type<'a, 'i>, addresses: &[u64], more: bool, depth: usize, is_map: bool) {
        if !is_map {
            return self.items(element, addresses, more, depth, true);
        }
        self.push(" = {");
        for (index, address) in addresses.iter().enumerate() {
            if self.is_full() {
                break;
            }
            if index > 0 {
                self.push(", ");
            }
            let bytes = self.evaluator.memory(*address, element.size);
            let value = match bytes {
                Ok(bytes) => Value::new(bytes, Some(*address)),
                Err(fault) => {
                    self.fault(&fault);
                    continue;
                }
            };
            let first = self.inner(element, value.part(), "first");
            let second = self.inner(element, value.part(), "second");
            let (Some((key, key_part)), Some((mapped, mapped_part))) = (first, second) else { break };
            self.push("[");
            self.value(&key, key_part, depth + 1);
            self.push("] = ");
            self.value(&mapped, mapped_part, depth + 1);
        }
        self.push(if more { "...}" } else { "}" });
    }

    /// Red-black trees. Source: libstdc++'s `bits/stl_tree.h`: colour, parent, left, right, value.
    fn tree(&mut self, kind: &Type<'a, 'i>, template: &str, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let Some((tree, tree_part)) = self.inner(kind, part, "_M_t") else { return Ok(false) };
        let Some((_, header)) = self.path(&tree, tree_part, &["_M_impl", "_M_header"]) else { return Ok(false) };
        let count = self.number_at(&tree, tree_part, &["_M_impl", "_M_node_count"]);
        let (Some(count), Some(header)) = (count, header.address()) else { return Ok(false) };
        let element = self.type_of(tree.die.and_then(|die| self.template_type(die, 1)));
        let word = self.word_size();
        let data = (4 * word).next_multiple_of(alignment(&element));
        self.push(&format!("std::{template} with {}", counted(count)));
        let (parent, left, right) = (word, 2 * word, 3 * word);
        let mut addresses = Vec::new();
        let mut node = self.pointer_at(header.wrapping_add(left))?;
        while node != header && node != 0 && (addresses.len() as u64) < count.min(ELEMENTS as u64) {
            addresses.push(node.wrapping_add(data));
            let mut below = self.pointer_at(node.wrapping_add(right))?;
            if below != 0 {
                for _ in 0..MAX_CLIMB {
                    node = below;
                    below = self.pointer_at(node.wrapping_add(left))?;
                    if below == 0 {
                        break;
                    }
                }
            } else {
                for _ in 0..MAX_CLIMB {
                    let above = self.pointer_at(node.wrapping_add(parent))?;
                    let came_from_right = self.pointer_at(above.wrapping_add(right))? == node;
                    // The root's parent is the header, whose right is the last node.
                    let is_end = above == header;
                    node = above;
                    if is_end || !came_from_right {
                        break;
                    }
                }
            }
        }
        if count > 0 {
            let more = count > addresses.len() as u64;
            self.entries(&element, &addresses, more, depth, template.ends_with("map"));
        }
        Ok(true)
    }

    /// Hash tables: a list of nodes. Source: libstdc++'s `bits/hashtable_policy.h`.
    fn hash_table(&mut self, kind: &Type<'a, 'i>, template: &str, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let Some((table, table_part)) = self.inner(kind, part, "_M_h") else { return Ok(false) };
        let count = self.number_at(&table, table_part, &["_M_element_count"]);
        let first = self.number_at(&table, table_part, &["_M_before_begin", "_M_nxt"]);
        let (Some(count), Some(first)) = (count, first) else { return Ok(false) };
        let element = self.type_of(table.die.and_then(|die| self.template_type(die, 1)));
        let data = self.word_size().next_multiple_of(alignment(&element));
        self.push(&format!("std::{template} with {}", counted(count)));
        let mut addresses = Vec::new();
        let mut node = first;
        while node != 0 && (addresses.len() as u64) < count.min(ELEMENTS as u64) {
            addresses.push(node.wrapping_add(data));
            node = self.pointer_at(node)?;
        }
        if count > 0 {
            let more = count > addresses.len() as u64;
            self.entries(&element, &addresses, more, depth, template.ends_with("map"));
        }
        Ok(true)
    }

    fn unique_pointer(&mut self, kind: &Type<'a, 'i>, arguments: &str, part: Part<'_>) -> Result<bool, Fault> {
        let Some((manager, inside)) = self.inner(kind, part, "_M_t") else { return Ok(false) };
        let (tuple, inside) = self.inner(&manager, inside, "_M_t").unwrap_or((manager, inside));
        let head = self.search(&tuple, inside, 0, &|name, kind| {
            name == Some("_M_head_impl") && matches!(kind.kind, Kind::Pointer(_))
        });
        let Some((pointer, place)) = head else { return Ok(false) };
        let address = number(place.bytes(pointer.size.min(8))?, self.big_endian());
        self.push(&format!("std::unique_ptr<{}> = {{get() = ", first_argument(arguments)));
        self.address(address);
        self.push("}");
        Ok(true)
    }

    /// `shared_ptr` and `weak_ptr`. Source: libstdc++'s `bits/shared_ptr_base.h`: the counters follow the table.
    fn shared_pointer(
        &mut self,
        kind: &Type<'a, 'i>,
        template: &str,
        arguments: &str,
        part: Part<'_>,
    ) -> Result<bool, Fault> {
        let pointer = self.number_at(kind, part, &["_M_ptr"]);
        let (Some(pointer), Some(counters)) = (pointer, self.number_at(kind, part, &["_M_refcount", "_M_pi"])) else {
            return Ok(false);
        };
        let state = if counters == 0 {
            "empty".to_owned()
        } else {
            let big_endian = self.big_endian();
            let bytes = self.evaluator.memory(counters.wrapping_add(self.word_size()), 8)?;
            let (uses, weak) = bytes.split_at(4);
            match (number(uses, big_endian), number(weak, big_endian)) {
                (0, weak) => format!("expired, weak count {weak}"),
                (uses, weak) => format!("use count {uses}, weak count {}", weak.wrapping_sub(1)),
            }
        };
        self.push(&format!("std::{template}<{}> ({state}) = {{get() = ", first_argument(arguments)));
        self.address(pointer);
        self.push("}");
        Ok(true)
    }

    fn optional(
        &mut self,
        kind: &Type<'a, 'i>,
        die: Die<'a, 'i>,
        arguments: &str,
        part: Part<'_>,
        depth: usize,
    ) -> Result<bool, Fault> {
        let Some((payload, place)) = self.inner(kind, part, "_M_payload") else { return Ok(false) };
        let Some(engaged) = self.number_at(&payload, place, &["_M_engaged"]) else { return Ok(false) };
        let name = first_argument(arguments);
        if engaged == 0 {
            self.push(&format!("std::optional<{name}> [no contained value]"));
            return Ok(true);
        }
        let Some((_, place)) = self.inner(&payload, place, "_M_payload") else { return Ok(false) };
        let content = self.type_of(self.template_type(die, 0));
        self.push(&format!("std::optional<{name}> = {{[contained value] = "));
        self.value(&content, place, depth + 1);
        self.push("}");
        Ok(true)
    }

    fn variant_of(
        &mut self,
        kind: &Type<'a, 'i>,
        die: Die<'a, 'i>,
        arguments: &str,
        part: Part<'_>,
        depth: usize,
    ) -> Result<bool, Fault> {
        let Some((index_kind, place)) = self.inner(kind, part, "_M_index") else { return Ok(false) };
        let index = number(place.bytes(index_kind.size.min(8))?, self.big_endian());
        let name = shortened(arguments.strip_suffix('>').unwrap_or(arguments).trim());
        let budget = self.evaluator.budget;
        let children = die.children(budget);
        let pack = children.iter().find(|(_, entry)| entry.tag() == gimli::DW_TAG_GNU_template_parameter_pack);
        let chosen = pack.and_then(|(pack, _)| self.template_type(*pack, usize::try_from(index).ok()?));
        let Some(chosen) = chosen else {
            self.push(&format!("std::variant<{name}> [no contained value]"));
            return Ok(true);
        };
        let Some((_, place)) = self.inner(kind, part, "_M_u") else { return Ok(false) };
        let content = self.type_of(Some(chosen));
        self.push(&format!("std::variant<{name}> [index {index}] = {{"));
        self.value(&content, place, depth + 1);
        self.push("}");
        Ok(true)
    }

    /// Elements lie in bases: `_Tuple_impl<0, A, B>` has `_Tuple_impl<1, B>` and `_Head_base<0, A>`.
    fn tuple(&mut self, kind: &Type<'a, 'i>, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let mut elements = Vec::new();
        let Some(base) = kind.members(self.evaluator).iter().find(|member| member.role == Role::Base) else {
            self.push("empty std::tuple");
            return Ok(true);
        };
        let mut level = Some((self.type_of(base.kind), self.member_part(base, part)?));
        while let Some((kind, part)) = level.take() {
            if elements.len() >= ELEMENTS {
                break;
            }
            let budget = self.evaluator.budget;
            for member in kind.members(self.evaluator).iter().filter(|member| member.role == Role::Base) {
                let inner = self.type_of(member.kind);
                let name = inner.die.and_then(|die| die.name(&die.entry(budget)?, budget)).unwrap_or_default();
                let place = self.member_part(member, part)?;
                if name.starts_with("_Tuple_impl<") {
                    level = Some((inner, place));
                } else if let Some(head) = self.inner(&inner, place, "_M_head_impl") {
                    elements.push(head);
                } else {
                    elements.push((inner, place));
                }
            }
        }
        self.push("std::tuple containing = {");
        for (index, (kind, part)) in elements.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.push(&format!("[{}] = ", index + 1));
            self.value(kind, *part, depth + 1);
        }
        self.push("}");
        Ok(true)
    }

    fn pair(&mut self, kind: &Type<'a, 'i>, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let (Some(first), Some(second)) = (self.inner(kind, part, "first"), self.inner(kind, part, "second")) else {
            return Ok(false);
        };
        self.push("{first = ");
        self.value(&first.0, first.1, depth + 1);
        self.push(", second = ");
        self.value(&second.0, second.1, depth + 1);
        self.push("}");
        Ok(true)
    }

    fn atomic(&mut self, kind: &Type<'a, 'i>, arguments: &str, part: Part<'_>, depth: usize) -> Result<bool, Fault> {
        let names = ["_M_i", "_M_base", "_M_p", "_M_fp"];
        let Some((content, place)) = names.iter().find_map(|name| self.inner(kind, part, name)) else {
            return Ok(false);
        };
        let (content, place) = self.inner(&content, place, "_M_i").unwrap_or((content, place));
        self.push(&format!("std::atomic<{}> = {{ ", first_argument(&format!("{arguments} "))));
        self.value(&content, place, depth + 1);
        self.push(" }");
        Ok(true)
    }
}

/// Templates of `std` that are shown by their elements.
const KNOWN: &[&str] = &[
    "basic_string",
    "basic_string_view",
    "vector",
    "deque",
    "list",
    "map",
    "multimap",
    "set",
    "multiset",
    "unordered_map",
    "unordered_multimap",
    "unordered_set",
    "unordered_multiset",
    "unique_ptr",
    "shared_ptr",
    "weak_ptr",
    "optional",
    "variant",
    "tuple",
    "pair",
    "atomic",
];

fn counted(count: u64) -> String {
    if count == 1 { "1 element".to_owned() } else { format!("{count} elements") }
}

/// Alignment of a type, as far as its size tells: libraries align an element to at most 16 bytes.
fn alignment(kind: &Type<'_, '_>) -> u64 {
    if kind.size == 16 && matches!(kind.kind, Kind::Base(_)) { 16 } else { 8.min(kind.size.next_power_of_two()).max(1) }
}

/// `int` of `int, std::allocator<int> >`.
fn first_argument(arguments: &str) -> String {
    let mut depth = 0;
    let end = arguments.char_indices().find(|(_, character)| {
        match character {
            '<' | '(' => depth += 1,
            '>' | ')' if depth > 0 => depth -= 1,
            '>' | ',' if depth == 0 => return true,
            _ => {}
        }
        false
    });
    shortened(arguments.get(..end.map_or(arguments.len(), |(end, _)| end)).unwrap_or(arguments).trim())
}

/// `std::string` by its short name.
fn shortened(name: &str) -> String {
    name.replace("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_argument_ends_at_its_comma() {
        let cases = [
            ("int>", "int"),
            ("int, std::default_delete<int> >", "int"),
            ("std::map<int, long>, x>", "std::map<int, long>"),
            ("void (int, int)>", "void (int, int)"),
            ("", ""),
            ("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >", "std::string"),
        ];
        for (arguments, want) in cases {
            assert_eq!(first_argument(arguments), want);
        }
    }
}
