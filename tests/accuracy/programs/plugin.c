/* Calls a library that it loads, which calls back. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request { int id; const char *text; };
typedef int (*report)(const struct request *, int);

static int crash_on(const struct request *request, int level)
{
    if (level > 2 && request->id > 1) *(volatile int *)8 = level;
    return level;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "loading")) setenv("CRASH_WHEN_LOADED", "1", 1);
    void *library = dlopen("./liblibrary.so", RTLD_NOW);
    int (*serve)(int, report) = library ? (int (*)(int, report))dlsym(library, "serve") : NULL;
    if (!serve) return 2;
    if (!strcmp(how, "deleted")) unlink("./liblibrary.so");
    return serve(argc, crash_on);
}
