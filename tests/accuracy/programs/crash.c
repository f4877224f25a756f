/* Ends in the way that its argument names. The functions on the way keep arguments and locals of many types. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum colour { RED, GREEN = 5, BLUE };
enum flags { FLAG_A = 1, FLAG_B = 2, FLAG_C = 4 };
typedef struct point { int x, y; } point;
struct packed_bits { unsigned low : 3; signed middle : 7; unsigned high : 22; };
union number { uint32_t word; float real; unsigned char bytes[4]; };
struct list { struct list *next; const char *name; point at; union number value; double weights[3]; };
typedef int (*callback)(const void *, const void *);

volatile int zero;
volatile long sink;
static int calls;
static __thread int of_this_thread = 11;
const char *const words[] = { "alpha", "beta", "gamma" };

#define KEEP __attribute__((noinline, noclone))
#define INLINE static inline __attribute__((always_inline))

/* Two levels that are always inlined. */
INLINE size_t length_of(const char *text)
{
    size_t length = 0;
    volatile const char *at = text;
    while (*at++) length++;
    return length;
}
INLINE size_t weight_of(const struct list *item)
{
    size_t twice = 2 * length_of(item->name);
    return twice + (size_t)item->at.x;
}
KEEP size_t total(const struct list *head, int depth)
{
    size_t sum = 0;
    for (const struct list *item = head; item; item = item->next) {
        size_t weight = weight_of(item);
        sum += weight;
    }
    sink += (long)sum + depth;
    return sum;
}

KEEP int by_segv(enum colour colour, point at, const char *label)
{
    struct list last = { NULL, NULL, { at.x + 1, at.y }, { 7 }, { 0.5, 1.5, -2.25 } };
    struct list first = { &last, label, at, { .real = 1.0f }, { 1, 2, 3 } };
    struct packed_bits bits = { 5, -9, 1000 };
    sink = bits.middle;
    int found = (int)total(&first, (int)colour);
    sink += found + (long)last.weights[1] + bits.high;
    return found;
}

KEEP int by_abort(unsigned char small, short medium, long long large, double real, _Bool yes)
{
    char buffer[16] = "before abort";
    float half = (float)real / 2;
    if (yes && small) {
        sink = medium + (long)large + (long)half + buffer[0];
        abort();
    }
    return buffer[3];
}

/* Deep recursion: the stack overflows. */
KEEP int by_overflow(int depth)
{
    volatile char pad[1024];
    pad[depth % 1024] = (char)depth;
    int below = by_overflow(depth + 1);
    return below + pad[0];
}

KEEP int by_sigill(unsigned value)
{
    unsigned shifted = value << 3;
    sink = (long)shifted;
    if (!zero) __builtin_trap();
    return (int)shifted;
}

KEEP int by_division(int dividend)
{
    int quotient = dividend / zero;
    sink = quotient;
    return quotient + 1;
}

/* A call that does not return is the last instruction: the return address lies behind the function. */
KEEP __attribute__((noreturn)) static void give_up(const char *why)
{
    sink = (long)strlen(why);
    raise(SIGQUIT);
    abort();
}
KEEP int by_noreturn(int code)
{
    int doubled = code * 2;
    sink = doubled;
    if (doubled != 1) give_up("no way on");
    return doubled;
}

/* A chain of calls in tail position. */
KEEP int third(int value, const char *name)
{
    sink = value + name[0];
    *(volatile int *)(uintptr_t)(unsigned)zero = value;
    return value;
}
KEEP int second(int value) { sink = value; return third(value + 1, words[1]); }
KEEP int by_tail_call(int value) { sink = value; return second(value * 2); }

/* The fault lies in the vdso, which writes to a bad address. */
KEEP int by_vdso(int clock)
{
    struct timespec *bad = (struct timespec *)(uintptr_t)(8 + (unsigned)zero);
    int result = clock_gettime(clock, bad);
    sink = result;
    return result;
}

KEEP int by_null_call(int value)
{
    int (*volatile target)(int) = NULL;
    int result = target(value) + 1;
    sink = result;
    return result;
}

KEEP int by_bad_call(int value)
{
    int (*volatile target)(int) = (int (*)(int))(uintptr_t)0x41414140;
    int result = target(value) + 1;
    sink = result;
    return result;
}

