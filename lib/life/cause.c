/* The one table of advice: each cause with its name and its mend. rekeyctl prints them, and rekeyd where a
 * failure needs the unit of the service changed. */

#include "lib/life/cause.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/util/user.h"

#define DOCTOR "rekeyctl doctor %s"
#define UNIT   "systemctl edit rekeyd"

static const struct mend mends[CAUSE_MAX] = {
        [CAUSE_DNS] = { "correct the host name in the URL, or the DNS of this machine", DOCTOR },
        [CAUSE_NO_LISTENER] = { "correct the host and port in the URL, or ask the operators of the Connector "
                                "whether it runs",
                                DOCTOR },
        [CAUSE_UNREACHABLE] = { "correct the routes of this machine, or open its firewall", DOCTOR },
        [CAUSE_TIMEOUT] = { "find out whether a firewall drops the connection, or raise `timeout`", DOCTOR },
        [CAUSE_PROXY] = { "correct the proxy in the environment of the service", UNIT },
        [CAUSE_TLS] = { "correct the host and port in the URL", DOCTOR },
        [CAUSE_UNTRUSTED] = { "set `trust` to a file with the CA that has issued the server's certificate",
                              DOCTOR },
        [CAUSE_SERVER_EXPIRED] = { "ask the operators of the Connector to renew the certificate of their "
                                   "server",
                                   DOCTOR },
        [CAUSE_SERVER_NAME] = { "correct the host name in the URL to one that the server's certificate has",
                                DOCTOR },
        [CAUSE_CLOCK] = { "set the clock of this machine", "timedatectl set-ntp true" },
        [CAUSE_TRUST_FILE] = { "correct `trust`, or let the service read its file", "rekeyctl check-config" },
        [CAUSE_URL] = { "correct the URL of the Connector in the configuration", "rekeyctl reload" },
        [CAUSE_TOKEN] = { "get a new one-time token from the Director", NULL },
        [CAUSE_DISK_FULL] = { "make room on the file system", DOCTOR },
        [CAUSE_READ_ONLY] = { "let the service write there", UNIT },
        [CAUSE_GROUP] = { "put the service into the group that `group` names", UNIT },
        [CAUSE_OWNER] = { "let the service set the owner of files, or do without `owner`", UNIT },
        [CAUSE_RIGHTS] = { "give the service the right that it lacks", DOCTOR },
};

const char *const cause_names[CAUSE_MAX] = {
        [CAUSE_NONE] = "none",
        [CAUSE_DNS] = "dns",
        [CAUSE_NO_LISTENER] = "no-listener",
        [CAUSE_UNREACHABLE] = "unreachable",
        [CAUSE_TIMEOUT] = "timeout",
        [CAUSE_PROXY] = "proxy",
        [CAUSE_TLS] = "tls",
        [CAUSE_UNTRUSTED] = "untrusted",
        [CAUSE_SERVER_EXPIRED] = "server-expired",
        [CAUSE_SERVER_NAME] = "server-name",
        [CAUSE_CLOCK] = "clock",
        [CAUSE_TRUST_FILE] = "trust-file",
        [CAUSE_URL] = "url",
        [CAUSE_TOKEN] = "token",
        [CAUSE_DISK_FULL] = "disk-full",
        [CAUSE_READ_ONLY] = "read-only",
        [CAUSE_GROUP] = "group",
        [CAUSE_OWNER] = "owner",
        [CAUSE_RIGHTS] = "rights",
};

enum cause cause_by_name(const char *name) {
        for (enum cause cause = CAUSE_NONE; cause < CAUSE_MAX; cause++)
                if (streq_null(cause_names[cause], name))
                        return cause;
        return CAUSE_NONE;
}

enum cause cause_of_errno(int code) {
        switch (code) {
        case -ENOSPC:
        case -EDQUOT:
                return CAUSE_DISK_FULL;
        case -EROFS:
                return CAUSE_READ_ONLY;
        case -EACCES:
        case -EPERM:
                return CAUSE_RIGHTS;
        default:
                return CAUSE_NONE;
        }
}

const struct mend *cause_mend(enum cause cause) {
        return &mends[cause < CAUSE_MAX ? cause : CAUSE_NONE];
}

/* Cuts PATH down to what there is of it: a unit whose ReadWritePaths= are not there does not start. */
static void cut_to_existing(char *path) {
        for (char *slash; access(path, F_OK) < 0 && (slash = strrchr(path, '/'));)
                slash[slash == path ? 1 : 0] = '\0';
}

