#pragma once

/* What a program of ours must not take from its environment. */

/* Removes variables by which libraries would be made to do what no option of ours allows: SSLKEYLOGFILE has
 * libcurl write the keys of its connections into a file, CURL_SSL_BACKEND another library for TLS. Before any
 * library is initialised. */
void environment_clean(void);
