/*
 * The Prometheus text format, version 0.0.4, from a table: one row for each family says its name, its type,
 * its help and where its value is. All series of a family must be together, so the table is walked once, and
 * all certificates are walked for each row that is about them.
 *
 * The place where the text continues is three numbers, of the family, the certificate and the line; there is
 * no text in between that would have to be kept. What is not known has no line: a 0 among timestamps would be
 * 1970, and everything would have expired.
 */

#include "daemon/observe/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "lib/util/files.h"
#include "lib/util/log.h"

/* --- What there is --- */

/* What the reader itself knows, taken when it is made. */
struct self {
        usec_t time_usec, cpu_usec;
        uint64_t resident_bytes, open_fds, max_fds; /* 0: unknown */
        uint64_t log_lines_dropped;
};

enum type { GAUGE, COUNTER, HISTOGRAM };
static const char *const type_names[] = {
        [GAUGE] = "gauge", [COUNTER] = "counter", [HISTOGRAM] = "histogram"
};

enum from { NOWHERE, METRICS, SOURCE, SELF, CERTIFICATE };

enum value {
        ONE,      /* 1, for the sake of the label */
        FLAG,     /* bool */
        NOT,      /* bool, and 1 where it is false */
        SMALL,    /* unsigned */
        SIZE,     /* size_t */
        NUMBER,   /* uint64_t */
        KNOWN,    /* uint64_t; 0: unknown */
        SECONDS,  /* usec_t, a span */
        TIME,     /* usec_t, CLOCK_REALTIME; 0 and USEC_INFINITY: none */
        READABLE, /* enum knowledge; SET_UNKNOWN has no value */
        STATE,    /* 1, for the sake of the label */
        FAILING,  /* 1 for the class of the last failure, while there are failures */
        ISSUER,   /* 1, for the sake of the labels, for each CA certificate of struct issuers */
        STEPS,    /* struct histogram */
        TURNS,
};

struct family {
        const char *name;
        enum type type;
        enum from from;
        enum value value;
        size_t offset;
        const char *help;

        /* One series for each of NAMES[FIRST] to NAMES[N - 1], and the value is an array. */
        const char *label;
        const char *const *names;
        size_t first, n;

        /* For each certificate: the value that nearly all of them have is not worth a line. */
        enum { ALWAYS_THERE, ABSENT_FOR_0, ABSENT_FOR_1 } absence;

        bool needs_set;      /* without a set, or one that was last known, there is no value */
        bool needs_sight;    /* nor while the set cannot be read, or was not inspected yet */
        bool with_connector; /* as a label */
        bool is_live;        /* not in a file */
};

static const char *const versions[] = { REKEYD_VERSION };
static const char *const results[] = { "success", "failure" };

/* Results are two neighbours, good and bad. */
#define IS_PAIR(good, bad) \
        _Static_assert(offsetof(struct metrics, bad) == offsetof(struct metrics, good) + sizeof(uint64_t), "")
IS_PAIR(notifications, notification_failures);
IS_PAIR(revocations, revocation_failures);
IS_PAIR(reloads, reload_failures);

#define OF(from_, value_, type, member) .from = from_, .value = value_, .offset = offsetof(type, member)
#define OF_METRICS(value, member)       OF(METRICS, value, struct metrics, member)
#define OF_SOURCE(value, member)        OF(SOURCE, value, struct metrics_source, member)
#define OF_SELF(value, member)          OF(SELF, value, struct self, member)
#define OF_CERTIFICATE(value, member)   OF(CERTIFICATE, value, struct report_status, member)
#define BY(label_, names_, first_)      .label = label_, .names = names_, .first = first_, .n = ELEMENTSOF(names_)

