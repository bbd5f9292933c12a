/* rekeyca: reads its command line and runs one verb. All else is in the libraries beside this file. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "ca/cli/session.h"
#include "ca/live/call.h"
#include "lib/util/environment.h"
#include "lib/util/files.h"
#include "lib/util/json.h"

static const struct {
        int (*run)(struct session *session, struct error *error);
        enum session_mode mode;
} verbs[VERB_COMPLETION] = {
        [VERB_INSPECT] = { verb_inspect, SESSION_READS },
        [VERB_PLAN] = { verb_plan, SESSION_CHANGES },
        [VERB_APPLY] = { verb_apply, SESSION_CHANGES },
        [VERB_STATUS] = { verb_status, SESSION_READS },
        [VERB_PROBE] = { verb_probe, SESSION_READS },
        [VERB_RETIRE] = { verb_retire, SESSION_CHANGES },
        [VERB_ROLLBACK] = { verb_rollback, SESSION_CHANGES },
        [VERB_ABORT] = { verb_abort, SESSION_CHANGES },
};

static int run(const struct options *options) {
        const enum session_mode mode = options->dry_run ? SESSION_READS : verbs[options->verb].mode;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct session session;
        int r, status;

        r = session_open(&session, options, mode, &error);
        if (r == 0)
                r = verbs[options->verb].run(&session, &error);
        status = session_end(&session, r, &error);
        session_close(&session);
        return status;
}

static int complete(const struct options *options) {
        if (options->shell && options_print_completion(options->shell, stdout) == 0)
                return EXIT_DONE;
        fputs("rekeyca: completion needs bash or zsh\n", stderr);
        return EXIT_USAGE;
}

/* The key of a CA is in this process: no core file, no debugger, no copies in freed memory. */
static bool keep_secrets(void) {
        environment_clean();
#if !HAS_ADDRESS_SANITIZER /* whose search for leaks attaches to the process */
        (void)prctl(PR_SET_DUMPABLE, 0);
#endif
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit) { 0 });
        json_cleanse_memory();
        return key_cleanse_memory() && fd_reserve_standard() == 0;
}

int main(int argc, char *argv[]) {
        struct options options;
        int r, status;

        if (!keep_secrets() || call_begin() < 0) {
                fputs("rekeyca: cannot start its libraries\n", stderr);
                return EXIT_FAILED;
        }
        signal(SIGPIPE, SIG_IGN);
        r = options_parse(argc, argv, &options);
        if (r != 0)
                status = r < 0 ? EXIT_USAGE : EXIT_DONE;
        else
                status = options.verb == VERB_COMPLETION ? complete(&options) : run(&options);
        call_end();
        return status;
}
