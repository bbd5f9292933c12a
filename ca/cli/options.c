#include "ca/cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>

#include "ca/rotation/phase.h"

const char *const exit_texts[EXIT_STATUS_MAX] = {
        [EXIT_DONE] = "done",
        [EXIT_FAILED] = "it failed; standard error gives the reason",
        [EXIT_USAGE] = "the command line or the site file is wrong",
        [EXIT_REFUSED] = "a check, the guard or the phase does not allow it",
        [EXIT_BUSY] = "another rekeyca is at work",
        [EXIT_CHANGED] = "another writer has changed a place of the rotation",
        [EXIT_UNVERIFIED] = "a gateway or the Connector does not do yet what it should; try again",
};

const struct verb_row verb_rows[VERB_MAX] = {
        [VERB_INSPECT] = { "inspect",
                           "show signer and bundles, what is wrong with them, and which reason fits" },
        [VERB_PLAN] = { "plan", "check everything and write down what a rotation will do; changes nothing" },
        [VERB_APPLY] = { "apply", "do the next phases, up to renewing" },
        [VERB_STATUS] = { "status", "show the phase, the places, and what the clients have to do" },
        [VERB_PROBE] = { "probe", "probe each address of each gateway with leaves of both CAs" },
        [VERB_RETIRE] = { "retire", "take the old CA out of the bundles, where no leaf is lost by it" },
        [VERB_ROLLBACK] = { "rollback", "restore the bytes from before" },
        [VERB_ABORT] = { "abort", "give up a rotation that has not written yet" },
        [VERB_COMPLETION] = { "completion", "print completions for bash or zsh" },
};

#define BIT(verb) (1u << (verb))
#define ALL       (BIT(VERB_COMPLETION) - 1)
#define CHANGING  (BIT(VERB_APPLY) | BIT(VERB_RETIRE) | BIT(VERB_ROLLBACK))
#define COUNTING  (BIT(VERB_STATUS) | CHANGING)

#define ROW(option_name, option_kind, member, option_argument, option_verbs, option_help)                 \
        {                                                                                                 \
                .name = (option_name), .kind = (option_kind), .offset = offsetof(struct options, member), \
                .argument = (option_argument), .verbs = (option_verbs), .help = (option_help)             \
        }

const struct option_row option_rows[] = {
        ROW("config", OPTION_TEXT, config, "FILE", ALL, "the site file [/etc/rekeyca/site.yaml]"),
        ROW("signer", OPTION_TEXT, signer, "PLACE", ALL,
            "the CA that signs: files:KEY,CERTIFICATE or secret:NS/NAME[KEY,CERTIFICATE]"),
        ROW("trust", OPTION_LIST, trust, "PLACE", ALL,
            "a trust bundle: files:PATH or secret:NS/NAME[KEY]; may be repeated"),
        ROW("state", OPTION_TEXT, state, "FILE", ALL,
            "the state file, or secret:NS/NAME [/var/lib/rekeyca/rotation.json]"),
        ROW("kubeconfig", OPTION_TEXT, kubeconfig, "FILE", ALL,
            "how the cluster is called [$KUBECONFIG, or the account of the pod]"),
        ROW("gateway", OPTION_LIST, gateway, "URL", ALL, "a gateway to be probed; may be repeated"),
        ROW("gateway-trust", OPTION_TEXT, gateway_trust, "FILE", ALL,
            "CA of the gateways' server certificates [the system's]"),
        ROW("reload", OPTION_LIST, reload, "WHAT", ALL,
            "unit:NAME, deployment:NS/NAME or command:PROGRAM ARGUMENTS; may be repeated"),
        ROW("reason", OPTION_TEXT, reason, "REASON", BIT(VERB_PLAN),
            "expiring, certificate-compromised, key-compromised or new-key"),
        ROW("take-over", OPTION_FLAG, take_over, NULL, BIT(VERB_PLAN),
            "write where another program writes too"),
        ROW("dry-run", OPTION_FLAG, dry_run, NULL, BIT(VERB_PLAN) | BIT(VERB_APPLY),
            "show what would be done, and change nothing"),
        ROW("until", OPTION_TEXT, until, "PHASE", BIT(VERB_APPLY), "the last phase to reach [renewing]"),
        ROW("force", OPTION_TEXT, force, "NAMES", CHANGING,
            "sets that may be lost, by name, with commas between them"),
        ROW("prometheus", OPTION_TEXT, prometheus, "URL", COUNTING,
            "count the sets of the fleet there; or at one rekeyd's /metrics"),
        ROW("control", OPTION_LIST, control, "SOCKET", COUNTING,
            "a rekeyd's control socket: its sets are renewed, and counted; may be repeated"),
        ROW("json", OPTION_FLAG, json, NULL, ALL, "print one JSON object"),
};
const size_t n_option_rows = ELEMENTSOF(option_rows);

enum { LETTER_HELP = 256, LETTER_VERSION };

/* --- Help --- */

void options_print_help(FILE *out) {
        fprintf(out, "rekeyca VERB [OPTION...]\n\nRotates the CA of a Connector, step by step.\n\n");
        for (enum verb_id verb = 0; verb < VERB_MAX; verb++)
                fprintf(out, "  %-24s %s\n", verb_rows[verb].name, verb_rows[verb].help);
        fprintf(out, "\n");
        for (size_t i = 0; i < n_option_rows; i++) {
                const struct option_row *row = &option_rows[i];
                char left[48];

                snprintf(left, sizeof(left), "--%s%s%s", row->name, row->argument ? "=" : "",
                         row->argument ? row->argument : "");
                fprintf(out, "  %-24s %s\n", left, row->help);
        }
        fprintf(out, "\nExit statuses:\n");
        for (enum exit_status status = 0; status < EXIT_STATUS_MAX; status++)
                fprintf(out, "  %d  %s\n", (int)status, exit_texts[status]);
}