/* clang-format off */
static const struct family families[] = {
        { "rekeyd_build_info", GAUGE, .from = NOWHERE, .value = ONE, .offset = 0,
          "Version of rekeyd.", BY("version", versions, 0) },
        { "rekeyd_start_time_seconds", GAUGE, OF_METRICS(TIME, started_usec),
          "When rekeyd was started." },
        { "rekeyd_time_seconds", GAUGE, OF_SELF(TIME, time_usec),
          "Wall-clock time of this machine.", .is_live = true },
        { "rekeyd_ready", GAUGE, OF_SOURCE(FLAG, is_ready),
          "Whether every certificate has been inspected since the start." },
        { "rekeyd_certificates", GAUGE, OF_SOURCE(SIZE, n),
          "Certificates in the configuration." },

        { "rekeyd_certificate_expiry_timestamp_seconds", GAUGE, OF_CERTIFICATE(TIME, not_after),
          "When the current set expires: the earliest expiry in its chain.", .with_connector = true },
        { "rekeyd_certificate_not_before_timestamp_seconds", GAUGE, OF_CERTIFICATE(TIME, not_before),
          "When the leaf of the current set became valid." },
        { "rekeyd_certificate_renewal_timestamp_seconds", GAUGE, OF_CERTIFICATE(TIME, renew_at),
          "When the next renewal is due." },
        { "rekeyd_certificate_next_attempt_timestamp_seconds", GAUGE, OF_CERTIFICATE(TIME, next_attempt),
          "When the next attempt after a failure is due." },
        { "rekeyd_certificate_state", GAUGE, OF_CERTIFICATE(STATE, state),
          "1, with the state that the certificate is in as a label.", BY("state", renewal_state_names, RENEWAL_ABSENT) },
        { "rekeyd_certificate_readable", GAUGE, OF_CERTIFICATE(READABLE, knowledge),
          "0 while the files of the set cannot be read, else absent; what other metrics say of it is as last known.",
          .absence = ABSENT_FOR_1 },
        { "rekeyd_certificate_usable", GAUGE, OF_CERTIFICATE(FLAG, is_usable),
          "Whether there is a set that has not expired and was not revoked through rekeyd.", .needs_sight = true },
        { "rekeyd_certificate_revoked", GAUGE, OF_CERTIFICATE(FLAG, is_revoked),
          "1 if the current set was revoked through rekeyd, or may be, else absent.", .absence = ABSENT_FOR_0 },
        { "rekeyd_certificate_generation", GAUGE, OF_CERTIFICATE(NUMBER, generation),
          "Number of the current set.", .needs_set = true },
        { "rekeyd_certificate_failures", GAUGE, OF_CERTIFICATE(SMALL, failures),
          "Failed attempts in a row." },
        { "rekeyd_certificate_failing", GAUGE, OF_CERTIFICATE(FAILING, failure),
          "1 for the class of the last failure, while attempts fail.", BY("class", failure_names, FAILURE_NONE + 1) },
        { "rekeyd_certificate_exports_failed", GAUGE, OF_CERTIFICATE(SMALL, files.n_exports_failed),
          "Exports that could not be written; absent for 0.", .absence = ABSENT_FOR_0 },
        { "rekeyd_certificate_notifications_pending", GAUGE, OF_CERTIFICATE(SMALL, notices.n_pending),
          "Dependents with a pending notification of the current set; absent for 0.", .absence = ABSENT_FOR_0 },
        { "rekeyd_certificate_notifications_failed", GAUGE, OF_CERTIFICATE(SMALL, notices.n_failed),
          "Pending notifications whose last delivery failed; absent for 0.", .absence = ABSENT_FOR_0 },
        { "rekeyd_certificate_issuance_budget_left", GAUGE, OF_CERTIFICATE(SMALL, budget_left),
          "Signatures that may still be requested within this hour." },
        { "rekeyd_certificate_issuer_info", GAUGE, OF_CERTIFICATE(ISSUER, renewable.issuers),
          "CA certificates under which the current set is issued, by SHA-256 of the certificate and of its key.", .needs_set = true },
        { "rekeyd_certificate_unwatched", GAUGE, OF_CERTIFICATE(FLAG, files.is_unwatched),
          "1 if the kernel does not let rekeyd watch the files, so that it finds changes late, else absent.", .absence = ABSENT_FOR_0 },

        { "rekeyd_attempts_total", COUNTER, OF_METRICS(NUMBER, attempts),
          "Attempts to enrol or to renew that have begun." },
        { "rekeyd_attempt_failures_total", COUNTER, OF_METRICS(NUMBER, failures),
          "Attempts that failed, by the class of the failure.", BY("class", failure_names, FAILURE_NONE + 1) },
        { "rekeyd_enrolments_total", COUNTER, OF_METRICS(NUMBER, enrolments),
          "Enrolments that succeeded." },
        { "rekeyd_renewals_total", COUNTER, OF_METRICS(NUMBER, renewals),
          "Renewals that succeeded." },
        { "rekeyd_signatures_total", COUNTER, OF_METRICS(NUMBER, signatures),
          "Signatures requested from the Connectors." },
        { "rekeyd_step_duration_seconds", HISTOGRAM, OF_METRICS(STEPS, steps),
          "Duration of the steps of attempts.", BY("step", renewal_step_names, STEP_NONE + 1) },
        { "rekeyd_notifications_total", COUNTER, OF_METRICS(NUMBER, notifications),
          "Notifications of dependents, by result; each delivery counts.", BY("result", results, 0) },
        { "rekeyd_revocations_total", COUNTER, OF_METRICS(NUMBER, revocations),
          "Revocations of certificates at the Connectors, by result.", BY("result", results, 0) },
        { "rekeyd_probes_total", COUNTER, OF_METRICS(NUMBER, probes),
          "Probes of certificates in use, by what the Connector said.", BY("answer", probe_answer_names, PROBE_NONE + 1) },
        { "rekeyd_reloads_total", COUNTER, OF_METRICS(NUMBER, reloads),
          "Reloads of the configuration, by result.", BY("result", results, 0) },
        { "rekeyd_last_reload_successful", GAUGE, OF_METRICS(NOT, reload_has_failed),
          "Whether the last reload succeeded; 1 before the first reload." },
        { "rekeyd_last_reload_success_timestamp_seconds", GAUGE, OF_METRICS(TIME, last_reload_usec),
          "When the configuration was last reloaded successfully." },

        { "rekeyd_loop_turn_seconds", HISTOGRAM, OF_METRICS(TURNS, turns),
          "Duration of one turn of the event loop.", .is_live = true },
        { "rekeyd_loop_longest_turn_seconds", GAUGE, OF_METRICS(SECONDS, longest_turn_usec),
          "Longest turn of the event loop since the start.", .is_live = true },
        { "rekeyd_log_lines_dropped_total", COUNTER, OF_SELF(NUMBER, log_lines_dropped),
          "Log lines that were dropped, since they were not read or could not be written." },
        { "rekeyd_key_generation_cpu_seconds_total", COUNTER, OF_METRICS(SECONDS, key_cpu_usec),
          "Processor time spent on generating keys." },
        { "rekeyd_control_connections", GAUGE, OF_SOURCE(SMALL, connections),
          "Open connections to the control API.", .is_live = true },

        /* As client libraries name them for every program. */
        { "process_cpu_seconds_total", COUNTER, OF_SELF(SECONDS, cpu_usec),
          "Processor time of this process, in user and system mode.", .is_live = true },
        { "process_resident_memory_bytes", GAUGE, OF_SELF(KNOWN, resident_bytes),
          "Resident memory of this process.", .is_live = true },
        { "process_open_fds", GAUGE, OF_SELF(KNOWN, open_fds),
          "Open file descriptors of this process.", .is_live = true },
        { "process_max_fds", GAUGE, OF_SELF(KNOWN, max_fds),
          "Limit of open file descriptors of this process.", .is_live = true },
        { "process_start_time_seconds", GAUGE, OF_METRICS(TIME, started_usec),
          "When this process was started.", .is_live = true },
};
/* clang-format on */

