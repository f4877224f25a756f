# Runs inside gdb, inside the sandbox. Reads REQUEST (set by the line before this file), loads the core, and writes
# gdb's own text to standard output, interleaved with JSON records of our own.
#
# Stream: text NUL record NUL text NUL record NUL ... The text after a record belongs to it. Neither gdb's text nor
# JSON ever holds a NUL byte, so nothing in a core or in a debug file can pass for a record.
#
# Every frame is unwound once: the text of a thread is printed and its frames are walked while gdb keeps them cached.
# Values are printed once, by gdb's `backtrace full`; the reader of the stream takes them from the text.

import bisect
import json
import os
import re

import gdb


def emit(record):
    gdb.flush(gdb.STDOUT)
    data = b"\0" + json.dumps(record).encode("ascii") + b"\0"
    while data:
        data = data[os.write(1, data):]


def say(text):
    gdb.write(text)


def attempt(command):
    """Runs a command of gdb; True if it exists and worked. The debuggers of ten years differ in both."""
    try:
        gdb.execute(command)
        return True
    except (gdb.error, gdb.MemoryError, RuntimeError):
        return False


def known(command):
    try:
        gdb.execute("help " + command, to_string=True)
        return True
    except gdb.error:
        return False


def safe(function, *args):
    """The value, or None where gdb or the decoding of a name fails: one bad symbol must not cost the thread."""
    try:
        return function(*args)
    except (gdb.error, gdb.MemoryError, RuntimeError, UnicodeError, ValueError, TypeError):
        return None


def quoted(path):
    return re.sub(r"([^A-Za-z0-9_/.+=:@%-])", r"\\\1", path)


def settings():
    for setting in (
        "confirm off",
        "pagination off",
        "width 0",
        "height 0",
        "style enabled off",
        "print pretty off",
        "print elements 200",
        "print repeats 10",
        "print max-depth 20",
        "print frame-arguments scalars",
        "max-value-size 65536",
        "debuginfod enabled off",
        "index-cache enabled off",
        "auto-load local-gdbinit off",
        "auto-load safe-path " + REQUEST["sysroot"],
        "libthread-db-search-path $sdir",
        "debug-file-directory " + REQUEST["debug"],
        "solib-search-path " + REQUEST["libraries"],
        "sysroot " + REQUEST["sysroot"],
    ):
        attempt("set " + setting)


def load():
    if REQUEST["executable"]:
        attempt("file " + quoted(REQUEST["sysroot"] + REQUEST["executable"]))
    gdb.execute("core-file " + REQUEST["core"])


def loaded_files():
    return {os.path.realpath(objfile.filename) for objfile in gdb.objfiles() if objfile.filename}


def add_unlisted():
    """Loads the modules that the dynamic linker's list does not name: there is no list without the executable, and a
    wild write may have cut it. Their addresses are those of the kernel's list of mapped files."""
    loaded = loaded_files()
    bases = {}
    for module in REQUEST["modules"]:
        if os.path.realpath(REQUEST["sysroot"] + module["path"]) not in loaded:
            bases[module["path"]] = module["base"]
    if not bases:
        return
    try:
        mappings = gdb.execute("info proc mappings", to_string=True)
    except (gdb.error, UnicodeError):
        return
    for line in mappings.splitlines():
        row = re.match(r"\s*0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+(.*\S)", line)
        base = bases.pop(row.group(3), None) if row else None
        if base is not None:
            offset = int(row.group(1), 16) - int(row.group(2), 16) - base
            path = quoted(REQUEST["sysroot"] + row.group(3))
            try:
                gdb.execute("add-symbol-file %s -o %d" % (path, offset), to_string=True)
            except (gdb.error, UnicodeError):
                pass


