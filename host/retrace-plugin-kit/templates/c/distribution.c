// @NAME@ as Retrace sees it: releases, repositories, keys.
//
// The functions and their values are described in the contract: `retrace plugin wit` prints it, and the build generates
// `build/bindings/plugin.h` from it. There are no files, no network and no clock here, and nothing is remembered from
// one call to the next.
//
// Who frees what: a function owns its arguments and frees them; everything that it returns is freed by the bindings, so
// every string and list in an answer is allocated.

#include <string.h>
#include <stdlib.h>

#include "plugin.h"

#define ID "@ID@"
#define NAME "@NAME@"
// What builds put into the release of a package: `.@TAG@2`.
#define DIST_TAG "@TAG@"
#define MIRROR "https://mirror.example.org/@ID@/$VER/$ARCH"

// Newest first.
static const struct { const char *version, *end_of_life; } RELEASES[] = {{"2", NULL}, {"1", "2026-06-30"}};
#define SERVED "2, 1"
static const char *const ARCHITECTURES[] = {"x86_64", "aarch64"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// The generated names without their long beginning.
#define DISTRIBUTION(name) exports_retrace_distro_distribution_##name
typedef DISTRIBUTION(release_t) release_t;
typedef DISTRIBUTION(package_id_t) package_id_t;
typedef DISTRIBUTION(call_error_t) call_error_t;

// ---- Texts: a pointer and a length, for input may hold any byte.

typedef struct { const char *ptr; size_t len; } text_t;

static text_t text(const char *s) { return (text_t){s, strlen(s)}; }
static text_t view(const plugin_string_t *s) { return (text_t){(const char *)s->ptr, s->len}; }
static text_t from(text_t t, size_t at) { return (text_t){t.ptr + at, t.len - at}; }
static text_t until(text_t t, size_t at) { return (text_t){t.ptr, at}; }

static bool equal(text_t a, text_t b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }
static bool is(text_t a, const char *b) { return equal(a, text(b)); }
static bool starts_with(text_t t, text_t start) { return t.len >= start.len && equal(until(t, start.len), start); }
static bool ends_with(text_t t, text_t end) { return t.len >= end.len && equal(from(t, t.len - end.len), end); }
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Where `part` begins; `t.len` if it is not there.
static size_t find(text_t t, text_t part) {
    for (size_t i = 0; i + part.len <= t.len; i++)
        if (equal((text_t){t.ptr + i, part.len}, part)) return i;
    return t.len;
}

static bool contains(text_t t, const char *part) { return find(t, text(part)) < t.len; }

static text_t trim(text_t t) {
    while (t.len && is_space(t.ptr[0])) t = from(t, 1);
    while (t.len && is_space(t.ptr[t.len - 1])) t.len--;
    return t;
}

// Cuts `t` at the last `c`: gives what stands before it, and `behind`. False if there is none.
static bool split_last(text_t t, char c, text_t *before, text_t *behind) {
    for (size_t i = t.len; i-- > 0;)
        if (t.ptr[i] == c) {
            *before = until(t, i);
            *behind = from(t, i + 1);
            return true;
        }
    return false;
}

// The first line, and the rest in `t`. False after the last one.
static bool next_line(text_t *t, text_t *line) {
    if (!t->ptr) return false;
    size_t end = 0;
    while (end < t->len && t->ptr[end] != '\n' && t->ptr[end] != '\r') end++;
    *line = until(*t, end);
    *t = end < t->len ? from(*t, end + 1) : (text_t){NULL, 0};
    return true;
}

// 64 characters of UTF-8 at most.
static text_t cut(text_t t) {
    size_t characters = 0;
    for (size_t i = 0; i < t.len; i++)
        if (((unsigned char)t.ptr[i] & 0xc0) != 0x80 && ++characters > 64) return until(t, i);
    return t;
}

static void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) __builtin_trap();
    return memory;
}

// A new string of these parts.
static plugin_string_t join(size_t count, const text_t *parts) {
    plugin_string_t joined = {NULL, 0};
    for (size_t i = 0; i < count; i++) joined.len += parts[i].len;
    joined.ptr = allocate(joined.len);
    size_t at = 0;
    for (size_t i = 0; i < count; at += parts[i].len, i++)
        if (parts[i].len) memcpy(joined.ptr + at, parts[i].ptr, parts[i].len);
    return joined;
}
#define JOIN(...) join(COUNT(((text_t[]){__VA_ARGS__})), (text_t[]){__VA_ARGS__})
static plugin_string_t copy(text_t t) { return JOIN(t); }

