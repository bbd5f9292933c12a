#include "lib/util/user.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

const char *user_name(uid_t uid, char buffer[USER_NAME_MAX]) {
        char strings[1024];
        struct passwd passwd, *found;

        if (getpwuid_r(uid, &passwd, strings, sizeof(strings), &found) == 0 && found)
                snprintf(buffer, USER_NAME_MAX, "'%.60s'", found->pw_name);
        else
                snprintf(buffer, USER_NAME_MAX, "%u", (unsigned)uid);
        return buffer;
}

void error_name_user(struct error *error) {
        _cleanup_(freep) char *text = NULL;
        char user[USER_NAME_MAX];

        if (error->code != -EACCES)
                return;
        if (asprintf(&text, "%s, as user %s", error_text(error), user_name(geteuid(), user)) < 0) {
                text = NULL;
                return;
        }
        error_set(error, error->code, "%s", text);
}