struct metrics_reader {
        const struct metrics *metrics;
        struct metrics_source source;
        struct self self;
        uint64_t serial;

        /* What comes next. */
        size_t family, certificate, line;
        bool has_head;

        /* Of CERTIFICATE, within one metrics_read(); its strings may be gone afterwards. */
        struct report_status status;
        bool has_status;
};

/* --- Text --- */

struct text {
        char *data;
        size_t size, max;
        bool is_full; /* something did not fit: the line must not be used */
};

static void put(struct text *text, const char *data, size_t size) {
        if (size > text->max - text->size) {
                text->is_full = true;
                return;
        }
        memcpy(text->data + text->size, data, size);
        text->size += size;
}

static void put_string(struct text *text, const char *string) {
        put(text, string, strlen(string));
}

/* At least WIDTH digits. By hand, since a page may have some hundred thousand numbers. */
static void put_digits(struct text *text, uint64_t number, size_t width) {
        char digits[20];
        size_t i = sizeof(digits);

        while (number > 0 || sizeof(digits) - i < width) {
                digits[--i] = (char)('0' + number % 10);
                number /= 10;
        }
        put(text, digits + i, sizeof(digits) - i);
}

static void put_number(struct text *text, uint64_t number) {
        put_digits(text, number, 1);
}

