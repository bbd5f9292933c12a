#pragma once

/* PKCS#12. For export*.c. */

#include "lib/export/export-content.h"

int export_pkcs12_encode(const struct export *export, const struct set *set, const char *passphrase,
                         struct export_bytes *ret, struct error *error);

/* Whether FILE, opened with PASSPHRASE, is what export_pkcs12_encode() makes, but for the salt. */
bool export_pkcs12_equal(const struct export *export, const struct set *set, const char *passphrase,
                         const struct export_bytes *file);
