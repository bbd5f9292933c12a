/* `rekeyctl show`: all that is known of one certificate, in blocks. Files and generations come from rekeyd
 * too, or from the disk where none runs. */

#include <errno.h>
#include <stdio.h>

#include "ctl/overview.h"
#include "ctl/source.h"
#include "ctl/terminal/format.h"
#include "ctl/terminal/table.h"

#define INDENT 2u

/* What the blocks are made from. */
struct sheet {
        const struct ctl *ctl;
        const json_t *details;
        struct view view;
        usec_t now;
};

/* --- Lines --- */

static const struct table_column pair_columns[] = { { .min = 0 }, { .min = 0 } };

/* Names and values, aligned; a value is never cut. */
static struct table *pairs_new(const struct sheet *sheet) {
        return table_new(&sheet->ctl->term, pair_columns, ELEMENTSOF(pair_columns));
}

static void pair_as(struct table *table, enum term_style style, const char *name, const char *value) {
        if (strempty(value))
                return;
        table_row(table);
        table_cell(table, TERM_FAINT, "%s", name);
        table_cell(table, style, "%s", value);
}

static void pair(struct table *table, const char *name, const char *value) {
        pair_as(table, TERM_PLAIN, name, value);
}

static void pair_time(struct table *table, const char *name, usec_t when, usec_t now) {
        char moment[MOMENT_MAX];

        if (when == 0)
                return;
        table_row(table);
        table_cell(table, TERM_FAINT, "%s", name);
        table_cell(table, TERM_PLAIN, "%s", format_moment(moment, when, now));
}

static void print_title(const struct sheet *sheet, const char *title) {
        printf("\n%s%s%s\n", term_begin(&sheet->ctl->term, TERM_STRONG), title,
               term_end(&sheet->ctl->term, TERM_STRONG));
}

/* --- Blocks --- */

static int print_life(const struct sheet *sheet) {
        const struct view *view = &sheet->view;
        _cleanup_(table_freep) struct table *table = pairs_new(sheet);
        const json_t *attempts = json_object_get(sheet->details, "attempts_before_expiry");
        const char *operation = view_failed_operation(view);
        char text[64];

        pair(table, "Connector", view->connector);
        pair(table, "Directory", view->directory);
        snprintf(text, sizeof(text), "%s%s%s%s%s", view->state,
                 view->is_revoking  ? ", may be revoked"
                 : view->is_revoked ? ", revoked"
                                    : "",
                 view->step ? ", at step " : "", view->step ? view->step : "",
                 view->knowledge == SET_UNREADABLE                ? ", cannot be read"
                 : view->knowledge == SET_UNKNOWN                 ? ", not inspected yet"
                 : view->is_usable || view->knowledge == SET_NONE ? ""
                                                                  : ", not usable");
        pair_as(table, view->is_usable ? TERM_PLAIN : TERM_BAD, "State", text);
        pair_time(table, "Renewal", view->renew_at, sheet->now);
        pair(table, "Next key", view->renewable.key_ahead);
        pair_time(table, "  at", view->renewable.key_ahead_at, sheet->now);
        pair_time(table, "Next attempt", view->next_attempt, sheet->now);
        if (view->failures > 0) {
                snprintf(text, sizeof(text), "%u in a row, the last one %s", view->failures,
                         view->failure ? view->failure : "of unknown class");
                pair_as(table, TERM_WARNING, "Failures", text);
        }
        pair(table, "Last error", view->last_error);
        pair_time(table, "  at", view->last_error_at, sheet->now);
        pair_as(table, TERM_WARNING, "Other subject", view->subjects.refused);
        pair_as(table, TERM_WARNING, "Doubt", view->renewable.doubt);
        pair(table, "Last probe", view->renewable.answer);
        pair_time(table, "  at", view->renewable.probed_at, sheet->now);
        snprintf(text, sizeof(text), "%s%s%s", operation, *operation ? " " : "",
                 view->last_result ? view->last_result : "");
        pair(table, "Last result", text);
        pair_time(table, "  at", view->last_result_at, sheet->now);
        if (!streq_null(view->last_result_error, view->last_error))
                pair(table, "  because", view->last_result_error);
        if (view->budget_left != VIEW_UNKNOWN) {
                snprintf(text, sizeof(text), "%u signature%s left in this hour", view->budget_left,
                         view->budget_left == 1 ? "" : "s");
                pair(table, "Budget", text);
        }
        if (json_is_integer(attempts)) {
                snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "%s possible before the expiry",
                         json_integer_value(attempts),
                         json_integer_value(attempts) >= 1000 ? " or more" : "");
                pair(table, "Attempts", text);
        }
        return table_print(table, stdout, INDENT);
}

