/* kubelet's recursive change of ownership: lchown() of each entry, then chmod() of all but links, to what is
 * there and 0660, and 02770 for directories. */

#include "tests/support/kubelet.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util/macro.h"
#include "tests/support/must.h"

static gid_t group; /* nftw() passes nothing on; set for one walk */

static int change(const char *path, const struct stat *st, _unused_ int type, _unused_ struct FTW *ftw) {
        const mode_t mask = S_ISDIR(st->st_mode) ? 02770 : 0660;

        must(lchown(path, (uid_t)-1, group) == 0);
        if (!S_ISLNK(st->st_mode))
                must(chmod(path, (st->st_mode & 07777u) | mask) == 0);
        return 0;
}

void kubelet_mount(const char *path, gid_t fs_group) {
        group = fs_group;
        must(nftw(path, change, 16, FTW_PHYS) == 0);
}

void kubelet_make_volume(const char *path, gid_t fs_group) {
        must(mkdir(path, 0755) == 0 && chmod(path, 0755) == 0);
        kubelet_mount(path, fs_group);
}

void kubelet_make_empty_dir(const char *path, gid_t fs_group) {
        must(mkdir(path, 0777) == 0 && chmod(path, 0777) == 0);
        kubelet_mount(path, fs_group);
}