/* All digits of the microseconds, but no zeros at the end. */
static void put_seconds(struct text *text, usec_t usec) {
        usec_t rest = usec % USEC_PER_SEC;
        size_t width = 6;

        put_number(text, usec / USEC_PER_SEC);
        if (rest == 0)
                return;
        for (; rest % 10 == 0; rest /= 10)
                width--;
        put_string(text, ".");
        put_digits(text, rest, width);
}

static void put_label(struct text *text, bool *is_open, const char *name, const char *value) {
        put_string(text, *is_open ? "," : "{");
        *is_open = true;
        put_string(text, name);
        put_string(text, "=\"");
        for (;;) {
                size_t n = strcspn(value, "\\\"\n");

                put(text, value, n);
                value += n;
                if (!*value)
                        break;
                put(text, "\\", 1);
                put(text, *value == '\n' ? "n" : value, 1);
                value++;
        }
        put_string(text, "\"");
}

/* --- Lines --- */

static const char *label_value(const struct family *family, size_t i) {
        return family->names[family->first + i];
}

/* The name and all labels but `le`, which may follow. */
static void put_series(struct text *text, const struct metrics_reader *reader, const struct family *family,
                       const char *suffix, size_t i, bool *ret_is_open) {
        bool is_open = false;

        put_string(text, family->name);
        put_string(text, suffix);
        if (family->from == CERTIFICATE)
                put_label(text, &is_open, "certificate", reader->status.name);
        if (family->with_connector && reader->status.connector)
                put_label(text, &is_open, "connector", reader->status.connector);
        if (family->label)
                put_label(text, &is_open, family->label, label_value(family, i));
        *ret_is_open = is_open;
}

static void put_value_of(struct text *text, const struct metrics_reader *reader, const struct family *family,
                         size_t i, void (*put_value)(struct text *text, uint64_t value), uint64_t value) {
        bool is_open;

        if ((family->absence == ABSENT_FOR_0 && value == 0) ||
            (family->absence == ABSENT_FOR_1 && value == 1))
                return;
        put_series(text, reader, family, "", i, &is_open);
        put_string(text, is_open ? "} " : " ");
        put_value(text, value);
        put_string(text, "\n");
}

static const struct histogram_bounds *bounds_of(const struct family *family) {
        return family->value == STEPS ? &metrics_step_bounds : &metrics_turn_bounds;
}

/* A histogram has a line for each bound, one for +Inf, the sum and the count. */
static void put_histogram(struct text *text, const struct metrics_reader *reader, const struct family *family,
                          const struct histogram *histogram, size_t i, size_t line) {
        const struct histogram_bounds *bounds = bounds_of(family);
        uint64_t n = 0;
        bool is_open;

        if (line > bounds->n) {
                bool is_sum = line == bounds->n + 1;

                put_series(text, reader, family, is_sum ? "_sum" : "_count", i, &is_open);
                put_string(text, is_open ? "} " : " ");
                (is_sum ? put_seconds : put_number)(text, is_sum ? histogram->sum_usec : histogram->n);
                put_string(text, "\n");
                return;
        }
        for (size_t k = 0; k <= line; k++)
                n += histogram->counts[k];
        put_series(text, reader, family, "_bucket", i, &is_open);
        put_string(text, is_open ? ",le=\"" : "{le=\"");
        if (line < bounds->n)
                put_seconds(text, bounds->usec[line]);
        else
                put_string(text, "+Inf");
        put_string(text, "\"} ");
        put_number(text, n);
        put_string(text, "\n");
}

