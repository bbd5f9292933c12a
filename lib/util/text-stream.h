#pragma once

/* A text in memory that is written like a file. */

#include <stddef.h>
#include <stdio.h>

/*
 * What is written becomes *TEXT, owned by the caller and NUL-terminated, and *SIZE without the NUL, when
 * fclose() returns 0. Where memory ran out at any byte, fclose() returns EOF, and *TEXT is NULL: a text is
 * whole or is not there. (open_memstream() of glibc leaves out what it has no memory for, and says nothing.)
 * What was moved is
 * cleansed. Both must outlive the stream; *TEXT is NULL until then. NULL when memory is out.
 */
FILE *text_stream_open(char **text, size_t *size);
