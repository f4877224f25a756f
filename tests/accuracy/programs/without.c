/* Crashes below a function of without.S. */
#include <stdlib.h>
#include <string.h>

void around(void (*function)(void));
void across(void (*function)(void));
volatile int sink;

__attribute__((noinline)) static void fall(int depth)
{
    sink = depth;
    if (depth == 0) abort();
    fall(depth - 1);
    sink = depth;
}
static void start(void) { fall(3); sink = 1; }

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "frame-pointer")) around(start);
    if (argc > 1 && !strcmp(argv[1], "nothing")) across(start);
    return 2;
}
