#pragma once

/* Who else writes an object, by the marks that it bears. Pure. */

#include <jansson.h>

/* A clause that names the writer, "Helm (release connector)", owned; NULL: none is known. What people write
 * by hand with kubectl is no other writer. */
char *marks_find_writer(const json_t *object);