// ---- Releases.

static release_t release(text_t version) {
    return (release_t){.distro = copy(text(ID)), .version = copy(version)};
}

static bool is_known(text_t version) {
    for (size_t i = 0; i < COUNT(RELEASES); i++)
        if (is(version, RELEASES[i].version)) return true;
    return false;
}

static bool by_version(text_t version, release_t *found, call_error_t *err) {
    if (is_known(version)) {
        *found = release(version);
        return true;
    }
    err->tag = RETRACE_DISTRO_TYPES_CALL_ERROR_UNSUPPORTED_RELEASE;
    err->val.unsupported_release = JOIN(text(NAME " "), cut(version), text(" (served: " SERVED ")"));
    return false;
}

static bool check(const release_t *asked, const plugin_string_t *arch, call_error_t *err) {
    text_t distro = view(&asked->distro), version = view(&asked->version);
    if (!is(distro, ID)) {
        err->tag = RETRACE_DISTRO_TYPES_CALL_ERROR_UNSUPPORTED_RELEASE;
        err->val.unsupported_release = JOIN(cut(distro), text(" "), cut(version), text(": this plugin serves " ID));
        return false;
    }
    release_t known;
    if (!by_version(version, &known, err)) return false;
    retrace_distro_types_release_free(&known);
    for (size_t i = 0; i < COUNT(ARCHITECTURES); i++)
        if (is(view(arch), ARCHITECTURES[i])) return true;
    err->tag = RETRACE_DISTRO_TYPES_CALL_ERROR_UNSUPPORTED_ARCHITECTURE;
    err->val.unsupported_architecture = JOIN(text(NAME " has no packages for "), cut(view(arch)));
    return false;
}

// What a shell makes of the right side of an assignment, into `value`, which has room for all of it.
static size_t unquote(text_t t, char *value) {
    size_t len = 0;
    char quote = 0;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];
        if (!quote && (c == '"' || c == '\'')) quote = c;
        else if (c == quote && quote) quote = 0;
        else if (c == '\\' && quote != '\'') {
            bool more = ++i < t.len;
            char next = more ? t.ptr[i] : 0;
            if (quote == '"' && !(more && strchr("\"$\\`", next) && next)) value[len++] = '\\';
            if (more) value[len++] = next;
        } else if (!quote && is_space(c)) break;
        else value[len++] = c;
    }
    return len;
}

// The value of a variable of os-release(5), in memory that the caller frees; the last assignment counts.
static text_t os_release(text_t t, const char *wanted) {
    char *value = allocate(t.len);
    size_t len = 0;
    if (starts_with(t, text("\xef\xbb\xbf"))) t = from(t, 3);
    for (text_t line; next_line(&t, &line);) {
        line = trim(line);
        size_t equals = find(line, text("="));
        if (equals < line.len && is(until(line, equals), wanted)) len = unquote(from(line, equals + 1), value);
    }
    return (text_t){value, len};
}

static bool from_os_release(text_t t, DISTRIBUTION(option_release_t) *ret, call_error_t *err) {
    text_t id = os_release(t, "ID"), version = os_release(t, "VERSION_ID");
    bool ok = true;
    ret->is_some = is(id, ID);
    if (ret->is_some && version.len == 0) {
        err->tag = RETRACE_DISTRO_TYPES_CALL_ERROR_MALFORMED_INPUT;
        err->val.malformed_input = copy(text("os-release of " NAME " without VERSION_ID: name the release"));
        ok = false;
    } else if (ret->is_some) {
        ok = by_version(version, &ret->val, err);
    }
    free((void *)id.ptr);
    free((void *)version.ptr);
    return ok;
}

