/*
 * rekeyd: reads its options and its configuration, then runs the loop until a signal stops it. All that it
 * does in between is in the library beside this file, so that tests can link any part of it.
 */

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "daemon/loop/curl-glue.h"
#include "daemon/loop/journald.h"
#include "daemon/loop/log-watch.h"
#include "daemon/loop/service.h"
#include "daemon/manager/loop.h"
#include "daemon/manager/manager.h"
#include "daemon/observe/messages.h"
#include "lib/util/environment.h"
#include "lib/util/files.h"
#include "lib/x509/key.h"

#define CONFIG_PATH "/etc/rekeyd/rekeyd.yaml"

struct arguments {
        const char *config_path;
        bool check_config;
        bool once;
};

static const struct {
        const char *name;
        char letter;
        const char *argument, *help;
} options[] = {
        { "config", 'c', "FILE", "read FILE instead of " CONFIG_PATH },
        { "once", 0, NULL, "renew what is due, then exit: 0 nothing was due, 2 renewed, 1 something failed" },
        { "check-config", 0, NULL, "print every error in the configuration, or the effective configuration" },
        { "help", 'h', NULL, "print this text" },
        { "version", 'V', NULL, "print the version" },
};

static void print_help(void) {
        puts("Usage: rekeyd [OPTION]...\nKeeps Compass/UCL client certificates valid: enrols, renews, "
             "verifies, swaps and notifies dependents.\n");
        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                char left[40];

                snprintf(left, sizeof(left), "%s%c%s--%s%s%s", options[i].letter ? "-" : "  ",
                         options[i].letter ? options[i].letter : ' ', options[i].letter ? ", " : " ",
                         options[i].name, options[i].argument ? " " : "",
                         options[i].argument ? options[i].argument : "");
                printf("  %-20s  %s\n", left, options[i].help);
        }
        puts("\nSIGTERM and SIGINT stop it cleanly, SIGHUP reloads the configuration. See rekeyd(8), "
             "and rekeyd.yaml(5) for the options of the configuration.");
}

/* 0 to continue, 1 to exit successfully, -EINVAL. */
static int parse_arguments(int argc, char *argv[], struct arguments *ret) {
        struct option longs[ELEMENTSOF(options) + 1] = { 0 };
        struct arguments arguments = { .config_path = CONFIG_PATH };
        int letter, index = 0;

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                longs[i] = (struct option) { options[i].name,
                                             options[i].argument ? required_argument : no_argument, NULL,
                                             options[i].letter };

        while ((letter = getopt_long(argc, argv, "c:hV", longs, &index)) != -1)
                switch (letter) {
                case 'c':
                        arguments.config_path = optarg;
                        break;
                case 'h':
                        print_help();
                        return 1;
                case 'V':
                        puts("rekeyd " REKEYD_VERSION);
                        return 1;
                case 0:
                        if (streq(longs[index].name, "once"))
                                arguments.once = true;
                        else
                                arguments.check_config = true;
                        break;
                default:
                        fputs("Try 'rekeyd --help'.\n", stderr);
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "rekeyd: unexpected argument '%s'. Try 'rekeyd --help'.\n", argv[optind]);
                return -EINVAL;
        }

        *ret = arguments;
        return 0;
}

/* Keys pass through this process: no core file, no ptrace by others, no surprise in the modes of new files.
 * Not by RLIMIT_CORE, which the commands of dependents would inherit. */
static void harden_process(void) {
        if (!key_cleanse_memory())
                log_warning("OpenSSL was used too early; copies of keys may remain in freed memory");
#if !HAS_ADDRESS_SANITIZER /* whose search for leaks attaches to the process */
        (void)prctl(PR_SET_DUMPABLE, 0);
#endif
        umask(022);
}

