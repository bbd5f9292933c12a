#pragma once

/* JSON from outside, within limits. */

#include <jansson.h>

#include "lib/util/error.h"

#define JSON_DEPTH_MAX 32

/*
 * Parses TEXT, an object of at most MAX bytes and JSON_DEPTH_MAX levels. Duplicate keys, NUL in strings and
 * anything after the object are refused. An error has place and kind, never a quotation, since documents hold
 * tokens; and the memory of JSON values is cleansed when it is freed. 0, -EINVAL or -ENOMEM.
 */
int json_read(const char *text, size_t size, size_t max, json_t **ret, struct error *error);

/* From now on the memory of all JSON values is cleansed when it is freed; json_read() does it by itself. */
void json_cleanse_memory(void);

/* TEXT as a string. What it quotes may be no UTF-8, the name of a file say, and the sentence is worth more
 * than the letter: each such byte becomes `?`. NULL when memory is out. */
json_t *json_text(const char *text);

/* JSON as text, owned by the caller; FLAGS are those of json_dumps(). NULL when memory is out, at whichever
 * byte: json_dumps() of jansson 2.14 leaves out a key that it has no room for, and says nothing. */
char *json_format(const json_t *json, size_t flags);