/* What there was when it could be read. */
static void print_last_known(const struct sheet *sheet, struct table *table) {
        const struct view *view = &sheet->view;
        char moment[MOMENT_MAX], text[64];

        if (!view_has_set(view)) {
                pair(table, "Last known", "nothing");
                return;
        }
        snprintf(text, sizeof(text), "generation %" PRIu64, view->generation);
        pair(table, "Last known", text);
        pair(table, "Valid until", format_moment(moment, view->not_after, sheet->now));
        pair(table, "SHA-256", view->fingerprint);
}

static int print_set(const struct sheet *sheet) {
        const json_t *set = json_object_get(sheet->details, "set");
        const struct view *view = &sheet->view;
        _cleanup_(table_freep) struct table *table = pairs_new(sheet);
        char text[64];

        print_title(sheet, "Certificate");
        if (view->knowledge == SET_UNREADABLE)
                pair_as(table, TERM_BAD, "Cannot be read", view->problem);
        if (!json_is_object(set) && view->knowledge == SET_NONE) {
                pair_as(table, TERM_BAD, "None", view->problem ? view->problem : "no set stored yet");
                return table_print(table, stdout, INDENT);
        }
        if (!json_is_object(set)) {
                print_last_known(sheet, table);
                return table_print(table, stdout, INDENT);
        }
        pair(table, "Subject", view_string(set, "subject"));
        pair(table, "Issuer", view_string(set, "issuer"));
        pair(table, "Serial", view_string(set, "serial"));
        pair(table, "Key", view_string(set, "key"));
        pair_time(table, "Valid from", view->not_before, sheet->now);
        pair_time(table, "Valid until", view->not_after, sheet->now);
        pair_as(table, TERM_WARNING, "  limited by CA", view->renewable.expires_first);
        snprintf(text, sizeof(text), "%" PRIu64, view->generation);
        pair(table, "Generation", text);
        pair(table, "SHA-256", view->fingerprint);
        pair(table, "SPKI", view_string(set, "spki"));
        pair(table, "Connector URL", view_string(set, "connector_url"));
        pair(table, "Director URL", view_string(set, "director_url"));
        if (view->knowledge != SET_UNREADABLE)
                pair_as(table, TERM_WARNING, "Problem", view->problem);
        return table_print(table, stdout, INDENT);
}

/* The certificates of the array NAME of `set`. */
static int print_list(const struct sheet *sheet, const char *name, const char *title) {
        static const struct table_column columns[] = {
                { .title = "SUBJECT", .min = 20 },
                { .title = "ISSUER", .min = 12 },
                { .title = "VALID UNTIL" },
                { .title = "SHA-256", .min = 12, .drop = 1 },
        };
        const json_t *list = json_object_get(json_object_get(sheet->details, "set"), name);
        _cleanup_(table_freep) struct table *table = NULL;
        json_t *item;
        size_t i;

        if (json_array_size(list) == 0)
                return 0;
        print_title(sheet, title);
        table = table_new(&sheet->ctl->term, columns, ELEMENTSOF(columns));
        json_array_foreach(list, i, item) {
                const usec_t not_after = view_member_time(item, "not_after");
                const char *subject = view_string(item, "subject"), *issuer = view_string(item, "issuer");
                const char *fingerprint = view_string(item, "fingerprint");
                char time[LOCAL_TIME_MAX];

                table_row(table);
                table_cell(table, TERM_PLAIN, "%s", subject ? subject : "?");
                table_cell(table, TERM_PLAIN, "%s", issuer ? issuer : "?");
                table_cell(table, not_after > 0 && not_after <= sheet->now ? TERM_BAD : TERM_PLAIN, "%s",
                           format_local_time(time, not_after));
                table_cell(table, TERM_FAINT, "%s", fingerprint ? fingerprint : "");
        }
        return table_print(table, stdout, INDENT);
}

static int print_issuers(const struct sheet *sheet) {
        int r = print_list(sheet, "chain", "Intermediates");

        return r < 0 ? r : print_list(sheet, "ca", "Trust anchors, in ca.crt");
}