/* The stack above is overwritten: the return address is nonsense. */
KEEP int by_smash(size_t length)
{
    char buffer[16];
    memset(buffer, 0x41, length);
    __asm__ volatile("" : : "r"(buffer) : "memory");
    return buffer[(unsigned)zero];
}

KEEP static int compare(const void *left, const void *right)
{
    const int a = *(const int *)left, b = *(const int *)right;
    calls++;
    if (calls == 3) *(volatile char *)(uintptr_t)(unsigned)zero = (char)a;
    return (a > b) - (a < b);
}
KEEP int by_callback(size_t count)
{
    int numbers[8] = { 5, 3, 8, 1, 9, 2, 7, 4 };
    callback order = compare;
    qsort(numbers, count, sizeof numbers[0], order);
    return numbers[0];
}

static void on_signal(int number)
{
    int saved = errno;
    sink = number + saved;
    signal(SIGABRT, SIG_DFL);
    abort();
}
static void on_signal_with_context(int number, siginfo_t *info, void *context)
{
    void *at = info->si_addr;
    sink = number + (long)(uintptr_t)at + (context != NULL);
    abort();
}
KEEP int by_handler(int value)
{
    signal(SIGSEGV, on_signal);
    *(volatile int *)(uintptr_t)(unsigned)zero = value;
    return value;
}
KEEP int by_other_stack(int value)
{
    size_t size = 65536;
    stack_t stack = { .ss_sp = malloc(size), .ss_size = size };
    struct sigaction action = { .sa_sigaction = on_signal_with_context, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    return by_overflow(value);
}
/* A signal sent to itself: the handler returns into a system call. */
KEEP int by_raise(int number)
{
    signal(number, on_signal);
    int result = raise(number);
    sink = result;
    return result;
}

KEEP int by_alloca(unsigned size)
{
    char *room = __builtin_alloca(size + 16);
    char row[size];
    memset(room, 1, size);
    memset(row, 2, size);
    __asm__ volatile("" : : "r"(room), "r"(row) : "memory");
    if (room[1] == 1) abort();
    return row[0];
}

static jmp_buf back;
KEEP int by_long_jump(int value)
{
    if (setjmp(back) == 0) {
        of_this_thread = value;
        longjmp(back, 1);
    }
    abort();
}

KEEP int by_free(void)
{
    char *volatile block = malloc(2000);
    free(block);
    free(block);
    return block[0];
}

static const struct { const char *name; int kind; } KINDS[] = {
    { "segv", 0 }, { "abort", 1 }, { "overflow", 2 }, { "sigill", 3 }, { "division", 4 }, { "noreturn", 5 },
    { "tail-call", 6 }, { "vdso", 7 }, { "null-call", 8 }, { "bad-call", 9 }, { "smash", 10 }, { "callback", 11 },
    { "handler", 12 }, { "other-stack", 13 }, { "raise", 14 }, { "alloca", 15 }, { "long-jump", 16 }, { "free", 17 },
};

KEEP int crash(int kind, int count)
{
    point at = { 3, -4 };
    int result = 0;
    switch (kind) {
    case 0: result = by_segv(GREEN, at, words[count % 3]); break;
    case 1: result = by_abort(200, -300, 1LL << 40, 2.5, 1); break;
    case 2: result = by_overflow(count); break;
    case 3: result = by_sigill(77); break;
    case 4: result = by_division(count); break;
    case 5: result = by_noreturn(count); break;
    case 6: result = by_tail_call(count); break;
    case 7: result = by_vdso(CLOCK_MONOTONIC); break;
    case 8: result = by_null_call(count); break;
    case 9: result = by_bad_call(count); break;
    case 10: result = by_smash(400); break;
    case 11: result = by_callback(8); break;
    case 12: result = by_handler(count); break;
    case 13: result = by_other_stack(count); break;
    case 14: result = by_raise(SIGUSR1); break;
    case 15: result = by_alloca(100); break;
    case 16: result = by_long_jump(count); break;
    case 17: result = by_free(); break;
    }
    sink += result;
    return result;
}

int main(int argc, char **argv)
{
    enum flags set = FLAG_A | FLAG_C;
    for (size_t i = 0; argc > 1 && i < sizeof KINDS / sizeof KINDS[0]; i++)
        if (!strcmp(argv[1], KINDS[i].name)) {
            int result = crash(KINDS[i].kind, argc);
            sink = result + (int)set;
        }
    fprintf(stderr, "not crashed: %s\n", argc > 1 ? argv[1] : "no argument");
    return 2;
}
