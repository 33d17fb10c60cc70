// Only in the sanitized build: the sanitizers refuse RTLD_DEEPBIND, which TBB asks for.
#include <dlfcn.h>

extern "C" void* dlopen(const char* file, int flags) {
    using Dlopen = void* (*)(const char*, int);
    static const auto next = reinterpret_cast<Dlopen>(dlsym(RTLD_NEXT, "dlopen"));
    return next(file, flags & ~RTLD_DEEPBIND);
}
