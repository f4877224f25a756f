//! The variables of one frame, evaluated and written.

use retrace_types::Variable;

use super::{
    FrameContext, Function,
    dies::{Budget, Die},
    expression::Evaluator,
    print::{Printer, fault_text},
    scope::{Seen, scope},
    types::{Kind, Language, Types},
    value::{Fault, Value},
};

/// A function in a frame, as the walker found it.
#[derive(Clone, Copy)]
pub struct Place<'a, 'i> {
    /// The function whose variables are wanted: one that is inlined, or `subprogram`.
    pub function: Function<'a, 'i>,
    /// The function that is not inlined, of the same unit: it has the frame.
    pub subprogram: Function<'a, 'i>,
    /// Address of the file that names and places are looked up for: the program counter, less one for a frame that
    /// called.
    pub pc: u64,
}

/// How much of a frame's variables is read and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Show containers of libstdc++ and Rust by their elements, as gdb does with the printers that come with them;
    /// else as the structures that they are.
    pub containers: bool,
    /// Work for one frame: entries of debug information, operations of expressions, reads of memory (1 for 16 bytes).
    pub max_work: u64,
    /// Longest text of one value, in bytes.
    pub max_value_bytes: usize,
    /// Most variables of one frame.
    pub max_variables: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { containers: true, max_work: 4_000_000, max_value_bytes: 16 * 1024, max_variables: 4096 }
    }
}

/// The variables of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// In the order of the declaration.
    pub arguments: Vec<Variable>,
    /// Those of the innermost block first.
    pub locals: Vec<Variable>,
    /// True if a limit cut them.
    pub cut: bool,
}

/// Names and values of the arguments and locals of a function in a frame.
#[must_use]
pub fn variables<'a, 'i>(place: Place<'a, 'i>, context: &dyn FrameContext<'i>, options: &Options) -> Variables {
    let budget = Budget::new(options.max_work);
    let function = Die::new(place.function);
    let mut scope = scope(function, place.pc, &budget);
    let left = options.max_variables.saturating_sub(scope.arguments.len().min(options.max_variables));
    let cut = scope.arguments.len() > options.max_variables || scope.locals.len() > left;
    scope.arguments.truncate(options.max_variables);
    scope.locals.truncate(left);

    let evaluator = Evaluator::new(context, Die::new(place.subprogram), place.pc, &budget);
    let types = Types::default();
    let language = Language::of(function, &evaluator);
    let written = |seen: &Seen<'a, 'i>| variable(seen, &evaluator, &types, language, options);
    let arguments = scope.arguments.iter().map(written).collect();
    let locals = scope.locals.iter().map(written).collect();
    Variables { arguments, locals, cut: cut || budget.is_used_up() }
}

fn variable<'a, 'i>(
    seen: &Seen<'a, 'i>,
    evaluator: &Evaluator<'_, 'a, 'i>,
    types: &Types<'a, 'i>,
    language: Language,
    options: &Options,
) -> Variable {
    let type_die = seen
        .die
        .inherited(&seen.entry, gimli::DW_AT_type, evaluator.budget)
        .and_then(|(die, value)| die.follow(&value));
    let kind = types.get(type_die, evaluator);
    let value = match kind.kind {
        Kind::Void | Kind::Incomplete => Ok(Value::zeroed(0)),
        _ => evaluator.variable(seen.die, &seen.entry, kind.size),
    };
    let printer = Printer::new(evaluator, types, language, options.containers, options.max_value_bytes);
    let name = seen.name.clone();
    match value {
        Ok(value) => Variable { name, value: printer.written(&kind, value.part()), note: None },
        // A reference to something without an address, or a structure of one, is shown by what it refers to.
        Err(fault @ Fault::SyntheticPointer { .. }) => {
            let mut value = Value::zeroed(usize::try_from(kind.size).unwrap_or(0));
            value.set_missing(0..usize::MAX, fault);
            Variable { name, value: printer.written(&kind, value.part()), note: None }
        }
        Err(fault) => {
            let note = match &fault {
                Fault::OptimizedOut(why) => Some(why.to_string()),
                _ => None,
            };
            Variable { name, value: fault_text(&fault), note }
        }
    }
}
