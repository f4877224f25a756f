"""The referee's view of a core: gdb runs this and writes every thread's frames as JSON.

    gdb -nx -batch -iex 'set ...' EXECUTABLE CORE -ex 'python OUTPUT = "gdb.json"; LIMIT = 2000' -x gdb_export.py

A frame has pc, kind (normal, inline, tail-call, signal, other), function, file as debug information names it, fullname,
line, and, in the order of gdb, arguments and locals: name, value as `bt full` prints it, scalar (true for numbers,
characters, booleans, enumerators, pointers and references to those) and state (value, optimized-out, unavailable).
Locals are those of `info locals`, labels left out: the innermost block first, up to the function's.
"""
import json

import gdb

KINDS = {
    gdb.NORMAL_FRAME: "normal",
    gdb.INLINE_FRAME: "inline",
    gdb.TAILCALL_FRAME: "tail-call",
    gdb.SIGTRAMP_FRAME: "signal",
}
SCALARS = {
    gdb.TYPE_CODE_INT,
    gdb.TYPE_CODE_CHAR,
    gdb.TYPE_CODE_BOOL,
    gdb.TYPE_CODE_ENUM,
    gdb.TYPE_CODE_FLT,
    gdb.TYPE_CODE_PTR,
}
REFERENCES = {gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF}
LONGEST_VALUE = 4096  # characters


def is_scalar(kind):
    kind = kind.strip_typedefs()
    if kind.code in REFERENCES:
        kind = kind.target().strip_typedefs()
    return kind.code in SCALARS


def variable(symbol, frame):
    """One argument or local, as JSON."""
    entry = {"name": symbol.print_name, "scalar": False, "state": "unavailable", "value": ""}
    try:
        entry["scalar"] = is_scalar(symbol.type)
        value = symbol.value(frame) if symbol.needs_frame else symbol.value()
        if value.is_optimized_out:
            entry["state"] = "optimized-out"
        else:
            entry["value"] = value.format_string(deref_refs=True)[:LONGEST_VALUE]  # as `bt full` does
            entry["state"] = "value"
    except (gdb.error, RuntimeError, ValueError) as error:
        entry["value"] = str(error)[:LONGEST_VALUE]
    except KeyboardInterrupt:  # how an internal error of gdb arrives when it is told not to quit
        entry["value"] = "internal error"
    return entry


def is_label(symbol, block):
    """True for the label of a `goto`, which `info locals` counts among the locals."""
    found, _ = gdb.lookup_symbol(symbol.name, block, gdb.SYMBOL_LABEL_DOMAIN)
    return found is not None and found.line == symbol.line


def variables(frame):
    """Arguments and locals of a frame."""
    arguments, local = [], []
    frame.select()  # values are printed in the language of the frame that is selected
    try:
        block = frame.block()
    except RuntimeError:
        return arguments, local
    while block is not None and not block.is_global and not block.is_static:
        for symbol in block:
            if symbol.is_argument:
                arguments.append(variable(symbol, frame))
            elif (symbol.is_variable or symbol.is_constant) and not is_label(symbol, block):
                local.append(variable(symbol, frame))
        if block.function is not None:
            break
        block = block.superblock
    return arguments, local


def as_json(frame):
    place = frame.find_sal()
    table = place.symtab
    arguments, local = variables(frame)
    return {
        "pc": frame.pc(),
        "kind": KINDS.get(frame.type(), "other"),
        "function": frame.name(),
        "file": table.filename if table is not None else None,
        "fullname": table.fullname() if table is not None else None,
        "line": place.line if table is not None and place.line else None,
        "arguments": arguments,
        "locals": local,
    }


def frames(thread, limit):
    """The frames of a thread, and why there are no more."""
    thread.switch()
    found = []
    try:
        frame = gdb.newest_frame()
        while frame is not None and len(found) < limit:
            found.append(as_json(frame))
            last, frame = frame, frame.older()
        if frame is not None:
            return found, "limit"
        return found, gdb.frame_stop_reason_string(last.unwind_stop_reason())
    except gdb.error as error:
        return found, str(error)


def export(output, limit):
    threads = []
    for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
        found, end = frames(thread, limit)
        threads.append({"tid": thread.ptid[1], "end": end, "frames": found})
    with open(output, "w", encoding="utf-8") as file:
        json.dump({"gdb": gdb.VERSION, "threads": threads}, file, separators=(",", ":"))


export(OUTPUT, LIMIT)  # noqa: F821 (both are set by the command line)
