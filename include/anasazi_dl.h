/* anasazi_dl.h - for programs that open libanasazi themselves, C89 ones too: link with -ldl only.
 *
 *     const struct anz_api *anz = anz_dl_open(NULL, ANZ_VERSION_NUM);
 *     if (anz == NULL)
 *         ...                            (dlerror() says why, or the library is too old)
 *     anz->connect(NULL, NULL, &conn, &err);
 *
 * The library stays loaded: dlclose() does not take it from under its threads, and from under
 * signal handlers. */
#ifndef ANASAZI_DL_H
#define ANASAZI_DL_H
#include <anasazi.h>
#include <dlfcn.h>

/* Every function of the library at `path` (NULL: where the system looks for libanasazi.so.1), or
 * NULL if there is none, or none of this version. */
static const struct anz_api *anz_dl_open(const char *path, uint32_t min_version)
{
    union {
        void *found;
        const struct anz_api *(*get_api)(uint32_t min_version);
    } symbol;
    void *library = dlopen(path != NULL ? path : "libanasazi.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return NULL;
    symbol.found = dlsym(library, "anz_get_api");
    return symbol.found != NULL ? symbol.get_api(min_version) : NULL;
}
#endif
