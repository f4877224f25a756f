"""Variables of all frames of the program's own file, innermost first, as JSON: what gdb's `bt full` shows."""
import json

import gdb

SCALARS = {gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_FLT, gdb.TYPE_CODE_PTR}


def shown(symbol, frame):
    entry = {"name": symbol.print_name, "scalar": False, "value": ""}
    try:
        entry["scalar"] = symbol.type.strip_typedefs().code in SCALARS
        value = symbol.value(frame) if symbol.needs_frame else symbol.value()
        if value.is_optimized_out:
            entry["value"] = "<optimized out>"
        elif value.type.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            entry["value"] = value.format_string(deref_refs=True)
        else:
            entry["value"] = value.format_string()
    except (gdb.error, RuntimeError, ValueError) as error:
        entry["value"] = f"<error: {error}>"
    except KeyboardInterrupt:  # how an internal error of gdb arrives when it is told not to quit
        entry["value"] = "<internal error of gdb>"
    return entry


def is_enumerator(symbol):
    kind = symbol.type
    return kind.code == gdb.TYPE_CODE_ENUM and symbol.name in [field.name for field in kind.fields()]


frames = []
frame = gdb.newest_frame()
while frame is not None:
    frame.select()  # bounds of arrays are evaluated in the selected frame
    variables = {"arguments": [], "locals": []}
    try:
        block = frame.block()
    except RuntimeError:
        block = None
    own = gdb.solib_name(frame.pc()) is None and block is not None
    while block is not None and not block.is_global and not block.is_static:
        for symbol in block:
            if symbol.is_argument:
                variables["arguments"].append(shown(symbol, frame))
            elif symbol.is_variable or (symbol.is_constant and not is_enumerator(symbol)):
                variables["locals"].append(shown(symbol, frame))
        if block.function is not None:
            break
        block = block.superblock
    if own:
        tail = frame.type() == gdb.TAILCALL_FRAME
        frames.append({"pc": frame.pc(), "function": frame.name(), "tail": tail, **variables})
    frame = frame.older()
with open("gdb.json", "w", encoding="utf-8") as file:
    json.dump(frames, file)
