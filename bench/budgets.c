/*
 * The budgets of the design, measured in several runs and printed as a table: memory, start, idleness, storms
 * and the price of a renewal. The median is judged, and with --check a missed budget fails.
 *
 * Everything is measured from outside, at the real program.
 */

#include <check.h>
#include <getopt.h>

#include "bench/bench.h"
#include "bench/rows.h"
#include "lib/util/parse.h"
#include "tests/test.h"

static struct bench_sizes sizes = {
        .many = 10000,
        .most = 50000,
        .idle_sec = 20,
        .n_reloads = 100,
        .storm = 500,
        .storm_with_keys = 1000,
};
static unsigned n_runs = 1;
static bool is_check;

START_TEST(budgets) {
        struct bench bench;
        unsigned n_missed;

        test_report("signing %u leaves", 1 + sizes.many + sizes.most);
        rows_begin(&(struct rows_sizes) {
                .many = sizes.many,
                .most = sizes.most,
                .storm = sizes.storm,
                .storm_with_keys = sizes.storm_with_keys,
        });
        bench_begin(&bench, &sizes);
        for (unsigned run = 0; run < n_runs; run++) {
                test_report("run %u of %u", run + 1, n_runs);
                const unsigned one_kib =
                        measure_one(&bench); /* before the starts, which know each other's sets */

                measure_floors(&bench);
                measure_start_first(&bench);
                measure_many(&bench, one_kib);
                measure_start_cold(&bench);
                measure_most(&bench);
                measure_renewal(&bench, run);
                measure_fsyncs(&bench, run);
                measure_storms(&sizes);
        }
        bench_end(&bench);
        printf("%u run%s, %u reloads, %u s idle\n\n", n_runs, n_runs == 1 ? "" : "s", sizes.n_reloads,
               sizes.idle_sec);
        n_missed = rows_print();
        ck_assert_msg(!is_check || n_missed == 0, "%u of the budgets missed", n_missed);
}
END_TEST

/* What is a number: the option, where it goes, and its limits. */
static const struct number {
        const char *name;
        unsigned *value, min, max;
} numbers[] = {
        { "certificates", &sizes.many, 2, 1000000 },
        { "many", &sizes.most, 0, 1000000 }, /* 0: no such rows */
        { "idle", &sizes.idle_sec, 1, 1000000 },
        { "reloads", &sizes.n_reloads, 0, 1000000 },
        { "storm", &sizes.storm, 0, 100000 },
        { "storm-with-keys", &sizes.storm_with_keys, 0, 100000 },
        { "runs", &n_runs, 1, RUNS_MAX },
};

static void take(const struct number *number, const char *text) {
        uint64_t n;

        if (parse_unsigned(text, number->min, number->max, &n) < 0) {
                fprintf(stderr, "--%s: '%s' is not a number from %u to %u\n", number->name, text, number->min,
                        number->max);
                exit(EXIT_FAILURE);
        }
        *number->value = (unsigned)n;
}

int main(int argc, char *argv[]) {
        enum { COLD = ELEMENTSOF(numbers), CHECK, END, N_OPTIONS };
        struct option options[N_OPTIONS] = {
                [COLD] = { "cold", no_argument, NULL, 'o' },
                [CHECK] = { "check", no_argument, NULL, 'c' },
        };
        Suite *suite = suite_create("budgets");
        int c, index;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                options[i] = (struct option) { numbers[i].name, required_argument, NULL, 'n' };
        while ((c = getopt_long(argc, argv, "", options, &index)) >= 0)
                switch (c) {
                case 'n':
                        take(&numbers[index], optarg);
                        break;
                case 'o':
                        sizes.may_drop_page_cache = true;
                        break;
                case 'c':
                        is_check = true;
                        break;
                default:
                        fputs("Usage: bench-budgets [--check] [--cold] [--runs N] [--certificates N] [--many "
                              "N] "
                              "[--idle SECONDS] [--reloads N] [--storm N] [--storm-with-keys N]\n",
                              stderr);
                        return EXIT_FAILURE;
                }

        TEST_CASE(suite, budgets); /* the fixture wants to be in a test */
        return test_run(suite);
}
