//! Writes values as gdb's `print` and `bt full` write them.

mod arrays;
mod containers;
mod number;
mod pointers;
mod rust;
mod scalars;
mod structures;
mod text;

use super::{
    dies::{Die, DieId},
    expression::Evaluator,
    types::{Kind, Language, Type, Types},
    value::{Fault, Part},
};

/// Structures in structures (`print max-depth`).
const MAX_DEPTH: usize = 20;

/// Writes the value of one variable.
pub(crate) struct Printer<'p, 'c, 'a, 'i> {
    pub(crate) evaluator: &'p Evaluator<'c, 'a, 'i>,
    pub(crate) types: &'p Types<'a, 'i>,
    pub(crate) language: Language,
    /// Show containers of libraries by their elements.
    pub(crate) containers: bool,
    /// Longest text, in bytes.
    pub(crate) max_bytes: usize,
    out: String,
    /// Virtual bases of the object that is written, each of which it has once.
    virtual_bases: Vec<DieId>,
    /// Static members that are being written, by address: one may hold its own type.
    statics: Vec<u64>,
}

impl<'p, 'c, 'a, 'i> Printer<'p, 'c, 'a, 'i> {
    pub(crate) fn new(
        evaluator: &'p Evaluator<'c, 'a, 'i>,
        types: &'p Types<'a, 'i>,
        language: Language,
        containers: bool,
        max_bytes: usize,
    ) -> Self {
        let (out, virtual_bases, statics) = (String::new(), Vec::new(), Vec::new());
        Self { evaluator, types, language, containers, max_bytes, out, virtual_bases, statics }
    }

    /// The text of a value.
    pub(crate) fn written(mut self, kind: &Type<'a, 'i>, part: Part<'_>) -> String {
        self.value(kind, part, 0);
        if self.out.len() > self.max_bytes {
            let end = (0..=self.max_bytes).rev().find(|end| self.out.is_char_boundary(*end)).unwrap_or(0);
            self.out.truncate(end);
            self.out.push_str("...");
        }
        self.out
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// True if nothing more has to be written.
    fn is_full(&self) -> bool {
        self.out.len() > self.max_bytes || self.evaluator.budget.is_used_up()
    }

    fn fault(&mut self, fault: &Fault) {
        self.out.push_str(&fault_text(fault));
    }

    fn type_of(&self, die: Option<Die<'a, 'i>>) -> std::rc::Rc<Type<'a, 'i>> {
        self.types.get(die, self.evaluator)
    }

    fn big_endian(&self) -> bool {
        self.evaluator.big_endian()
    }

    /// Writes a value. Depth 0 is the variable itself.
    fn value(&mut self, kind: &Type<'a, 'i>, part: Part<'_>, depth: usize) {
        if self.is_full() || !self.evaluator.budget.take(1) {
            return self.push("...");
        }
        let result = match &kind.kind {
            Kind::Base(encoding) => self.base(kind, *encoding, part),
            Kind::Enumeration => self.enumeration(kind, part),
            Kind::Pointer(target) => self.pointer(*target, kind.size, part),
            Kind::Reference(target) => self.reference(*target, kind.size, part, depth),
            Kind::MemberPointer { of_function } => self.member_pointer(kind, *of_function, part),
            Kind::Structure { .. } | Kind::Array { .. } if depth > MAX_DEPTH => {
                self.push("{...}");
                Ok(())
            }
            Kind::Structure { union } => self.structure(kind, *union, part, depth),
            Kind::Array { element, dimensions } => self.array(kind, *element, dimensions, part, depth),
            Kind::Text => part.bytes(kind.size).map(|bytes| {
                self.push(&text::quoted(bytes, 1, false, "", '\'', false));
            }),
            Kind::Function => {
                self.function(part);
                Ok(())
            }
            Kind::Incomplete => {
                self.push("<incomplete type>");
                Ok(())
            }
            Kind::Void => {
                self.push("void");
                Ok(())
            }
            Kind::Other => self.other(kind, part),
        };
        if let Err(fault) = result {
            self.fault(&fault);
        }
    }

    /// A type that has a name only, such as that of `nullptr`.
    fn other(&mut self, kind: &Type<'a, 'i>, part: Part<'_>) -> Result<(), Fault> {
        let name = kind.die.and_then(|die| die.name(&die.entry(self.evaluator.budget)?, self.evaluator.budget));
        if name.as_deref() == Some("decltype(nullptr)") {
            self.push("0x0");
            return Ok(());
        }
        if !(1..=16).contains(&kind.size) {
            return Err(Fault::Unusable("a type of an unknown kind"));
        }
        let text = number::integer(part.bytes(kind.size)?, false, self.big_endian());
        self.push(&text);
        Ok(())
    }
}

/// What stands in the place of a value that cannot be had.
pub(crate) fn fault_text(fault: &Fault) -> String {
    match fault {
        Fault::OptimizedOut(_) => "<optimized out>".to_owned(),
        Fault::SyntheticPointer { .. } => "<synthetic pointer>".to_owned(),
        Fault::Unreadable(address) => format!("<error: Cannot access memory at address {address:#x}>"),
        Fault::TooLarge(size) => {
            format!("<error: value requires {size} bytes, which is more than max-value-size>")
        }
        Fault::Unusable(reason) => format!("<error: {reason}>"),
        Fault::Limit => "<error: the limit on work for this frame is reached>".to_owned(),
    }
}
