/* rekeyctl: reads its command line and runs one command. All else is in the library beside this file. */

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "ctl/commands/commands.h"
#include "ctl/ctl.h"
#include "lib/util/environment.h"
#include "lib/util/files.h"
#include "lib/util/secret.h"
#include "lib/x509/key.h"

/* What was printed must have arrived: a full disk is no success. */
static int flush(const struct ctl *ctl, int exit) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return exit;
        if (errno == EPIPE) /* the reader has closed the pipe */
                return exit;
        return ctl_fail(ctl, exit == CTL_OK ? CTL_FAILED : exit, "cannot write the answer: %s",
                        strerrordesc_np(errno));
}

int main(int argc, char *argv[]) {
        _cleanup_(ctl_clear) struct ctl ctl = { .term = term_detect(STDOUT_FILENO), .table = &commands };
        int r, exit;

        environment_clean();
        r = fd_reserve_standard();
        if (r < 0)
                return ctl_fail(&ctl, CTL_FAILED, "cannot open /dev/null: %s", strerrordesc_np(-r));
#if !HAS_ADDRESS_SANITIZER               /* whose search for leaks attaches to the process */
        (void)prctl(PR_SET_DUMPABLE, 0); /* a one-time token may pass through */
#endif
        signal(SIGPIPE, SIG_IGN);
        if (!key_cleanse_memory()) /* `adopt` reads one */
                return ctl_fail(&ctl, CTL_FAILED, "cannot have OpenSSL cleanse its memory");
        /* libcurl copies what it sends, and a one-time token may be in it. */
        if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free_cleansed, realloc_cleansed, strdup,
                                 calloc) != CURLE_OK)
                return ctl_fail(&ctl, CTL_FAILED, "cannot start libcurl");

        r = ctl_parse(&ctl, argc, argv);
        if (r < 0)
                exit = ctl.command && ctl.command->usage_exit ? ctl.command->usage_exit : CTL_USAGE;
        else
                exit = flush(&ctl, r > 0 ? CTL_OK : ctl.command->run(&ctl));
        curl_global_cleanup();
        return exit;
}
