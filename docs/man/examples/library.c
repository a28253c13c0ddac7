/* What this library is and has. */
#include <anasazi.h>
#include <stdio.h>

int main(void)
{
    printf("anasazi %s\n", anz_version_string());
    printf("an engine in the loop of a program: %s\n", anz_has("embed") ? "yes" : "no");
    printf("%s: %s\n", anz_status_name(ANZ_EAGAIN), anz_status_string(ANZ_EAGAIN));
    return anz_version_num() < ANZ_VERSION_NUM;
}
