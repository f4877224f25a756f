/* Values of all kinds in several frames, of which the compiler keeps what it likes. */
#include <complex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum color { RED, GREEN = 5, BLUE };
enum flags { READ = 1, WRITE = 2, EXECUTE = 4 };
enum negative { LOW = -3, HIGH = 7 };
struct point { int x; double y; };
struct node { struct node *next; char name[12]; unsigned kind : 3; int level : 5; enum flags flags : 4; _Bool is_last : 1; };
union word { uint32_t number; float real; unsigned char bytes[4]; };
struct nested { struct point points[3]; union { int a; float b; }; struct { short left, right; } pair; const char *text; };
struct tail { int count; int items[]; };
typedef int (*operation)(int, int);

int counter = 42;
static const char *const words[] = {"one", "two", "three"};
static int table[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2};
volatile int sink;

__attribute__((noinline)) int add(int a, int b) { return a + b + sink; }
static inline __attribute__((always_inline)) int inlined(int factor, struct point *where) {
    int product = factor * where->x;
    sink = product;
    if (factor > 1000) {
        int inner = product + 1;
        sink = inner;
    }
    return product;
}

__attribute__((noinline)) int crash(int depth, double ratio, float small, char letter, const char *text, struct node *node) {
    int local = depth * 2 + sink;
    int64_t wide = (int64_t)local << 33;
    uint8_t byte = 200;
    struct point here = {local, ratio * 2};
    union word word;
    word.real = small;
    sink = inlined(local, &here);
    memset(node->name, 'n', 4);
    *(volatile int *)(uintptr_t)(sink * 0) = local;
    return add((int)wide, byte) + here.x + (int)word.number + letter + (int)strlen(text);
}

__attribute__((noinline)) int middle(int n, struct nested *nested, const char *text, enum color color, unsigned long big) {
    int values[n];
    for (int i = 0; i < n; i++) values[i] = i * n;
    struct node first = {NULL, "first", 5, -3, READ | EXECUTE, 1}, second = {&first, "second", 1, 3, WRITE, 0};
    operation op = add;
    int result = crash(n + 1, 1.5, 2.25f, 'x', text, &second);
    return op(result, values[n - 1]) + nested->pair.left + (int)color + (int)big + first.level;
}

__attribute__((noinline)) int outer(int argument) {
    char buffer[32] = "buffer";
    char full[4] = {'f', 'u', 'l', 'l'};
    wchar_t wide[] = L"wide";
    long double extended = 1.1L;
    double complex number = 1.0 + 2.0 * I;
    float single = 0.1f;
    enum flags flags = READ | 8;
    enum negative negative = LOW;
    enum color unknown = (enum color)9;
    int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
    struct nested nested = {{{1, 1.5}, {2, 2.5}, {3, 3.5}}, {7}, {-1, 1}, "text"};
    struct tail *items = malloc(sizeof *items + 8);
    items->count = 2;
    void *nothing = NULL;
    int *static_place = &table[3], *heap = items->items;
    const char *bad = (const char *)16;
    __int128 huge = -5;
    _Bool yes = 1;
    volatile int kept[] = {argument, (int)single, (int)creal(number), (int)extended, flags, negative, unknown, grid[1][1],
                           full[0], (int)wide[0], buffer[0], nothing == bad, (int)huge, yes, *static_place, *heap};
    static int calls = 3;
    calls++;
    return middle(5, &nested, words[argument % 3], BLUE, 0xfedcba9876543210UL) + kept[0];
}

int main(int argc, char **argv) {
    (void)argv;
    return outer(argc) + counter;
}
