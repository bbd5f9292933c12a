/*
 * Minimum, median and maximum of each row. The median is judged: one run in which something else had the
 * processor changes nothing. A name may have a %u, for the number of certificates that the row is about.
 */

#include "bench/rows.h"

#include <assert.h>

#include "lib/util/macro.h"
#include "tests/test.h"

enum bound { NONE, AT_MOST, AT_LEAST };

enum number { NO_NUMBER, MANY, MOST, STORM, STORM_WITH_KEYS, NUMBER_MAX };

static const struct {
        const char *what, *unit;
        enum number number;
        enum bound bound; /* of the median */
        double budget;
} rows[] = {
        [ROW_PRIVATE] = { "memory with one certificate, private", "KiB", NO_NUMBER, AT_MOST, 1536 },
        [ROW_LIBRARIES] = { "of that, what the libraries take by themselves", "KiB", NO_NUMBER, NONE, 0 },
        [ROW_RESIDENT] = { "memory with one certificate, resident", "KiB", NO_NUMBER, AT_MOST, 14336 },
        [ROW_EACH] = { "memory for each further one of %u", "KiB", MANY, AT_MOST, 1.5 },
        [ROW_EACH_RELOADED] = { "the same after the reloads", "KiB", NO_NUMBER, AT_MOST, 1.5 },
        [ROW_START] = { "start to READY with %u, wall time", "s", MANY, AT_MOST, 1 },
        [ROW_START_CPU] = { "CPU time of that start", "s", NO_NUMBER, AT_MOST, 0.4 },
        [ROW_READING] = { "of that, what reading and watching the files takes", "s", NO_NUMBER, NONE, 0 },
        [ROW_START_FIRST] = { "CPU time of the first start of all", "s", NO_NUMBER, NONE, 0 },
        [ROW_START_COLD] = { "start to READY with %u, nothing in the page cache", "s", MANY, NONE, 0 },
        [ROW_MOST_CPU] = { "CPU time of a start with %u", "s", MOST, AT_MOST, 2 },
        [ROW_MOST] = { "wall time of that start", "s", NO_NUMBER, NONE, 0 },
        [ROW_METRICS_BYTES] = { "/metrics with %u, for each", "bytes", MOST, NONE, 0 },
        [ROW_METRICS_TIME] = { "time of that answer", "ms", NO_NUMBER, NONE, 0 },
        [ROW_WAKEUPS] = { "wake-ups when idle", "", NO_NUMBER, AT_MOST, 0 },
        [ROW_STORM_RATIO] = { "%u due at once, 2048 bits: wall time to that of their keys", "", STORM,
                              AT_MOST, 1.1 },
        [ROW_STORM_CPU] = { "CPU time of that storm to that of its keys", "", NO_NUMBER, NONE, 0 },
        [ROW_STORM_BARE] = { "wall time of that storm to that of as many other keys", "", NO_NUMBER, NONE,
                             0 },
        [ROW_STORM_TURN] = { "longest turn of the loop in that storm", "ms", NO_NUMBER, AT_MOST, 10 },
        [ROW_KEYS_RATE] = { "%u due at once, 4096 bits, keys staged: renewals a second", "", STORM_WITH_KEYS,
                            AT_LEAST, 40 },
        [ROW_KEYS_TURN] = { "longest turn of the loop in that storm", "ms", NO_NUMBER, AT_MOST, 10 },
        [ROW_KEYS_FAILED] = { "failures in that storm", "", NO_NUMBER, AT_MOST, 0 },
        [ROW_SIGNATURE] = { "CPU time of one signature of 4096 bits", "ms", NO_NUMBER, NONE, 0 },
        [ROW_RENEWAL] = { "CPU time of a renewal without its key", "ms", NO_NUMBER, NONE, 0 },
        [ROW_TUTORIAL] = { "the same by openssl and curl, without what only prints or verifies", "ms",
                           NO_NUMBER, NONE, 0 },
        [ROW_SHARE] = { "the first as a part of the second", "", NO_NUMBER, AT_MOST, 0.2 },
        [ROW_FSYNCS] = { "fsyncs of a renewal, its key included", "", NO_NUMBER, AT_MOST, 15 },
};
static_assert(ELEMENTSOF(rows) == ROW_MAX, "every row is described");

static double measured[ROW_MAX][RUNS_MAX]; /* sorted, smallest first */
static unsigned n_measured[ROW_MAX];
static const char *omitted[ROW_MAX];
static unsigned numbers[NUMBER_MAX];

void rows_begin(const struct rows_sizes *sizes) {
        numbers[MANY] = sizes->many;
        numbers[MOST] = sizes->most;
        numbers[STORM] = sizes->storm;
        numbers[STORM_WITH_KEYS] = sizes->storm_with_keys;
}

static char *name_of(enum row row) {
        const char *mark = strstr(rows[row].what, "%u");
        char *name;

        if (mark)
                ck_assert_int_ge(asprintf(&name, "%.*s%u%s", (int)(mark - rows[row].what), rows[row].what,
                                          numbers[rows[row].number], mark + strlen("%u")),
                                 0);
        else
                ck_assert_ptr_nonnull(name = strdup(rows[row].what));
        return name;
}

void rows_note(enum row row, double value) {
        _cleanup_(freep) char *name = name_of(row);
        unsigned i = n_measured[row]++;

        for (; i > 0 && measured[row][i - 1] > value; i--)
                measured[row][i] = measured[row][i - 1];
        measured[row][i] = value;
        test_report("%s: %.2f %s", name, value, rows[row].unit);
}

void rows_omit(enum row row, const char *why) {
        omitted[row] = why;
}

/* Of an even number, the upper one of the two in the middle. */
static double median(enum row row) {
        return measured[row][n_measured[row] / 2];
}

static bool is_within(enum row row) {
        return n_measured[row] == 0 || rows[row].bound == NONE ||
               (rows[row].bound == AT_MOST ? median(row) <= rows[row].budget
                                           : median(row) >= rows[row].budget);
}

static void print_row(enum row row) {
        static const char *const bounds[] = { [NONE] = "", [AT_MOST] = "<= ", [AT_LEAST] = ">= " };
        _cleanup_(freep) char *name = name_of(row);
        char budget[32] = "-";

        if (rows[row].bound != NONE)
                snprintf(budget, sizeof(budget), "%s%g", bounds[rows[row].bound], rows[row].budget);
        if (n_measured[row] == 0 && !omitted[row])
                return;
        if (n_measured[row] == 0)
                printf("| %s | - | - | - | %s | %s | not measured: %s |\n", name, rows[row].unit, budget,
                       omitted[row]);
        else
                printf("| %s | %.2f | %.2f | %.2f | %s | %s | %s |\n", name, measured[row][0], median(row),
                       measured[row][n_measured[row] - 1], rows[row].unit, budget,
                       rows[row].bound == NONE ? ""
                       : is_within(row)        ? "yes"
                                               : "NO");
}

unsigned rows_print(void) {
        unsigned n_missed = 0;

        printf("| what | minimum | median | maximum | unit | budget | within |\n"
               "|---|---|---|---|---|---|---|\n");
        for (enum row row = 0; row < ROW_MAX; row++) {
                print_row(row);
                n_missed += is_within(row) ? 0 : 1;
        }
        fflush(stdout);
        return n_missed;
}
