//! From a thread's registers to the frames of its stack.

use std::cell::OnceCell;

use gimli::{Encoding, EvaluationResult, Format, Location, Value};
use retrace_coredump::{Module, Thread};
use retrace_types::Trust;

use crate::{
    Limits,
    cfi::{Cfi, Row, Rule},
    image::{Image, Reader},
    machine::{Machine, RegisterFile},
    memory::Memory,
};

/// A frame of a stack, as the machine has it: inlined functions share it.
#[derive(Clone, Debug)]
pub(crate) struct PhysicalFrame {
    pub(crate) pc: u64,
    /// The address to look up: `pc`, or one less where `pc` is where a call returns to, which may be another function.
    pub(crate) lookup: u64,
    pub(crate) registers: RegisterFile,
    /// Canonical frame address, where it could be computed.
    pub(crate) cfa: Option<u64>,
    /// The frame that the kernel made to call a signal handler.
    pub(crate) is_signal: bool,
    pub(crate) trust: Trust,
    /// Index of the module that the code lies in.
    pub(crate) module: Option<usize>,
}

/// The frames of a thread, innermost first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stack {
    pub(crate) frames: Vec<PhysicalFrame>,
    /// Why it ends before its outermost frame, if it does.
    pub(crate) broken: Option<String>,
}

/// Walks stacks of one process.
pub(crate) struct Walker<'i> {
    pub(crate) machine: &'static Machine,
    pub(crate) memory: Memory<'i>,
    pub(crate) modules: &'i [Module],
    images: &'i [Image],
    tables: Vec<OnceCell<Cfi<'i>>>,
    limits: &'i Limits,
}

/// What comes after a frame.
enum Step {
    Caller(Box<PhysicalFrame>),
    Outermost,
    Lost(String),
}

impl<'i> Walker<'i> {
    pub(crate) fn new(
        machine: &'static Machine,
        memory: Memory<'i>,
        modules: &'i [Module],
        images: &'i [Image],
        limits: &'i Limits,
    ) -> Self {
        let tables = images.iter().map(|_| OnceCell::new()).collect();
        Self { machine, memory, modules, images, tables, limits }
    }

    pub(crate) fn walk(&self, thread: &Thread) -> Stack {
        let Some(pc) = thread.registers.pc() else {
            return Stack { frames: Vec::new(), broken: Some("the core was cut off within its registers".to_owned()) };
        };
        let registers = self.machine.registers(&thread.registers);
        let mut stack = Stack::default();
        let mut frame = self.frame(pc, pc, registers, Trust::Context);
        loop {
            let step = self.step(&mut frame, stack.frames.last());
            let is_last = stack.frames.len() + 1 >= self.limits.max_frames_per_thread;
            stack.frames.push(frame);
            match step {
                Step::Outermost => return stack,
                Step::Lost(reason) => {
                    stack.broken = Some(reason);
                    return stack;
                }
                Step::Caller(_) if is_last => {
                    stack.broken = Some(format!("the limit of {} frames", self.limits.max_frames_per_thread));
                    return stack;
                }
                Step::Caller(caller) => frame = *caller,
            }
        }
    }

    fn frame(&self, pc: u64, lookup: u64, registers: RegisterFile, trust: Trust) -> PhysicalFrame {
        let module = self.memory.module_at(lookup);
        PhysicalFrame { pc, lookup, registers, cfa: None, is_signal: false, trust, module }
    }

    /// The address in the file, and the tables that may tell about it.
    fn tables(&self, frame: &PhysicalFrame) -> Option<(u64, &Cfi<'i>)> {
        let index = frame.module?;
        let bias = self.modules.get(index)?.load_bias?;
        let cfi = self.tables.get(index)?.get_or_init(|| self.images.get(index).map(Cfi::of).unwrap_or_default());
        Some((frame.lookup.wrapping_sub(bias), cfi))
    }

    /// Completes the frame and finds its caller.
    fn step(&self, frame: &mut PhysicalFrame, callee: Option<&PhysicalFrame>) -> Step {
        let row = self.tables(frame).and_then(|(address, cfi)| {
            // The kernel's trampoline is looked up one byte before it begins, if its table covers that (glibc's does).
            cfi.row(address).or_else(|| {
                (frame.lookup != frame.pc).then(|| cfi.row(address.wrapping_add(1)))?.filter(|row| row.is_signal)
            })
        });
        let step = match row {
            Some(row) => self.by_rules(frame, &row),
            None => self.by_convention(frame, callee),
        };
        match step {
            Step::Caller(caller) if caller.pc == 0 => Step::Outermost,
            Step::Caller(mut caller) => match self.is_progress(frame, callee, &caller) {
                Ok(()) => {
                    // Rules that start from a guess are no better than it.
                    if frame.trust == Trust::Scan {
                        caller.trust = Trust::Scan;
                    }
                    Step::Caller(caller)
                }
                Err(reason) => Step::Lost(reason),
            },
            other => other,
        }
    }