/* A subject that is too long for a line is cut, where a character begins. */
#define SUBJECT_MAX 200

static void put_issuer(struct text *text, const struct metrics_reader *reader, const struct family *family,
                       const struct issuer *issuer) {
        char hex[FINGERPRINT_HEX], subject[SUBJECT_MAX + 1];
        size_t n = strnlen(issuer->subject, sizeof(subject));
        bool is_open;

        if (n > SUBJECT_MAX)
                for (n = SUBJECT_MAX; n > 0 && ((unsigned char)issuer->subject[n] & 0xc0) == 0x80;)
                        n--;
        memcpy(subject, issuer->subject, n);
        subject[n] = '\0';
        put_series(text, reader, family, "", 0, &is_open);
        put_label(text, &is_open, "issuer", hex_format(hex, issuer->fingerprint, FINGERPRINT_SIZE));
        put_label(text, &is_open, "issuer_key", hex_format(hex, issuer->spki, SPKI_HASH_SIZE));
        put_label(text, &is_open, "issuer_subject", subject);
        put_string(text, "} 1\n");
}

static const void *where(const struct metrics_reader *reader, const struct family *family) {
        const void *const bases[] = {
                [NOWHERE] = "",         [METRICS] = reader->metrics,     [SOURCE] = &reader->source,
                [SELF] = &reader->self, [CERTIFICATE] = &reader->status,
        };

        return (const char *)bases[family->from] + family->offset;
}

/* How many lines there may be for each certificate, or for the family where it is not about certificates. */
static size_t count_lines(const struct family *family) {
        if (family->value == ISSUER)
                return CERT_LIST_MAX;

        size_t n = family->label ? family->n - family->first : 1;

        return family->type == HISTOGRAM ? n * (bounds_of(family)->n + 3) : n;
}

/* The LINE-th line; nothing where there is no value. */
static void put_line(struct text *text, const struct metrics_reader *reader, const struct family *family,
                     size_t line) {
        const void *value = where(reader, family);
        const struct report_status *status = &reader->status;
        const struct issuers *issuers;
        size_t i = family->first + line, n;
        usec_t when;

        if (family->needs_set && strempty(status->fingerprint))
                return;
        if (family->needs_sight && status->knowledge != SET_NONE && status->knowledge != SET_KNOWN)
                return;

        switch (family->value) {
        case ONE:
                put_value_of(text, reader, family, line, put_number, 1);
                break;
        case FLAG:
                put_value_of(text, reader, family, line, put_number, *(const bool *)value);
                break;
        case NOT:
                put_value_of(text, reader, family, line, put_number, !*(const bool *)value);
                break;
        case SMALL:
                put_value_of(text, reader, family, line, put_number, ((const unsigned *)value)[i]);
                break;
        case SIZE:
                put_value_of(text, reader, family, line, put_number, *(const size_t *)value);
                break;
        case NUMBER:
                put_value_of(text, reader, family, line, put_number, ((const uint64_t *)value)[i]);
                break;
        case KNOWN:
                if (*(const uint64_t *)value != 0)
                        put_value_of(text, reader, family, line, put_number, *(const uint64_t *)value);
                break;
        case SECONDS:
                put_value_of(text, reader, family, line, put_seconds, *(const usec_t *)value);
                break;
        case TIME:
                when = *(const usec_t *)value;
                if (when != 0 && when != USEC_INFINITY)
                        put_value_of(text, reader, family, line, put_seconds, when);
                break;
        case READABLE:
                if (status->knowledge != SET_UNKNOWN)
                        put_value_of(text, reader, family, line, put_number,
                                     status->knowledge != SET_UNREADABLE);
                break;
        case STATE:
                if (status->state == i)
                        put_value_of(text, reader, family, line, put_number, 1);
                break;
        case FAILING:
                if (status->failures > 0 && status->failure == i)
                        put_value_of(text, reader, family, line, put_number, 1);
                break;
        case ISSUER:
                issuers = *(const struct issuers *const *)value;
                if (issuers && line < issuers->n)
                        put_issuer(text, reader, family, &issuers->items[line]);
                break;
        case STEPS:
        case TURNS:
                n = bounds_of(family)->n + 3;
                put_histogram(text, reader, family,
                              (const struct histogram *)value + family->first + line / n, line / n, line % n);
                break;
        }
}

