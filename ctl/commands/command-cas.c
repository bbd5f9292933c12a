/* `rekeyctl cas`: the CA certificates that the sets are issued under, for whoever rotates one. Only rekeyd
 * knows them all, so the files are no way out here. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/format.h"
#include "ctl/terminal/table.h"
#include "ctl/view.h"
#include "lib/util/text-stream.h"

#define INDENT 2u

/* The soonest to expire comes first. */
static int compare_cas(const void *a, const void *b) {
        const usec_t x = view_member_time(*(json_t *const *)a, "not_after"),
                     y = view_member_time(*(json_t *const *)b, "not_after");

        return x < y ? -1 : x > y;
}

/* "ucl, old"; owned, NULL when memory is out. */
static char *names_of(const json_t *ca, const char *member) {
        const json_t *names = json_object_get(ca, member), *name;
        char *text = NULL;
        size_t i, size;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        json_array_foreach(names, i, name) fprintf(out, "%s%s", i == 0 ? "" : ", ",
                                                   json_is_string(name) ? json_string_value(name) : "?");
        if (fclose(out) != 0)
                free(take_ptr(text));
        return text;
}

static void pair(struct table *table, enum term_style style, const char *name, const char *prefix,
                 const char *value) {
        if (strempty(value))
                return;
        table_row(table);
        table_cell(table, TERM_FAINT, "%s", name);
        table_cell(table, style, "%s%s", prefix, value);
}

static int print_ca(const struct ctl *ctl, const json_t *ca, usec_t now) {
        static const struct table_column columns[] = { { .min = 0 }, { .min = 0 } };
        _cleanup_(table_freep) struct table *table = table_new(&ctl->term, columns, ELEMENTSOF(columns));
        _cleanup_(freep) char *connectors = names_of(ca, "connectors"), *newest = names_of(ca, "newest_of"),
                              *distrusted = names_of(ca, "distrusted_by");
        const usec_t expiry = view_member_time(ca, "not_after");
        char when[TIMESTAMP_MAX], span[TIMESPAN_MAX], text[TIMESTAMP_MAX + TIMESPAN_MAX + 16], sets[32];

        if (!connectors || !newest || !distrusted)
                return -ENOMEM;
        if (expiry <= now)
                snprintf(text, sizeof(text), "%s: expired", format_timestamp(when, expiry));
        else if (expiry == USEC_INFINITY)
                snprintf(text, sizeof(text), "never");
        else
                snprintf(text, sizeof(text), "%s, in %s", format_timestamp(when, expiry),
                         format_timespan(span, expiry - now));
        snprintf(sets, sizeof(sets), "%" PRIu64, view_number(ca, "sets"));

        pair(table, TERM_PLAIN, "certificate", "", view_string(ca, "fingerprint"));
        pair(table, TERM_PLAIN, "key", "spki:", view_string(ca, "spki"));
        pair(table, expiry <= now ? TERM_BAD : TERM_PLAIN, "expires", "", text);
        pair(table, TERM_PLAIN, "sets", "", sets);
        pair(table, TERM_PLAIN, "connectors", "", connectors);
        pair(table, TERM_PLAIN, "newest of", "", newest);
        pair(table, TERM_WARNING, "distrusted by", "", distrusted);
        return table_print(table, stdout, INDENT);
}

static int print_cas(struct ctl *ctl, const json_t *cas) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        const size_t n = json_array_size(cas);
        _cleanup_(freep) json_t **sorted = calloc(n + 1, sizeof(*sorted)); /* borrows */

        if (!sorted)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (n == 0)
                ctl_print(ctl, "No set has a known CA.");
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(cas, i);
        qsort(sorted, n, sizeof(*sorted), compare_cas);
        for (size_t i = 0; i < n; i++) {
                const char *subject = view_string(sorted[i], "subject");

                if (i > 0)
                        ctl_print(ctl, "%s", "");
                ctl_print_as(ctl, TERM_STRONG, "%s", subject ? subject : "?");
                if (print_ca(ctl, sorted[i], now) < 0)
                        return ctl_fail(ctl, CTL_FAILED, "out of memory");
        }
        return CTL_OK;
}

static int run(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int exit;

        exit = ctl_ask(ctl, "GET", "/v1/cas", NULL, &answer);
        if (exit != CTL_OK)
                return exit;
        return ctl_has(ctl, "json") ? ctl_print_json(ctl, answer)
                                    : print_cas(ctl, json_object_get(answer, "cas"));
}

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_cas = {
        .name = "cas",
        .section = CTL_INSPECT,
        .help = "list the CA certificates in use",
        .more = "For each: fingerprint, key, expiry, how many sets are issued under it, and which Connectors "
                "have signed with it last. Fingerprint and key are what `distrust` in the configuration and "
                "`rekeyctl renew --issuer` take.",
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