    fn by_rules(&self, frame: &mut PhysicalFrame, row: &Row<'i>) -> Step {
        frame.is_signal = row.is_signal;
        let Some(cfa) = self.cfa(frame, row) else {
            return Step::Lost("the address of its frame cannot be computed".to_owned());
        };
        frame.cfa = Some(cfa);
        let mut registers = frame.registers.clone();
        // The stack pointer of the caller is the CFA where nothing else is said (psABIs).
        registers.set(self.machine.stack_pointer, Some(cfa));
        let mut has_return_address = false;
        for (register, rule) in &row.registers {
            let value = self.restore(frame, *register, rule, cfa, row.address_size);
            if *register == row.return_address {
                has_return_address = true;
                if matches!(rule, Rule::Undefined) {
                    return Step::Outermost;
                }
            }
            registers.set(*register, value);
        }
        if !has_return_address && self.machine.link.is_none() {
            return Step::Lost("no rule tells where its return address is".to_owned());
        }
        let Some(pc) = registers.get(row.return_address) else {
            return Step::Lost("the stack that holds its return address is not in the core".to_owned());
        };
        let pc = if row.is_signal { pc } else { pc & self.machine.address_mask };
        let lookup = if row.is_signal { pc } else { pc.wrapping_sub(1) };
        let trust = Trust::Cfi;
        Step::Caller(Box::new(self.frame(pc, lookup, registers, trust)))
    }

    fn cfa(&self, frame: &PhysicalFrame, row: &Row<'i>) -> Option<u64> {
        match &row.cfa {
            Rule::RegisterPlus(register, offset) => Some(frame.registers.get(*register)?.wrapping_add_signed(*offset)),
            Rule::Value(expression) => self.evaluate(frame, *expression, None, row.address_size),
            _ => None,
        }
    }

    fn restore(
        &self,
        frame: &PhysicalFrame,
        register: gimli::Register,
        rule: &Rule<'i>,
        cfa: u64,
        address_size: u8,
    ) -> Option<u64> {
        match rule {
            Rule::Undefined => None,
            Rule::Same => frame.registers.get(register),
            Rule::AtCfa(offset) => self.memory.word(cfa.wrapping_add_signed(*offset)),
            Rule::CfaPlus(offset) => Some(cfa.wrapping_add_signed(*offset)),
            Rule::RegisterPlus(other, offset) => Some(frame.registers.get(*other)?.wrapping_add_signed(*offset)),
            Rule::At(expression) => self.memory.word(self.evaluate(frame, *expression, Some(cfa), address_size)?),
            Rule::Value(expression) => self.evaluate(frame, *expression, Some(cfa), address_size),
            Rule::Constant(value) => Some(*value),
        }
    }

    /// Of the operations, call frame information may use registers and memory alone (DWARF 5 section 6.4.2).
    fn evaluate(
        &self,
        frame: &PhysicalFrame,
        expression: gimli::Expression<Reader<'i>>,
        initial: Option<u64>,
        address_size: u8,
    ) -> Option<u64> {
        let mut evaluation = expression.evaluation(Encoding { address_size, format: Format::Dwarf32, version: 4 });
        evaluation.set_max_iterations(self.limits.max_expression_steps);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().ok()?;
        for _ in 0..self.limits.max_expression_steps {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(frame.registers.get(register)?)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    evaluation.resume_with_memory(Value::Generic(self.memory.number(address, size).ok()?)).ok()?
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    let bias = frame.module.and_then(|index| self.modules.get(index)?.load_bias)?;
                    evaluation.resume_with_relocated_address(address.wrapping_add(bias)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address),
            Location::Value { value } => value.to_u64(u64::MAX).ok(),
            _ => None,
        }
    }

    /// Without call frame information: a call that went wrong, frame pointers, and at last a guess.
    fn by_convention(&self, frame: &PhysicalFrame, callee: Option<&PhysicalFrame>) -> Step {
        let sp = frame.registers.get(self.machine.stack_pointer);
        let begins = callee.is_none() || callee.is_some_and(|callee| callee.is_signal);
        if begins && !self.memory.is_code(frame.pc) {
            // Called through a bad pointer: nothing was run of the function, so the return address is where the call put it.
            let (at, registers) = match self.machine.link {
                Some(link) => (frame.registers.get(link), frame.registers.clone()),
                None => {
                    let mut registers = frame.registers.clone();
                    registers
                        .set(self.machine.stack_pointer, sp.map(|sp| sp.wrapping_add(self.machine.word_bytes.into())));
                    (sp.and_then(|sp| self.memory.word(sp)), registers)
                }
            };
            if let Some(pc) = at.map(|pc| pc & self.machine.address_mask).filter(|pc| self.is_return_address(*pc)) {
                return Step::Caller(Box::new(self.frame(pc, pc.wrapping_sub(1), registers, Trust::FramePointer)));
            }
        }
        self.by_frame_pointer(frame, sp).or_else(|| self.by_scan(frame, sp)).unwrap_or_else(|| {
            Step::Lost("nothing tells where its caller is: no call frame information, no frame pointer".to_owned())
        })
    }

