/*
 * devconnector: a Connector to develop, test and demonstrate against. It behaves like the real one down to
 * its error texts and fails on demand. It keeps its keys in plain files and lets anyone on this machine mint
 * tokens: it is no Connector for production, and says so.
 */

#include <event2/event.h>
#include <stdio.h>

#include "devconnector/server.h"
#include "lib/util/files.h"
#include "lib/util/log.h"

static int run(int argc, char *argv[], struct error *error) {
        struct settings settings;
        struct server server;
        int r;

        r = fd_reserve_standard();
        if (r < 0)
                return error_set_errno(error, r, "cannot open /dev/null");
        r = settings_parse(argc, argv, &settings, error);
        if (r < 0)
                return r;
        if (settings.help) {
                settings_print_help();
                return 0;
        }
        if (settings.version) {
                printf("devconnector %s\n", REKEYD_VERSION);
                return 0;
        }

        log_warning("devconnector is a tool for development: never use it, or what it signs, in production");
        r = server_open(&server, &settings, error);
        if (r == 0)
                r = server_run(&server, error);
        server_close(&server);
        libevent_global_shutdown();
        return r;
}

int main(int argc, char *argv[]) {
        struct error error = ERROR_INIT;
        const int r = run(argc, argv, &error);

        if (r < 0)
                log_error("%s", error_text(&error));
        error_clear(&error);
        log_finish();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
