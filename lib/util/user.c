#include "lib/util/user.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/syscall.h>
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

bool user_is_in_group(gid_t gid) {
        _cleanup_(freep) gid_t *groups = NULL;
        int n = getgroups(0, NULL);

        if (gid == getegid())
                return true;
        groups = n > 0 ? calloc((size_t)n, sizeof(*groups)) : NULL;
        n = groups ? getgroups(n, groups) : 0;
        for (int i = 0; i < n; i++)
                if (groups[i] == gid)
                        return true;
        return false;
}

const char *group_name(gid_t gid, char buffer[USER_NAME_MAX]) {
        char strings[4096];
        struct group group, *found;

        if (getgrgid_r(gid, &group, strings, sizeof(strings), &found) == 0 && found)
                snprintf(buffer, USER_NAME_MAX, "%.60s", found->gr_name);
        else
                snprintf(buffer, USER_NAME_MAX, "%u", (unsigned)gid);
        return buffer;
}

/* In this process's user namespace, as a system call has it. */
static bool may_chown(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1u << CAP_CHOWN;
}

bool user_may_set_group(gid_t gid) {
        return gid == (gid_t)-1 || user_is_in_group(gid) || may_chown();
}

bool user_may_set_owner(uid_t uid) {
        return uid == (uid_t)-1 || uid == geteuid() || may_chown();
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
