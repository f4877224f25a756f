/* The library of plugin.c: loaded at run time. */
#include <stdlib.h>

struct request { int id; const char *text; };
typedef int (*report)(const struct request *, int);

static int depth_of(const struct request *request, int level, report call)
{
    int result;
    if (level > 2) result = call(request, level);
    else result = depth_of(request, level + 1, call) + 1;
    return result;
}

__attribute__((constructor)) static void loaded(void) { if (getenv("CRASH_WHEN_LOADED")) abort(); }

int serve(int id, report call)
{
    struct request request = { id, "served" };
    int result = depth_of(&request, 0, call);
    return result + request.id;
}