    fn by_frame_pointer(&self, frame: &PhysicalFrame, sp: Option<u64>) -> Option<Step> {
        let (saved, back, size) = self.machine.chain?;
        let fp = frame.registers.get(self.machine.frame_pointer)?;
        if fp < sp? || !fp.is_multiple_of(self.machine.word_bytes.into()) {
            return None;
        }
        let caller_fp = self.memory.word(fp.wrapping_add_signed(saved))?;
        let pc = self.memory.word(fp.wrapping_add_signed(back))? & self.machine.address_mask;
        if pc == 0 && caller_fp == 0 {
            return Some(Step::Outermost);
        }
        if !self.is_return_address(pc) {
            return None;
        }
        let mut registers = RegisterFile::default();
        registers.set(self.machine.frame_pointer, Some(caller_fp));
        registers.set(self.machine.stack_pointer, Some(fp.wrapping_add(size)));
        Some(Step::Caller(Box::new(self.frame(pc, pc.wrapping_sub(1), registers, Trust::FramePointer))))
    }

    /// The nearest word of the stack that a call could have put there.
    fn by_scan(&self, frame: &PhysicalFrame, sp: Option<u64>) -> Option<Step> {
        let (sp, size) = (sp?, u64::from(self.machine.word_bytes));
        for number in 0..self.limits.max_scanned_words as u64 {
            let at = sp.checked_add(number * size)?;
            let pc = self.memory.word(at)?;
            if self.is_return_address(pc) && self.memory.module_at(pc).is_some() {
                let mut registers = RegisterFile::default();
                registers.set(self.machine.frame_pointer, frame.registers.get(self.machine.frame_pointer));
                registers.set(self.machine.stack_pointer, Some(at.wrapping_add(size)));
                return Some(Step::Caller(Box::new(self.frame(pc, pc.wrapping_sub(1), registers, Trust::Scan))));
            }
        }
        None
    }

    /// Whether a call could return there: it is code, and on x86 a call stands before it.
    fn is_return_address(&self, pc: u64) -> bool {
        if pc == 0 || !self.memory.is_code(pc.wrapping_sub(1)) {
            return false;
        }
        if self.machine.link.is_some() {
            return true;
        }
        let mut before = [0; 7];
        match self.memory.read(pc.wrapping_sub(7), &mut before) {
            Ok(()) => is_call(before),
            Err(_) => true,
        }
    }

    /// Stacks grow down: a caller's frame lies above, unless a signal handler has a stack of its own.
    fn is_progress(
        &self,
        frame: &PhysicalFrame,
        callee: Option<&PhysicalFrame>,
        caller: &PhysicalFrame,
    ) -> Result<(), String> {
        if frame.is_signal {
            return Ok(());
        }
        let sp = |frame: &PhysicalFrame| frame.registers.get(self.machine.stack_pointer);
        let (Some(own), Some(above)) = (sp(frame), sp(caller)) else { return Ok(()) };
        let is_first = callee.is_none_or(|callee| callee.is_signal);
        // A leaf function of a machine with a link register has no frame at all.
        if above < own || (above == own && !(is_first && self.machine.link.is_some())) {
            return Err("its caller's frame would not lie above it: the stack is corrupt".to_owned());
        }
        if !self.memory.is_mapped(above.wrapping_sub(1)) {
            return Err("its caller's frame lies in no memory of the process: the stack is corrupt".to_owned());
        }
        Ok(())
    }
}

/// Whether the last of these bytes end a call of x86: `e8` and four bytes, or `ff /2` in its lengths of 2 to 7 bytes.
fn is_call(before: [u8; 7]) -> bool {
    let [a, b, c, d, e, f, g] = before;
    let indirect = |opcode: u8, operand: u8| opcode == 0xff && operand & 0x38 == 0x10;
    c == 0xe8 || indirect(f, g) || indirect(e, f) || indirect(d, e) || indirect(b, c) || indirect(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_other_instructions() {
        assert!(is_call([0, 0, 0xe8, 1, 2, 3, 4]), "relative");
        assert!(is_call([0, 0, 0, 0, 0, 0xff, 0xd0]), "call *%rax");
        assert!(is_call([0, 0, 0, 0, 0xff, 0x50, 0x10]), "call *0x10(%rax)");
        assert!(is_call([0, 0xff, 0x15, 1, 2, 3, 4]), "call *0x4030201(%rip)");
        assert!(!is_call([0x90; 7]));
        assert!(!is_call([0, 0, 0, 0, 0, 0xff, 0xe0]), "jmp *%rax");
    }
}