class Unwinding:
    """Tells how a frame was found from the program counter of the frame below it."""

    def __init__(self):
        self.ranges = []
        self.with_cfi = set()
        sections = safe(gdb.execute, "info files", False, True) or ""
        for line in sections.splitlines():
            row = re.match(r"\s*0x([0-9a-f]+) - 0x([0-9a-f]+) is (\S+)(?: in (.*))?$", line)
            # The sections of the core itself, `load12`, hold memory, not code of a file.
            if not row or re.match(r"load\d", row.group(3)):
                continue
            path = row.group(4) or ""
            if row.group(3) in (".eh_frame", ".debug_frame"):
                self.with_cfi.add(path)
            else:
                self.ranges.append((int(row.group(1), 16), int(row.group(2), 16), path))
        self.ranges.sort()
        self.starts = [start for start, _, _ in self.ranges]

    def out_of(self, pc):
        at = bisect.bisect_right(self.starts, pc) - 1
        if at < 0 or pc >= self.ranges[at][1]:
            return "scan"
        return "cfi" if self.ranges[at][2] in self.with_cfi else "frame-pointer"


def thread_record(limit, unwinding):
    """The frames of the selected thread, innermost first, at most `limit`."""
    frames = []
    trust = "context"
    frame = gdb.newest_frame()
    more = False
    stop = None
    while frame is not None:
        if len(frames) == limit:
            more = True
            break
        kind = frame.type()
        pc = frame.pc()
        sal = safe(frame.find_sal)
        symtab = sal.symtab if sal is not None else None
        frames.append(
            [
                pc,
                safe(frame.name),
                safe(lambda: symtab.filename) if symtab is not None else None,
                sal.line if symtab is not None else 0,
                kind == gdb.INLINE_FRAME,
                kind == gdb.SIGTRAMP_FRAME,
                trust,
            ]
        )
        if kind == gdb.SIGTRAMP_FRAME:
            trust = "context"
        elif kind == gdb.TAILCALL_FRAME:
            trust = "cfi"
        elif kind != gdb.INLINE_FRAME:
            trust = unwinding.out_of(pc)
        older = safe(frame.older)
        if older is None:
            reason = safe(frame.unwind_stop_reason)
            if reason not in (None, gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
                stop = gdb.frame_stop_reason_string(reason)
        frame = older
    return {"frames": frames, "more": more, "stop": stop}


def print_threads():
    threads = sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num)
    left = REQUEST["max_frames"]
    unwinding = Unwinding()
    for thread in threads:
        if left == 0:
            emit({"section": "limit"})
            return
        limit = min(left, REQUEST["max_frames_per_thread"])
        thread.switch()
        emit({"section": "thread", "tid": thread.ptid[1] or thread.ptid[0]})
        try:
            gdb.execute("thread apply %d -c backtrace full %d" % (thread.num, limit))
        except (gdb.error, gdb.MemoryError) as error:
            say("%s\n" % error)
        record = safe(thread_record, limit, unwinding) or {"frames": [], "more": False, "stop": None}
        left -= len(record["frames"])
        record["section"] = "frames"
        emit(record)
    if threads:
        threads[0].switch()


def print_python():
    if not known("py-bt"):
        return
    emit({"section": "python"})
    for command in ("py-bt", "py-list", "py-locals"):
        attempt(command)


def has_glib():
    """A symbol that is nowhere costs a search through everything: a tenth of the whole time in small programs."""
    return any("libglib-2" in (objfile.filename or "") for objfile in gdb.objfiles())


def print_rest():
    for section, command in (
        ("libraries", "info sharedlib"),
        ("abort-message", "print (char*)__abort_msg"),
        ("glib-message", "print (char*)__glib_assert_msg"),
        ("registers", "info registers"),
        ("disassembly", "disassemble"),
    ):
        if section != "glib-message" or has_glib():
            emit({"section": section})
            attempt(command)


def main():
    settings()
    emit({"section": "start", "version": gdb.VERSION})
    try:
        load()
    except (gdb.error, gdb.MemoryError) as error:
        emit({"section": "unreadable", "reason": str(error)})
        return
    add_unlisted()
    print_python()
    print_threads()
    print_rest()
    emit({"section": "end"})


main()
