/* What this library is and has; and all of it through one symbol, for who opens it with dlsym(). */
#include <anasazi.h>
#include <stdio.h>

int main(void)
{
    const struct anz_api *api = anz_get_api(ANZ_VERSION_NUM);
    printf("anasazi %s\n", anz_version_string());
    printf("an engine in the loop of a program: %s\n", anz_has("embed") ? "yes" : "no");
    printf("%s: %s\n", anz_status_name(ANZ_EAGAIN), anz_status_string(ANZ_EAGAIN));
    return api == NULL || api->version_num() != anz_version_num();
}
