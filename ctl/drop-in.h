#pragma once

/* Drop-ins that `rekeyctl add` writes: one file for one certificate, in conf.d beside the configuration. */

#include "ctl/ctl.h"

/* "/etc/rekeyd/conf.d/orders.yaml" for certificate NAME; owned, NULL when memory is out. */
char *drop_in_path(const struct ctl *ctl, const char *name);

/* Where certificate NAME is configured: "FILE:LINE", owned; NULL where it is nowhere, or memory is out. */
char *drop_in_find(const struct ctl *ctl, const char *name);

/* Writes TEXT as PATH, which must not exist, in one step. 0 or -errno with a sentence. */
int drop_in_write(const char *path, const char *text, struct error *error);

/* Whether PATH was written by `rekeyctl add`: 1; 0 where it is another file, or none; or -errno. */
int drop_in_is_ours(const char *path);

/* Puts PATH aside, where rekeyd does not read it, and back. 0 or -errno with a sentence. */
int drop_in_hide(const char *path, struct error *error);
int drop_in_restore(const char *path, struct error *error);

/* Removes PATH, or what drop_in_hide() has made of it. 0 or -errno with a sentence. */
int drop_in_remove(const char *path, struct error *error);
int drop_in_forget(const char *path, struct error *error);

/* The first line of each; what is in it is all that drop_in_is_ours() looks at. */
#define DROP_IN_MARK "# Written by `rekeyctl add`; `rekeyctl remove` deletes this file.\n"
