#pragma once

/* Who may use a file: as it is, as it should be, and bringing the one to the other. */

#include "lib/util/files.h"

struct rights {
        uid_t uid;
        gid_t gid;
        mode_t mode;  /* the lowest twelve bits; with an ACL those of the group are its mask */
        bool has_acl; /* a POSIX ACL that names more than owner, group and others */
};

/* Of the open FD. 0 or -errno. */
int rights_read(int fd, struct rights *ret);

/*
 * Of NAME in DIR_FD, a file or a directory, "." for DIR_FD itself. A link is not followed, and is -ELOOP. It
 * is opened only where its mode lets an ACL give something that others have not; an ACL that this user may
 * not read counts as none. 0 or -errno.
 */
int rights_read_at(int dir_fd, const char *name, struct rights *ret);

/* The same, but with an ACL the mode has what it gives to the group, and not its mask. */
int rights_read_base_at(int dir_fd, const char *name, struct rights *ret);

/*
 * What RIGHTS have to become for WANTED; the same where nothing has to change. An owner that is not wanted in
 * particular (-1) may also be root. A group that is not may be any, as long as it may do no more than
 * everybody. Else they become those of OWN, whose mode does not matter.
 */
struct rights rights_target(const struct rights *rights, struct file_access wanted, const struct rights *own);
bool rights_equal(const struct rights *a, const struct rights *b);

/* RIGHTS let somebody use the file who may not under TARGET. */
bool rights_are_wider(const struct rights *rights, const struct rights *target);

/*
 * Brings the open FD from RIGHTS to TARGET, which has no ACL. At no moment anybody may use the file who may
 * under neither of the two: what is too wide is taken away first. 0 or -errno, with what was taken away gone
 * and the rest as it was.
 */
int rights_change(int fd, const struct rights *rights, const struct rights *target);

/* The same for NAME in DIR_FD, which is not followed as a link; this user's own file need not be readable. */
int rights_change_at(int dir_fd, const char *name, const struct rights *rights, const struct rights *target);

/* "0640 root:www-data", or "0640 root:www-data with an ACL"; in BUFFER. */
#define RIGHTS_TEXT 128
const char *rights_text(const struct rights *rights, char buffer[RIGHTS_TEXT]);

/* The commands that bring NAME from RIGHTS to TARGET: "chgrp www-data NAME && chmod 0640 NAME". Owned by the
 * caller; NULL when memory is out. */
char *rights_commands(const struct rights *rights, const struct rights *target, const char *name);
