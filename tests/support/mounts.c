#include "tests/support/mounts.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

bool mounts_enter(const char *what) {
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
            mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0)
                return true;
        test_skip("%s needs root and a mount namespace: %s", what, strerrordesc_np(errno));
        return false;
}

void mounts_put(const char *text, const char *target) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(freep) char *path = scratch_path(directory, "file");

        scratch_write(directory, "file", text, 0644);
        ck_assert_msg(mount(path, target, NULL, MS_BIND, NULL) == 0, "%s: %s", target,
                      strerrordesc_np(errno));
}