static void print_words(FILE *out) {
        for (enum verb_id verb = 0; verb < VERB_MAX; verb++)
                fprintf(out, "%s ", verb_rows[verb].name);
        for (size_t i = 0; i < n_option_rows; i++)
                fprintf(out, "--%s ", option_rows[i].name);
        fprintf(out, "--help --version");
}

static void print_values(FILE *out) {
        fprintf(out, "  --reason) COMPREPLY=($(compgen -W '");
        for (enum reason reason = 0; reason < REASON_MAX; reason++)
                fprintf(out, "%s ", reason_rows[reason].name);
        fprintf(out, "' -- \"$cur\")); return ;;\n  --until) COMPREPLY=($(compgen -W '");
        for (enum phase phase = PHASE_STAGED; phase <= PHASE_RETIRED; phase++)
                fprintf(out, "%s ", phase_names[phase]);
        fprintf(out, "' -- \"$cur\")); return ;;\n"
                     "  --config|--state|--kubeconfig|--gateway-trust|--control) COMPREPLY=($(compgen -f -- "
                     "\"$cur\")); return ;;\n");
}

int options_print_completion(const char *shell, FILE *out) {
        if (!streq(shell, "bash") && !streq(shell, "zsh"))
                return -EINVAL;
        if (streq(shell, "zsh"))
                fprintf(out, "#compdef rekeyca\nautoload -U +X bashcompinit && bashcompinit\n");
        fprintf(out,
                "_rekeyca() {\n  local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
                "  case $before in\n");
        print_values(out);
        fprintf(out, "  esac\n  COMPREPLY=($(compgen -W '");
        print_words(out);
        fprintf(out, "' -- \"$cur\"))\n}\ncomplete -F _rekeyca rekeyca\n");
        return 0;
}

/* --- Parsing --- */

_printf_(1, 2) static int complain(const char *format, ...) {
        va_list args;

        fputs("rekeyca: ", stderr);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputs("; rekeyca --help lists all\n", stderr);
        return -EINVAL;
}

static int put(struct options *options, const struct option_row *row, const char *text) {
        void *place = (char *)options + row->offset;
        const char **list = place;
        size_t n = 0;

        switch (row->kind) {
        case OPTION_FLAG:
                *(bool *)place = true;
                return 0;
        case OPTION_TEXT:
                *list = text;
                break;
        case OPTION_LIST:
                while (list[n])
                        n++;
                if (n == OPTIONS_REPEAT_MAX)
                        return complain("--%s is there more than %d times", row->name, OPTIONS_REPEAT_MAX);
                list[n] = text;
                break;
        }
        return strempty(text) ? complain("--%s needs a value", row->name) : 0;
}

static int find_verb(const char *name, enum verb_id *ret) {
        for (enum verb_id verb = 0; verb < VERB_MAX; verb++)
                if (streq(name, verb_rows[verb].name)) {
                        *ret = verb;
                        return 0;
                }
        return complain("there is no verb '%s'", name);
}

static int check_verb(const struct options *options, const bool *is_given) {
        for (size_t i = 0; i < n_option_rows; i++)
                if (is_given[i] && !(option_rows[i].verbs & BIT(options->verb)))
                        return complain("%s has no option --%s", verb_rows[options->verb].name,
                                        option_rows[i].name);
        if (options->verb == VERB_PLAN && !options->reason)
                return complain("plan needs --reason; rekeyca inspect shows which one fits");
        return 0;
}

static int take_arguments(int argc, char *argv[], struct options *options) {
        int r;

        if (optind == argc)
                return complain("a verb is missing");
        r = find_verb(argv[optind++], &options->verb);
        if (r < 0)
                return r;
        if (options->verb == VERB_COMPLETION && optind < argc)
                options->shell = argv[optind++];
        return optind < argc ? complain("'%s' is one argument too many", argv[optind]) : 0;
}

static int take_options(int argc, char *argv[], struct options *options, bool *is_given) {
        struct option long_options[ELEMENTSOF(option_rows) + 3] = { 0 };
        int index = 0, r;

        for (size_t i = 0; i < n_option_rows; i++)
                long_options[i] = (struct option) { .name = option_rows[i].name,
                                                    .has_arg = option_rows[i].argument ? required_argument
                                                                                       : no_argument };
        long_options[n_option_rows] = (struct option) { .name = "help", .val = LETTER_HELP };
        long_options[n_option_rows + 1] = (struct option) { .name = "version", .val = LETTER_VERSION };

        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "", long_options, &index)) >= 0;) {
                if (c == '?')
                        return -EINVAL; /* getopt_long() has named it */
                if (c == LETTER_HELP)
                        options_print_help(stdout);
                if (c == LETTER_VERSION)
                        printf("rekeyca %s\n", REKEYD_VERSION);
                if (c != 0)
                        return 1;
                is_given[index] = true;
                r = put(options, &option_rows[index], optarg);
                if (r < 0)
                        return r;
        }
        return 0;
}

int options_parse(int argc, char *argv[], struct options *ret) {
        bool is_given[ELEMENTSOF(option_rows)] = { 0 };
        struct options options = { 0 };
        int r;

        r = take_options(argc, argv, &options, is_given);
        if (r != 0)
                return r;
        r = take_arguments(argc, argv, &options);
        if (r == 0)
                r = check_verb(&options, is_given);
        if (r == 0)
                *ret = options;
        return r;
}
