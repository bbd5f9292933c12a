#pragma once

/* The back-end of plain files: for hosts, nginx and devconnector. */

#include "ca/rotation/backend.h"

/*
 * PATHS are 1 or 2 absolute paths, a key first where there are 2; a file that is not there is created with
 * MODE. Nothing is opened yet. NAME is what messages call it. 0 or -ENOMEM, -EINVAL with a sentence for a
 * path that is not absolute, or for two paths in different directories.
 *
 * A write prepares all files beside the old ones, with their owner and mode, and then exchanges each with one
 * rename (RENAME_EXCHANGE, renameat2(2)), so that it holds in its hand what it has displaced: where that is
 * not what was read, another writer was faster, and all is exchanged back. Where key and certificate of a
 * signer both change, one rename changes both: pair.h says how. File systems without that exchange get two
 * renames, and a reader may find a key and a certificate between them that do not belong together.
 */
int files_new(const char *name, const char *const *paths, size_t n, mode_t mode, struct backend **ret,
              struct error *error);

/* The same from "files:/etc/ca/ca.key,/etc/ca/ca.crt" or "files:/etc/nginx/clients.pem", with N paths. */
int files_parse(const char *spec, size_t n, mode_t mode, struct backend **ret, struct error *error);