static int print_generations(const struct sheet *sheet) {
        static const struct table_column columns[] = {
                { .title = "NUMBER", .is_right = true },
                { .title = "" },
                { .title = "VALID FROM" },
                { .title = "VALID UNTIL" },
                { .title = "SHA-256", .min = 10, .drop = 1 },
        };
        const json_t *list = json_object_get(sheet->details, "generations");
        _cleanup_(table_freep) struct table *table = NULL;
        json_t *item;
        size_t i;
        int r;

        if (json_array_size(list) == 0)
                return 0;
        print_title(sheet, "Generations");
        table = table_new(&sheet->ctl->term, columns, ELEMENTSOF(columns));
        json_array_foreach(list, i, item) {
                const char *fingerprint = view_string(item, "fingerprint");
                char time[LOCAL_TIME_MAX];

                table_row(table);
                table_cell(table, TERM_PLAIN, "%" PRIu64, view_number(item, "number"));
                table_cell(table, TERM_GOOD, "%s",
                           json_is_true(json_object_get(item, "current")) ? "current" : "");
                if (view_string(item, "error"))
                        continue;
                table_cell(table, TERM_PLAIN, "%s",
                           format_local_time(time, view_member_time(item, "not_before")));
                table_cell(table, TERM_PLAIN, "%s",
                           format_local_time(time, view_member_time(item, "not_after")));
                table_cell(table, TERM_FAINT, "%s", fingerprint ? fingerprint : "");
        }
        r = table_print(table, stdout, INDENT);

        json_array_foreach(list, i, item) if (view_string(item, "error"))
                ctl_print_as(sheet->ctl, TERM_BAD, "  %" PRIu64 " cannot be used: %s",
                             view_number(item, "number"), view_string(item, "error"));
        return r;
}

static int print_staged(const struct sheet *sheet) {
        static const struct {
                const char *member, *label;
        } parts[] = {
                { "key", "a key" },
                { "csr", "a CSR" },
                { "token", "a one-time token" },
                { "certificate", "a certificate that is not verified yet" },
        };
        const json_t *staged = json_object_get(sheet->details, "staged");
        bool is_first = true;

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (json_is_true(json_object_get(staged, parts[i].member))) {
                        if (is_first)
                                print_title(sheet, "Staged for the next generation");
                        printf("%s%s", is_first ? "  " : ", ", parts[i].label);
                        is_first = false;
                }
        if (!is_first)
                putchar('\n');
        return 0;
}

/* "current: generation 3, written 5m ago". */
static void print_current(const struct sheet *sheet, struct table *table, const json_t *item) {
        const usec_t written = view_member_time(item, "written_at");
        const uint64_t generation = view_number(item, "generation");
        char distance[DISTANCE_MAX];

        if (generation == 0)
                table_cell(table, TERM_GOOD, "current");
        else
                table_cell(table, TERM_GOOD, "current: generation %" PRIu64 "%s%s", generation,
                           written > 0 ? ", written " : "",
                           written > 0 ? format_distance(distance, written, sheet->now) : "");
}

static void print_failed(const struct sheet *sheet, struct table *table, const json_t *item,
                         enum term_style style) {
        const usec_t next = view_member_time(item, "next_attempt");
        char distance[DISTANCE_MAX];

        table_cell(table, style, "%s%s%s", view_string(item, "error"), next > 0 ? "; next attempt " : "",
                   next > 0 ? format_distance(distance, next, sheet->now) : "");
}

static int print_exports(const struct sheet *sheet) {
        static const struct table_column columns[] = { { .title = "TARGET" },
                                                       { .title = "FORMAT" },
                                                       { .title = "STATE", .wraps = true } };
        const json_t *list = json_object_get(sheet->details, "exports");
        _cleanup_(table_freep) struct table *table = NULL;
        json_t *item;
        size_t i;

        if (json_array_size(list) == 0)
                return 0;
        print_title(sheet, "Exports");
        table = table_new(&sheet->ctl->term, columns, ELEMENTSOF(columns));
        json_array_foreach(list, i, item) {
                const bool is_secret = view_string(item, "secret");
                const char *path = view_string(item, is_secret ? "secret" : "path");
                const char *format = view_string(item, is_secret ? "layout" : "format");
                const char *error = view_string(item, "error");
                const json_t *current = json_object_get(item, "current");

                table_row(table);
                table_cell(table, TERM_PLAIN, "%s", path ? path : "?");
                table_cell(table, TERM_PLAIN, "%s", format ? format : "?");
                if (error)
                        print_failed(sheet, table, item, json_is_true(current) ? TERM_WARNING : TERM_BAD);
                else if (json_is_true(current))
                        print_current(sheet, table, item);
                else if (json_is_false(current))
                        table_cell(table, TERM_BAD, "not current");
                else
                        table_cell(table, TERM_FAINT,
                                   is_secret ? "unknown until rekeyd has read it" : "unknown");
        }
        return table_print(table, stdout, INDENT);
}

