/*
 * The hidden `complete`, which the completions call. It prints nothing but the words.
 */

#include "ctl/source.h"
#include "ctl/view.h"

/* The configuration has the names as well, and costs rekeyd nothing; but not every user may read it. */
static int complete_names(struct ctl *ctl, struct source *source) {
        _cleanup_(json_decrefp) json_t *list = NULL;
        const struct config *config;
        json_t *status;
        size_t i;
        int exit;

        if (ctl_config(ctl, &config) == 0 && !ctl_has(ctl, "socket")) {
                for (i = 0; i < config->n_certificates; i++)
                        ctl_print(ctl, "%s", config->certificates[i].name);
                return CTL_OK;
        }
        exit = source_list(source, NULL, 0, &list);
        json_array_foreach(list, i, status) if (view_string(status, "name"))
                ctl_print(ctl, "%s", view_string(status, "name"));
        return exit;
}

static int complete_generations(struct ctl *ctl, struct source *source) {
        _cleanup_(json_decrefp) json_t *details = NULL;
        json_t *item;
        size_t i;
        int exit;

        if (ctl->n_arguments < 2)
                return CTL_USAGE;
        exit = source_details(source, ctl->arguments[1], &details);
        json_array_foreach(json_object_get(details, "generations"), i, item)
                ctl_print(ctl, "%" PRIu64, view_number(item, "number"));
        return exit;
}

static int run_complete(struct ctl *ctl) {
        _cleanup_(source_freep) struct source *source = source_new(ctl);

        if (!source)
                return CTL_FAILED;
        source_be_quiet(source);
        return streq(ctl->arguments[0], "names") ? complete_names(ctl, source)
                                                 : complete_generations(ctl, source);
}

static const char *const complete_words[] = { "names", "generations", NULL };

static const struct ctl_argument complete_arguments[] = {
        { .name = "WHAT", .kind = CTL_WORD, .words = complete_words },
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true },
};

const struct ctl_command command_complete = {
        .name = "complete",
        .section = CTL_OTHER,
        .help = "print the words that shell completion needs",
        .arguments = complete_arguments,
        .n_arguments = ELEMENTSOF(complete_arguments),
        .is_hidden = true,
        .run = run_complete,
};