static void put_head(struct text *text, const struct family *family) {
        put_string(text, "# HELP ");
        put_string(text, family->name);
        put_string(text, " ");
        put_string(text, family->help);
        put_string(text, "\n# TYPE ");
        put_string(text, family->name);
        put_string(text, " ");
        put_string(text, type_names[family->type]);
        put_string(text, "\n");
}

/* --- The page --- */

static void next_family(struct metrics_reader *reader) {
        reader->family++;
        reader->certificate = reader->line = 0;
        reader->has_head = reader->has_status = false;
}

/* Writes what comes next, one line or the head of a family, and moves on. */
static void step(struct metrics_reader *reader, struct text *text) {
        const struct family *family = &families[reader->family];
        size_t n = family->from == CERTIFICATE ? reader->source.n : 1, begin = text->size;

        if (family->is_live && reader->source.for_file) {
                next_family(reader);
                return;
        }
        if (!reader->has_head) {
                put_head(text, family);
                reader->has_head = !text->is_full;
        } else if (reader->certificate == n) {
                next_family(reader);
        } else {
                if (family->from == CERTIFICATE && !reader->has_status) {
                        reader->status = (struct report_status) { 0 };
                        reader->source.status(reader->source.userdata, reader->certificate, &reader->status);
                        reader->has_status = true;
                }
                put_line(text, reader, family, reader->line);
                if (!text->is_full && ++reader->line == count_lines(family)) {
                        reader->line = 0;
                        reader->certificate++;
                        reader->has_status = false;
                }
        }
        if (text->is_full)
                text->size = begin;
}

ssize_t metrics_read(struct metrics_reader *reader, char *buffer, size_t max) {
        struct text text = { .data = buffer, .max = max };

        if (reader->source.serial(reader->source.userdata) != reader->serial)
                return -ESTALE;
        reader->has_status = false;
        while (reader->family < ELEMENTSOF(families) && !text.is_full)
                step(reader, &text);
        return text.is_full && text.size == 0 ? -ENOBUFS : (ssize_t)text.size;
}

static int count_entry(_unused_ const char *name, void *userdata) {
        ++*(uint64_t *)userdata;
        return 0;
}

static void look_at_self(struct self *self) {
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, "/proc/self/fd");
        _cleanup_(freep) char *statm = NULL;
        uint64_t n_fds = 0, pages;
        struct rlimit limit;

        self->time_usec = now_usec(CLOCK_REALTIME);
        self->cpu_usec = now_usec(CLOCK_PROCESS_CPUTIME_ID);
        if (file_read_at(AT_FDCWD, "/proc/self/statm", FILE_FOLLOW, 256, &statm, NULL) == 0 &&
            sscanf(statm, "%*u %" SCNu64, &pages) == 1)
                self->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        /* One of them is for counting. */
        if (fd >= 0 && dir_for_each(fd, count_entry, &n_fds) == 0 && n_fds > 1)
                self->open_fds = n_fds - 1;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
                self->max_fds = limit.rlim_cur;
}

int metrics_reader_new(const struct metrics *metrics, const struct metrics_source *source,
                       struct metrics_reader **ret) {
        struct metrics_reader *reader = calloc(1, sizeof(*reader));

        if (!reader)
                return -ENOMEM;
        reader->metrics = metrics;
        reader->source = *source;
        reader->serial = source->serial(source->userdata);
        if (!source->for_file)
                look_at_self(&reader->self);
        reader->self.log_lines_dropped = log_dropped();
        *ret = reader;
        return 0;
}

struct metrics_reader *metrics_reader_free(struct metrics_reader *reader) {
        free(reader);
        return NULL;
}
