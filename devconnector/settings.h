#pragma once

/* What the command line sets. */

#include "lib/util/error.h"
#include "lib/util/time.h"

/* Every text is borrowed from the command line or from the table of defaults. Ports: 0 is any free one. */
struct settings {
        const char *directory;
        const char *listen;
        const char *host;
        uint64_t certificate_port, token_port, admin_port;
        usec_t lifetime, ca_lifetime, ca_window, token_lifetime; /* all in microseconds */
        const char *subject;
        const char *key_algorithm;
        const char *tls_max;
        bool root;
        bool help, version;
};

/* Fills RET from the command line. 0, or -EINVAL with a sentence that names the option. */
int settings_parse(int argc, char *argv[], struct settings *ret, struct error *error);

/* What --help prints on stdout. */
void settings_print_help(void);