static int print_dependents(const struct sheet *sheet) {
        static const struct table_column columns[] = { { .title = "DEPENDENT" },
                                                       { .title = "STATE", .wraps = true } };
        const json_t *list = json_object_get(sheet->details, "dependents");
        _cleanup_(table_freep) struct table *table = NULL;
        json_t *item;
        size_t i;

        if (json_array_size(list) == 0)
                return 0;
        print_title(sheet, "Dependents");
        table = table_new(&sheet->ctl->term, columns, ELEMENTSOF(columns));
        json_array_foreach(list, i, item) {
                const char *name = view_string(item, "dependent"), *error = view_string(item, "error");
                const uint64_t failures = view_number(item, "failures");
                const usec_t next = view_member_time(item, "next_attempt");
                char distance[DISTANCE_MAX];

                table_row(table);
                table_cell(table, TERM_PLAIN, "%s", name ? name : "?");
                if (!view_has_set(&sheet->view))
                        table_cell(table, TERM_FAINT, "no certificate yet");
                else if (!json_object_get(item, "pending"))
                        table_cell(table, TERM_FAINT, "unknown");
                else if (!json_is_integer(json_object_get(item, "pending")))
                        table_cell(table, TERM_GOOD, "notified");
                else
                        table_cell(table, failures > 0 ? TERM_BAD : TERM_WARNING,
                                   "pending: generation %" PRIu64 ", %" PRIu64 " failure%s%s%s%s%s",
                                   view_number(item, "pending"), failures, failures == 1 ? "" : "s",
                                   next > 0 ? ", next attempt " : "",
                                   next > 0 ? format_distance(distance, next, sheet->now) : "",
                                   error ? ": " : "", error ? error : "");
        }
        return table_print(table, stdout, INDENT);
}

/* --- All of it --- */

static int print_findings(const struct sheet *sheet, bool is_offline) {
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        int r;

        r = verdict_judge(&sheet->view, sheet->now, is_offline, &verdict);
        if (r == 0 && verdict.n_findings > 0)
                putchar('\n');
        for (size_t i = 0; r == 0 && i < verdict.n_findings; i++)
                r = overview_print_finding(stdout, &sheet->ctl->term, sheet->view.name, &verdict.findings[i]);
        return r;
}

static int print_sheet(const struct sheet *sheet, bool is_offline) {
        static int (*const blocks[])(const struct sheet *sheet) = {
                print_life,   print_set,     print_issuers,    print_generations,
                print_staged, print_exports, print_dependents,
        };
        int r = 0;

        ctl_print_as(sheet->ctl, TERM_STRONG, "%s", sheet->view.name);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(blocks); i++)
                r = blocks[i](sheet);
        return r == 0 ? print_findings(sheet, is_offline) : r;
}

static int run(struct ctl *ctl) {
        _cleanup_(source_freep) struct source *source = source_new(ctl);
        _cleanup_(json_decrefp) json_t *details = NULL;
        struct sheet sheet = { .ctl = ctl, .now = now_usec(CLOCK_REALTIME) };
        int exit;

        if (!source)
                return CTL_FAILED;
        exit = source_details(source, ctl->arguments[0], &details);
        if (exit != CTL_OK)
                return exit;
        if (ctl_has(ctl, "json"))
                return ctl_print_json(ctl, details);
        sheet.details = details;
        view_read(details, &sheet.view);
        if (print_sheet(&sheet, source_is_offline(source)) < 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return CTL_OK;
}

static const struct ctl_argument arguments[] = { { .name = "NAME", .kind = CTL_CERTIFICATE } };

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_show = {
        .name = "show",
        .section = CTL_INSPECT,
        .help = "show everything about one certificate",
        .more = "Its status, the set on disk, its issuers, generations, exports and dependents; then its "
                "problems.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
