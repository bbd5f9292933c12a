#pragma once

/* URLs of a Connector: what may be called, and what may be shown of it. */

#include <stdbool.h>

/* "https://host[:port][/...]": no other scheme, no user and password, no fragment, no control characters or
 * blanks, at most 2 KiB. False for NULL. */
bool url_is_https(const char *url);

/* Both are https URLs of one server: the same host, whatever its case, and the same port. */
bool url_same_server(const char *a, const char *b);

/* URL for texts: what follows the `?` may be a token, and is left out. Owned by the caller; NULL when memory
 * is out. */
char *url_shown(const char *url);
