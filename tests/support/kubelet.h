#pragma once

/* What kubelet does to a volume, as far as rekeyd meets it. */

#include <sys/types.h>

/*
 * Mounts PATH for a pod with `fsGroup: FS_GROUP`: everything in it, and the directory itself, gets that
 * group, and its group may read and write it; directories get the set-group-ID bit. Owners and all other bits
 * stay. Links get the group only. As SetVolumeOwnership() in Kubernetes' pkg/volume/volume_linux.go, which
 * happens at every mount unless the pod says otherwise (`fsGroupChangePolicy`). Needs root; aborts the test.
 */
void kubelet_mount(const char *path, gid_t fs_group);

/* Makes the directory PATH as the root of a new file system: root's, 0755; then kubelet_mount(). */
void kubelet_make_volume(const char *path, gid_t fs_group);

/* The same as an emptyDir, which everybody may write to. */
void kubelet_make_empty_dir(const char *path, gid_t fs_group);