// A line such as `@NAME@ release 2 (Code Name)`.
static bool from_line(text_t t, DISTRIBUTION(option_release_t) *ret, call_error_t *err) {
    text_t line, separator = text(" release ");
    t = trim(t);
    ret->is_some = false;
    if (!next_line(&t, &line)) return true;
    line = trim(line);
    size_t at = find(line, separator);
    if (at == line.len || !is(trim(until(line, at)), NAME)) return true;
    text_t version = trim(from(line, at + separator.len));
    size_t end = 0;
    while (end < version.len && !is_space(version.ptr[end])) end++;
    ret->is_some = end > 0;
    return !ret->is_some || by_version(until(version, end), &ret->val, err);
}

// The number behind the tag in the release of a package: `2` in `bash-5.2-1.@TAG@2.x86_64`.
static text_t dist_tag(text_t name) {
    text_t before, rest = name, part;
    split_last(name, '-', &before, &rest);
    for (bool more = true; more; rest = before) {
        more = split_last(rest, '.', &before, &part);
        if (!more) part = rest;
        if (!starts_with(part, text(DIST_TAG))) continue;
        part = from(part, strlen(DIST_TAG));
        size_t end = 0, digits = 0;
        while (end < part.len && part.ptr[end] != '_' && part.ptr[end] != '~') digits += is_digit(part.ptr[end++]);
        if (end > 0 && end <= 4 && digits == end) return until(part, end);
    }
    return (text_t){NULL, 0};
}

// ---- Packages.