/* SETTING, owned by this function, goes under [Service]. */
static char *fix_unit(char *setting) {
        char *fix;
        int n = setting ? asprintf(&fix,
                                   "fix: " UNIT ", with %s under [Service], then systemctl restart rekeyd",
                                   setting)
                        : -1;

        free(setting);
        return n < 0 ? NULL : fix;
}

/*
 * Where the file system of PATH is mounted, if it is read-only itself; in BUFFER, or NULL. What the unit of
 * the service keeps from writing are mounts of its own, upon a file system that can be written to: the
 * options behind the "-" are those of the file system, proc_pid_mountinfo(5).
 */
static const char *read_only_mount(const char *path, char buffer[PATH_MAX]) {
        FILE *file = fopen("/proc/self/mountinfo", "re");
        _cleanup_(freep) char *line = NULL;
        const char *found = NULL;
        size_t size = 0;
        struct stat st;

        while (file && stat(path, &st) == 0 && !found && getline(&line, &size, file) > 0) {
                const char *dash = strstr(line, " - ");
                char options[256];
                unsigned a, b;

                if (dash && sscanf(line, "%*u %*u %u:%u %*s %4095s", &a, &b, buffer) == 3 &&
                    makedev(a, b) == st.st_dev && sscanf(dash, " - %*s %*s %255s", options) == 1 &&
                    (streq(options, "ro") || has_prefix(options, "ro,")))
                        found = buffer;
        }
        if (file)
                fclose(file);
        return found;
}

/* Sets *RET_IS_WHOLE where the file system itself is read-only. */
static char *fix_directory(const char *path, bool *ret_is_whole) {
        _cleanup_(freep) char *existing = strdup(path);
        char place[PATH_MAX], *setting;

        *ret_is_whole = false;
        if (!existing)
                return NULL;
        cut_to_existing(existing);
        *ret_is_whole = read_only_mount(existing, place);
        if (*ret_is_whole)
                return asprintf(&setting, "fix: mount -o remount,rw %s", place) < 0 ? NULL : setting;
        return asprintf(&setting, "ReadWritePaths=%s", existing) < 0 ? NULL : fix_unit(setting);
}

char *cause_fix_directory(const char *path) {
        bool is_whole;

        return fix_directory(path, &is_whole);
}

char *cause_fix_group(gid_t gid) {
        char name[USER_NAME_MAX], *setting;

        return asprintf(&setting, "SupplementaryGroups=%s", group_name(gid, name)) < 0 ? NULL
                                                                                       : fix_unit(setting);
}

char *cause_fix_owner(void) {
        return fix_unit(strdup("CapabilityBoundingSet= and AmbientCapabilities=CAP_CHOWN CAP_FOWNER "
                               "CAP_DAC_OVERRIDE"));
}

enum cause cause_explain(const char *path, uid_t uid, gid_t gid, struct error *error) {
        _cleanup_(error_clear) struct error before = ERROR_INIT;
        _cleanup_(freep) char *fix = NULL;
        enum cause cause = cause_of_errno(error->code);
        char name[USER_NAME_MAX];
        bool is_whole;

        if (error->code == -EPERM && !user_may_set_owner(uid))
                cause = CAUSE_OWNER;
        else if (error->code == -EPERM && !user_may_set_group(gid))
                cause = CAUSE_GROUP;
        fix = cause == CAUSE_READ_ONLY ? fix_directory(path, &is_whole)
              : cause == CAUSE_GROUP   ? cause_fix_group(gid)
              : cause == CAUSE_OWNER   ? cause_fix_owner()
                                       : NULL;
        if (!fix)
                return cause;
        error_move(&before, error);
        if (cause == CAUSE_READ_ONLY)
                error_set(error, before.code, "%s; %s; %s", error_text(&before),
                          is_whole ? "the file system itself is read-only"
                                   : "the service may write only to ReadWritePaths= of its unit",
                          fix);
        else if (cause == CAUSE_GROUP)
                error_set(error, before.code, "%s; the service is not in the group %s that `group` names; %s",
                          error_text(&before), group_name(gid, name), fix);
        else
                error_set(error, before.code,
                          "%s; the service may not give files to the user that `owner` "
                          "names; %s",
                          error_text(&before), fix);
        return cause;
}
