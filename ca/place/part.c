#include "ca/place/part.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int part_name_beside(const char *name, char ret[NAME_MAX + 1]) {
        const int n = snprintf(ret, NAME_MAX + 1, ".%s.rekeyca", name);

        return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

int part_read(int dir_fd, const char *name, char **ret) {
        const int r = file_read_at(dir_fd, name, FILE_FOLLOW, PART_MAX, ret, NULL);

        return r == -ENOENT ? 0 : r;
}

int part_check(int dir_fd, const char *name, const char *text) {
        char *now = NULL;
        int r;

        r = part_read(dir_fd, name, &now);
        if (r == 0 && !streq_null(now, text))
                r = -ESTALE;
        free_secret(now);
        return r;
}

struct file_access part_access(int dir_fd, const char *name, mode_t mode) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, 0) < 0)
                return FILE_ACCESS(mode);
        return (struct file_access) { .uid = st.st_uid != geteuid() ? st.st_uid : (uid_t)-1,
                                      .gid = st.st_gid != getegid() ? st.st_gid : (gid_t)-1,
                                      .mode = st.st_mode & 0777 };
}