// As rpm names them; a plugin needs only those that its packages have.
static bool is_architecture(text_t arch) {
    static const char *const known[] = {"noarch", "x86_64", "aarch64", "i686", "src", "nosrc"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (is(arch, known[i])) return true;
    return false;
}

static uint8_t kind_of(text_t name, text_t arch) {
    if (is(arch, "src") || is(arch, "nosrc")) return RETRACE_DISTRO_TYPES_PACKAGE_KIND_SOURCE;
    if (ends_with(name, text("-debuginfo")) || contains(name, "-debuginfo-common"))
        return RETRACE_DISTRO_TYPES_PACKAGE_KIND_DEBUG_INFO;
    if (ends_with(name, text("-debugsource"))) return RETRACE_DISTRO_TYPES_PACKAGE_KIND_DEBUG_SOURCE;
    return RETRACE_DISTRO_TYPES_PACKAGE_KIND_BINARY;
}

static bool parse_epoch(text_t t, uint32_t *epoch) {
    uint64_t number = 0;
    for (size_t i = 0; i < t.len; i++) {
        if (!is_digit(t.ptr[i])) return false;
        number = number * 10 + (uint64_t)(t.ptr[i] - '0');
        if (number > UINT32_MAX) return false;
    }
    *epoch = (uint32_t)number;
    return t.len > 0;
}

// A name that could stand in a path: not empty, and no folder's name for itself or the one above.
static bool is_part(text_t t) {
    return t.len > 0 && !is(t, ".") && !is(t, "..");
}

// `name-[epoch:]version-release.arch[.rpm]`; the epoch may also stand before the name.
static bool parse_nevra(text_t t, package_id_t *id) {
    if (t.len > 512) return false;
    for (size_t i = 0; i < t.len; i++)
        if (t.ptr[i] < '!' || t.ptr[i] > '~' || t.ptr[i] == '/') return false;
    if (ends_with(t, text(".rpm"))) t.len -= 4;
    text_t nevr, nev, name, version, rel, arch;
    if (!split_last(t, '.', &nevr, &arch) || !is_architecture(arch)) return false;
    if (!split_last(nevr, '-', &nev, &rel) || !split_last(nev, '-', &name, &version)) return false;
    plugin_option_u32_t epoch = {.is_some = contains(version, ":") != contains(name, ":")};
    if (epoch.is_some) {
        text_t *part = contains(version, ":") ? &version : &name;
        size_t colon = find(*part, text(":"));
        if (!parse_epoch(until(*part, colon), &epoch.val)) return false;
        *part = from(*part, colon + 1);
    }
    if (!is_part(name) || !is_part(version) || !is_part(rel)) return false;
    if (contains(name, ":") || contains(version, ":") || contains(rel, ":")) return false;
    *id = (package_id_t){
        .name = copy(name),
        .epoch = epoch,
        .version = copy(version),
        .release = {.is_some = true, .val = copy(rel)},
        .arch = copy(arch),
        .kind = {.tag = kind_of(name, arch)},
    };
    return true;
}

static plugin_option_string_t copy_option(const plugin_option_string_t *option) {
    plugin_option_string_t copied = {.is_some = option->is_some};
    if (copied.is_some) copied.val = copy(view(&option->val));
    return copied;
}

// ---- The contract.

void DISTRIBUTION(describe)(DISTRIBUTION(description_t) *ret) {
    *ret = (DISTRIBUTION(description_t)){
        .id = copy(text(ID)),
        .name = copy(text(NAME)),
        .format = {.tag = RETRACE_DISTRO_TYPES_PACKAGE_FORMAT_RPM},
        .plugin_version = copy(text("0.1.0")),
    };
}

void DISTRIBUTION(releases)(DISTRIBUTION(list_release_entry_t) *ret) {
    ret->len = COUNT(RELEASES);
    ret->ptr = allocate(sizeof(*ret->ptr) * ret->len);
    for (size_t i = 0; i < ret->len; i++) {
        text_t version = text(RELEASES[i].version);
        DISTRIBUTION(release_entry_t) *entry = &ret->ptr[i];
        *entry = (DISTRIBUTION(release_entry_t)){.release = release(version), .title = JOIN(text(NAME " "), version)};
        entry->architectures.len = COUNT(ARCHITECTURES);
        entry->architectures.ptr = allocate(sizeof(*entry->architectures.ptr) * COUNT(ARCHITECTURES));
        for (size_t j = 0; j < COUNT(ARCHITECTURES); j++) entry->architectures.ptr[j] = copy(text(ARCHITECTURES[j]));
        entry->end_of_life.is_some = RELEASES[i].end_of_life != NULL;
        if (entry->end_of_life.is_some) entry->end_of_life.val = copy(text(RELEASES[i].end_of_life));
    }
}

bool DISTRIBUTION(parse_release)(
    DISTRIBUTION(release_source_t) *source, DISTRIBUTION(option_release_t) *ret, call_error_t *err
) {
    bool ok = true;
    ret->is_some = false;
    if (source->tag == EXPORTS_RETRACE_DISTRO_DISTRIBUTION_RELEASE_SOURCE_OS_RELEASE)
        ok = from_os_release(view(&source->val.os_release), ret, err);
    else if (source->tag == EXPORTS_RETRACE_DISTRO_DISTRIBUTION_RELEASE_SOURCE_RELEASE_LINE)
        ok = from_line(view(&source->val.release_line), ret, err);
    DISTRIBUTION(release_source_free)(source);
    return ok;
}

bool DISTRIBUTION(guess_release)(
    DISTRIBUTION(package_ref_t) *subject, DISTRIBUTION(option_release_guess_t) *ret, call_error_t *err
) {
    bool ok = true;
    text_t version = dist_tag(view(&subject->raw));
    bool is_rpm = !subject->format.is_some || subject->format.val.tag == RETRACE_DISTRO_TYPES_PACKAGE_FORMAT_RPM;
    ret->is_some = is_rpm && version.len > 0;
    if (ret->is_some && (ok = by_version(version, &ret->val.release, err))) {
        bool is_own = subject->vendor.is_some && is(view(&subject->vendor.val), NAME);
        ret->val.confidence = is_own ? EXPORTS_RETRACE_DISTRO_DISTRIBUTION_CONFIDENCE_CERTAIN
                                     : EXPORTS_RETRACE_DISTRO_DISTRIBUTION_CONFIDENCE_LIKELY;
        ret->val.reason = JOIN(text("release tag ." DIST_TAG), version);
    }
    DISTRIBUTION(package_ref_free)(subject);
    return ok;
}

static DISTRIBUTION(repository_t) repository(
    text_t version, const char *id, const char *what, DISTRIBUTION(repository_content_t) content, const char *folder
) {
    DISTRIBUTION(repository_t) repository = {
        .id = copy(text(id)),
        .title = JOIN(text(NAME " "), version, text(" "), text(what)),
        .layout = {.tag = EXPORTS_RETRACE_DISTRO_DISTRIBUTION_REPOSITORY_LAYOUT_RPM_MD},
        .content = content,
        .mirrors = {allocate(sizeof(plugin_string_t)), 1},
        .signatures = EXPORTS_RETRACE_DISTRO_DISTRIBUTION_SIGNATURES_PACKAGES,
        .keys = {allocate(sizeof(DISTRIBUTION(key_file_t))), 1},
    };
    repository.mirrors.ptr[0] = JOIN(text(MIRROR "/"), text(folder), text("/"));
    repository.keys.ptr[0] = (DISTRIBUTION(key_file_t)){.path = copy(text(ID "/RPM-GPG-KEY-" ID))};
    return repository;
}

bool DISTRIBUTION(repositories)(
    release_t *asked, plugin_string_t *arch, DISTRIBUTION(list_repository_t) *ret, call_error_t *err
) {
    bool ok = check(asked, arch, err);
    if (ok) {
        text_t version = view(&asked->version);
        ret->len = 2;
        ret->ptr = allocate(sizeof(*ret->ptr) * ret->len);
        ret->ptr[0] = repository(
            version, "base", "packages", EXPORTS_RETRACE_DISTRO_DISTRIBUTION_REPOSITORY_CONTENT_PACKAGES, "os");
        ret->ptr[1] = repository(
            version, "base-debuginfo", "debuginfo",
            EXPORTS_RETRACE_DISTRO_DISTRIBUTION_REPOSITORY_CONTENT_DEBUG_INFO, "debug");
    }
    DISTRIBUTION(release_free)(asked);
    plugin_string_free(arch);
    return ok;
}

bool DISTRIBUTION(debugger_for)(
    release_t *asked, plugin_string_t *arch, DISTRIBUTION(option_debugger_t) *ret, call_error_t *err
) {
    bool ok = check(asked, arch, err);
    ret->is_some = false;
    DISTRIBUTION(release_free)(asked);
    plugin_string_free(arch);
    return ok;
}

bool DISTRIBUTION(parse_file_names)(
    plugin_list_string_t *names, DISTRIBUTION(list_option_package_id_t) *ret, call_error_t *err
) {
    (void)err;
    ret->len = names->len;
    ret->ptr = allocate(sizeof(*ret->ptr) * ret->len);
    for (size_t i = 0; i < names->len; i++) ret->ptr[i].is_some = parse_nevra(view(&names->ptr[i]), &ret->ptr[i].val);
    plugin_list_string_free(names);
    return true;
}

bool DISTRIBUTION(format_file_name)(package_id_t *subject, plugin_string_t *ret, call_error_t *err) {
    bool ok = subject->release.is_some;
    if (ok) {
        *ret = JOIN(view(&subject->name), text("-"), view(&subject->version), text("-"), view(&subject->release.val),
            text("."), view(&subject->arch), text(".rpm"));
    } else {
        err->tag = RETRACE_DISTRO_TYPES_CALL_ERROR_MALFORMED_INPUT;
        err->val.malformed_input =
            JOIN(text("package "), view(&subject->name), text(" has no file name in this format"));
    }
    DISTRIBUTION(package_id_free)(subject);
    return ok;
}

bool DISTRIBUTION(debug_packages)(package_id_t *subject, DISTRIBUTION(list_package_id_t) *ret, call_error_t *err) {
    static const struct { const char *suffix; uint8_t kind; } KINDS[] = {
        {"-debuginfo", RETRACE_DISTRO_TYPES_PACKAGE_KIND_DEBUG_INFO},
        {"-debugsource", RETRACE_DISTRO_TYPES_PACKAGE_KIND_DEBUG_SOURCE},
    };
    (void)err;
    ret->len = subject->kind.tag == RETRACE_DISTRO_TYPES_PACKAGE_KIND_BINARY ? COUNT(KINDS) : 0;
    ret->ptr = allocate(sizeof(*ret->ptr) * ret->len);
    for (size_t i = 0; i < ret->len; i++)
        ret->ptr[i] = (package_id_t){
            .name = JOIN(view(&subject->name), text(KINDS[i].suffix)),
            .epoch = subject->epoch,
            .version = copy(view(&subject->version)),
            .release = copy_option(&subject->release),
            .arch = copy(view(&subject->arch)),
            .kind = {.tag = KINDS[i].kind},
        };
    DISTRIBUTION(package_id_free)(subject);
    return true;
}
