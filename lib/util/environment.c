/*
 * Whoever sets the environment of a process can mostly do more than this, by LD_PRELOAD for example. This is
 * against a variable that was set for something else and has been left in a unit file or a shell. What an
 * administrator sets on purpose stays: OPENSSL_CONF, the options of the resolver. A .netrc is never read,
 * since libcurl would have to be asked to.
 */

#include "lib/util/environment.h"

#include "lib/util/macro.h"

void environment_clean(void) {
        static const char *const names[] = { "SSLKEYLOGFILE", "CURL_SSL_BACKEND" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                unsetenv(names[i]);
}