static int check_config(const struct config *config) {
        _cleanup_(freep) char *yaml = NULL;

        if (config_format(config, &yaml) < 0) {
                log_error("out of memory");
                return EXIT_FAILURE;
        }
        if (fputs(yaml, stdout) >= 0 && fflush(stdout) == 0)
                return EXIT_SUCCESS;
        log_error("cannot write the configuration: %s", strerrordesc_np(errno));
        return EXIT_FAILURE;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, _unused_ void *userdata) {
        log_info("got SIG%s, stopping", sigabbrev_np((int)info->ssi_signo));
        service_stopping();
        return sd_event_exit(sd_event_source_get_event(source), EXIT_SUCCESS);
}

static int on_hangup(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *info,
                     void *userdata) {
        struct manager **manager = userdata;

        log_info("got SIGHUP, reloading the configuration");
        manager_reload(*manager);
        return 0;
}

/* MANAGER will be there when the loop runs; NULL: nothing to reload. */
static int set_up_signals(sd_event *event, struct manager **manager) {
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        signal(SIGPIPE, SIG_IGN);

        r = sd_event_add_signal(event, NULL, SIGTERM, on_stop, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT, on_stop, NULL);
        if (r < 0)
                return r;
        return manager ? sd_event_add_signal(event, NULL, SIGHUP, on_hangup, manager) : 0;
}

static int run(struct config *owned_config, const struct arguments *arguments) {
        const bool once = arguments->once;
        _cleanup_(config_freep) struct config *config = owned_config;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(log_watch_freep) struct log_watch *log_watch = NULL;
        _cleanup_(manager_freep) struct manager *manager = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct metrics *metrics;
        int r;

        r = sd_event_new(&event);
        if (r == 0)
                r = set_up_signals(event, once ? NULL : &manager);
        if (r == 0)
                r = log_watch_new(event, &log_watch);
        if (r < 0) {
                log_error("cannot set up the event loop: %s", strerrordesc_np(-r));
                return EXIT_FAILURE;
        }
        r = manager_new(event, take_ptr(config), arguments->config_path, once, &manager, &error);
        if (r < 0) {
                log_error("%s", error_text(&error));
                return EXIT_FAILURE;
        }

        if (!once && service_watch(event) < 0)
                log_warning("cannot feed the watchdog of the service manager");
        manager_start(manager);
        metrics = manager_metrics(manager);
        r = loop_run(event, metrics);
        if (r < 0) {
                log_error("the event loop failed: %s", strerrordesc_np(-r));
                return EXIT_FAILURE;
        }
        log_debug("the longest turn of the loop took %" PRIu64 ".%03u ms, all keys %" PRIu64
                  ".%03u ms of a processor",
                  metrics->longest_turn_usec / USEC_PER_MSEC,
                  (unsigned)(metrics->longest_turn_usec % USEC_PER_MSEC),
                  metrics->key_cpu_usec / USEC_PER_MSEC, (unsigned)(metrics->key_cpu_usec % USEC_PER_MSEC));
        if (!once)
                log_fields(LOG_INFO, MESSAGE_STOPPED, NULL, 0, "stopped");
        return r;
}

static int start(int argc, char *argv[]) {
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        struct arguments arguments;
        int r;

        environment_clean();
        /* malloc() would raise it by itself, and keep the chunks of configurations that are gone. */
        (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
        r = fd_reserve_standard();
        if (r < 0) {
                log_error("cannot open /dev/null: %s", strerrordesc_np(-r));
                return EXIT_FAILURE;
        }
        harden_process();
        r = parse_arguments(argc, argv, &arguments);
        if (r != 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        if (config_load(arguments.config_path, &config, &errors) < 0) {
                for (size_t i = 0; i < errors.n; i++)
                        log_plain(errors.items[i]);
                return EXIT_FAILURE;
        }
        if (arguments.check_config)
                return check_config(config);

        log_set_journal(&journald);
        log_configure(config->log.format, config->log.level);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                log_error("cannot start libcurl");
                return EXIT_FAILURE;
        }
        r = run(take_ptr(config), &arguments);
        curl_global_cleanup();
        return r;
}

int main(int argc, char *argv[]) {
        const int exit = start(argc, argv);

        log_finish();
        return exit;
}
