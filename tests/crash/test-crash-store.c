/*
 * The store killed, and failed, at every system call. A first run of crash-store under strace tells the calls
 * of a scenario; then it runs once for each of them and is killed there, and once for each that can fail and
 * each of four errors. What readers see then, what opening the store makes of it, and whether the scenario
 * gets done when it runs again, are compared with the invariants in store.h.
 *
 * A kill comes before the call: the one before the next call, of any kind, is the one after this call. strace
 * counts calls by name from the start of the program, so a point is a name and a number. (Its --seccomp-bpf,
 * which would be faster, injects no signals.) That kills at these points leave the disk as the store wants it
 * says nothing about power cuts: the order of fsyncs is not seen.
 *
 * The control is a directory whose files are renamed one by one; the same checks must object to it.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/util/time.h"
#include "tests/crash/points.h"
#include "tests/support/parallel.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

/* What the three names hold: all of one set, or something that must not be. */
enum view { VIEW_NONE, VIEW_OLD, VIEW_NEW, VIEW_DAMAGED, VIEW_MIXED };

static const char *const view_names[] = {
        [VIEW_NONE] = "none",       [VIEW_OLD] = "old",     [VIEW_NEW] = "new",
        [VIEW_DAMAGED] = "damaged", [VIEW_MIXED] = "mixed",
};

static struct test_set older, old, new;
static char *sets_directory; /* new.key, new.crt, new.ca for crash-store */

#define DAMAGED_CERTIFICATE "-----BEGIN CERTIFICATE-----\n"

/* --- Scenarios --- */

static void write_plain(const char *directory, const struct test_set *set) {
        static const char *const names[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA };
        const char *texts[] = { NULL, set->certificate_pem, set->ca_pem };
        size_t key_size;

        key_pem(set->key, &texts[0], &key_size);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *path = scratch_path(directory, names[i]);

                if (unlink(path) < 0 && errno != ENOENT)
                        abort();
                scratch_write(directory, names[i], texts[i], i == 0 ? 0600 : 0644);
        }
}

static void commit(const char *directory, const struct test_set *const *sets) {
        _cleanup_(store_closep) struct store *store = test_store_open(directory);

        for (; *sets; sets++)
                test_set_commit(store, *sets);
}

static void prepare_nothing(_unused_ const char *directory) {
}

static void prepare_current(const char *directory) {
        commit(directory, (const struct test_set *const[]) { &older, &old, NULL });
}

static void prepare_key_ahead(const char *directory) {
        _cleanup_(store_closep) struct store *store = NULL;
        enum store_ahead ahead;

        prepare_current(directory);
        store = test_store_open(directory);
        ck_assert_int_eq(store_stage_ahead(store, new.key, &ahead, NULL), 0);
        ck_assert_int_eq(ahead, STORE_AHEAD_STAGED);
}

static void prepare_plain(const char *directory) {
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        write_plain(directory, &new);
}

static void prepare_newer(const char *directory) {
        commit(directory, (const struct test_set *const[]) { &old, NULL });
        write_plain(directory, &new);
}

static void prepare_rollback(const char *directory) {
        commit(directory, (const struct test_set *const[]) { &new, &old, NULL });
}

static void prepare_damaged(const char *directory) {
        commit(directory, (const struct test_set *const[]) { &older, &new, &old, NULL });
        scratch_write(directory, "..gen-000003/" STORE_CERTIFICATE, DAMAGED_CERTIFICATE, 0644);
}

static void prepare_control(const char *directory) {
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        write_plain(directory, &old);
}

struct scenario {
        const char *name;
        void (*prepare)(const char *directory);
        enum view current; /* through `..data`, before the swap */
        enum view names;   /* through the names in the directory itself */
        unsigned n_failures;
        bool stages; /* a key for the next attempt */
};

static const struct scenario scenarios[] = {
        { "enrolment", prepare_nothing, VIEW_NONE, VIEW_NONE, 4, true },
        { "renewal", prepare_current, VIEW_OLD, VIEW_OLD, 4, true },
        { "key-ahead", prepare_current, VIEW_OLD, VIEW_OLD, 4, true },
        { "key-withdrawn", prepare_key_ahead, VIEW_OLD, VIEW_OLD, 4, true },
        { "adopt-plain", prepare_plain, VIEW_NONE, VIEW_NEW, 4, false },
        { "adopt-newer", prepare_newer, VIEW_OLD, VIEW_NEW, 4, false },
        /* Files that may not be read are set aside there, by design. */
        { "adopt-late", prepare_newer, VIEW_OLD, VIEW_NEW, 2, false },
        { "rollback", prepare_rollback, VIEW_OLD, VIEW_OLD, 4, false },
        { "repair", prepare_damaged, VIEW_DAMAGED, VIEW_DAMAGED, 4, false },
};

static const struct scenario control = { "plain", prepare_control, VIEW_NONE, VIEW_OLD, 0, false };

/* The first two are of the machine, whatever the call. */
static const char *const failures[] = { "EIO", "EMFILE", "EACCES", "ENOSPC" };

/* --- Running --- */

/* One directory of its own for each worker. */
struct setup {
        const struct scenario *scenario;
        char *scratch, *directory, *trace;
        atomic_uint *violations;
        char where[80];
};

static void setup_clear(struct setup *setup) {
        scratch_free(setup->scratch);
        free(setup->directory);
        free(setup->trace);
}

static void setup_prepare(struct setup *setup) {
        setup_clear(setup);
        setup->scratch = scratch_new();
        setup->directory = scratch_path(setup->scratch, "orders");
        setup->trace = scratch_path(setup->scratch, "trace");
        setup->scenario->prepare(setup->directory);
}

static void violation(struct setup *setup, const char *format, ...) _printf_(2, 3);
static void violation(struct setup *setup, const char *format, ...) {
        char text[1024];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        /* The control's are wanted, and not worth a line each. */
        if (setup->scenario != &control)
                test_report("crash: violation: %s, %s: %s", setup->scenario->name, setup->where, text);
        atomic_fetch_add(setup->violations, 1);
}

/* Runs crash-store, under strace unless INJECT is NULL; its standard error, without what strace says where
 * that injects.
 */
static int run(struct setup *setup, const char *inject, const char *call, char **ret_stderr) {
        const char *program = getenv("REKEYD_TEST_CRASH_STORE");
        _cleanup_(process_freep) struct process *process = NULL;
        _cleanup_(freep) char *trace = NULL, *copy = NULL;
        char *saved, *text;
        size_t size = 0;
        FILE *out;
        int status;

        if (call && asprintf(&trace, "trace=%s", call) < 0)
                abort();
        process = process_start(
                !inject ? (const char *const[]) { program, setup->directory, setup->scenario->name, NULL }
                : !call ? (const char *const[]) { "strace", "-f", "-o", setup->trace, program,
                                                  setup->directory, setup->scenario->name, NULL }
                        : (const char *const[]) { "strace", "-f", "-o", setup->trace, "-e", trace, "-e",
                                                  inject, program, setup->directory, setup->scenario->name,
                                                  NULL },
                false);
        status = process_wait(process);

        out = open_memstream(&text, &size);
        copy = strdup(process_output(process, PROCESS_STDERR));
        if (!out || !copy)
                abort();
        for (char *line = strtok_r(copy, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved))
                if (!has_prefix(line, "strace:") || !call)
                        fprintf(out, "%s\n", line);
        fclose(out);
        *ret_stderr = text;
        return status;
}

/* --- Invariants --- */

/* Through one open of DIRECTORY, or of `..data` in it. */
static enum view look(const char *directory, const char *name) {
        const struct {
                enum view view;
                const struct test_set *set;
                const char *certificate_pem;
        } known[] = {
                { VIEW_OLD, &old, old.certificate_pem },
                { VIEW_NEW, &new, new.certificate_pem },
                { VIEW_DAMAGED, &old, DAMAGED_CERTIFICATE },
        };
        _cleanup_(freep) char *path = scratch_path(directory, name), *key = scratch_read(path, STORE_KEY),
                              *certificate = scratch_read(path, STORE_CERTIFICATE),
                              *ca = scratch_read(path, STORE_CA);

        if (!key && !certificate && !ca)
                return VIEW_NONE;
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                const char *pem;
                size_t size;

                key_pem(known[i].set->key, &pem, &size);
                if (streq_null(key, pem) && streq_null(certificate, known[i].certificate_pem) &&
                    streq_null(ca, known[i].set->ca_pem))
                        return known[i].view;
        }
        return VIEW_MIXED;
}

/* Nobody may see anything but what was there before, or the new set. Returns what `..data` gives. */
static enum view check_views(struct setup *setup, const char *time) {
        enum view current = look(setup->directory, STORE_CURRENT), names = look(setup->directory, ".");

        if (current != setup->scenario->current && current != VIEW_NEW)
                violation(setup, "%s the current set is %s", time, view_names[current]);
        if (names != setup->scenario->names && names != VIEW_NEW)
                violation(setup, "%s the names give a set that is %s", time, view_names[names]);
        if (current == VIEW_NEW && names != VIEW_NEW)
                violation(setup, "%s the names give a set that is %s, and the new one is current", time,
                          view_names[names]);
        return current;
}

static bool contains(const char *const *list, size_t n, const char *wanted) {
        for (size_t i = 0; i < n; i++)
                if (streq(list[i], wanted))
                        return true;
        return false;
}

/* A generation holds the first five of these, a stage all. */
static const char *const parts[] = { STORE_KEY,  STORE_CERTIFICATE, STORE_CA, STORE_CONNECTION,
                                     ".copy-of", "tls.csr",         "token" };

static void check_directory(struct setup *setup, const char *name, size_t n_parts) {
        _cleanup_(freep) char *path = scratch_path(setup->directory, name), *list = scratch_list(path);
        bool is_top = streq(name, ".");
        unsigned stages = 0;
        char *saved;

        for (char *entry = strtok_r(list, " ", &saved); entry; entry = strtok_r(NULL, " ", &saved)) {
                if (is_top && has_prefix(entry, "..gen-"))
                        check_directory(setup, entry, 5);
                else if (is_top && has_prefix(entry, "..stage-")) {
                        check_directory(setup, entry, ELEMENTSOF(parts));
                        stages++;
                } else if (!contains(parts, n_parts, entry) && !(is_top && streq(entry, STORE_CURRENT)))
                        violation(setup, "litter %s/%s", name, entry);
        }
        if (stages > 1)
                violation(setup, "%u stages", stages);
}

static void check_litter(struct setup *setup) {
        check_directory(setup, ".", 4);
}

static void check_promises(struct setup *setup, const struct store *store, unsigned promises) {
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint8_t spki[SPKI_HASH_SIZE], wanted[SPKI_HASH_SIZE];

        if (store_stage_load(store, &stage, &error) < 0) {
                violation(setup, "the stage cannot be read: %s", error_text(&error));
                return;
        }
        if (look(setup->directory, STORE_CURRENT) == VIEW_NEW)
                return;
        if (!setup->scenario->stages && stage.key)
                violation(setup, "a renewal would go on with the key of a set that was being copied");
        if (promises & PROMISE_KEY) {
                key_spki(new.key, wanted);
                if (stage.key)
                        key_spki(stage.key, spki);
                if (!stage.key || memcmp(spki, wanted, sizeof(spki)) != 0)
                        violation(setup, "the staged key is lost");
        }
        if ((promises & PROMISE_CERTIFICATE) &&
            (!streq_null(stage.certificate_pem, new.certificate_pem) ||
             !streq_null(stage.ca_pem, new.ca_pem) || !stage.connection_json))
                violation(setup, "the staged certificate is lost");
}

/* Opens the store in the test itself. Returns what is current then. */
static enum view check_opened(struct setup *setup, unsigned promises) {
        static const struct store_options options = {
                .key_access = FILE_ACCESS(0600),
                .public_access = FILE_ACCESS(0644),
                .grace_usec = STORE_GRACE_USEC,
                .keep = 2,
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(set_clear) struct set set = { 0 };
        enum view current;
        int expected, r;

        if (store_open(setup->directory, &options, &store, &error) < 0) {
                violation(setup, "the store cannot be opened: %s", error_text(&error));
                return VIEW_MIXED;
        }
        current = check_views(setup, "after opening");
        expected = current == VIEW_NONE ? -ENOENT : current == VIEW_DAMAGED ? -EBADMSG : 0;
        r = store_load(store, &set, &error);
        if (r != expected)
                violation(setup, "the set cannot be loaded: %s", error_text(&error));
        check_promises(setup, store, promises);
        check_litter(setup);
        return current;
}

/* What must hold after anything that may have happened, and that the scenario gets done after all. */
static void check_store(struct setup *setup, unsigned promises, bool must_be_old) {
        _cleanup_(freep) char *text = NULL;
        enum view before, after;
        int status;

        before = check_views(setup, "before opening");
        if ((promises & PROMISE_SWAP) && before != VIEW_NEW)
                violation(setup, "the swap is undone");
        if (must_be_old && before != setup->scenario->current)
                violation(setup, "it failed, and the new set is current");
        after = check_opened(setup, promises);
        if (before == VIEW_NEW && after != VIEW_NEW)
                violation(setup, "opening undid the swap");
        if (must_be_old && after != setup->scenario->current)
                violation(setup, "it failed, and opening makes the new set current");

        status = run(setup, NULL, NULL, &text);
        if (status != 0)
                violation(setup, "the next run ends with %d: %s", status, text);
        else if (check_views(setup, "after the next run") != VIEW_NEW)
                violation(setup, "the next run succeeds without the new set");
        check_litter(setup);
}

/* --- The runs --- */

static void run_killed(struct setup *setup, const struct point *point) {
        _cleanup_(freep) char *text = NULL, *inject = NULL;
        int status;

        setup_prepare(setup);
        snprintf(setup->where, sizeof(setup->where), "killed at %s %u", point->call, point->when);
        if (asprintf(&inject, "inject=%s:signal=KILL:when=%u", point->call, point->when) < 0)
                abort();
        status = run(setup, inject, point->call, &text);
        if (status != 128 + SIGKILL)
                violation(setup, "it was not killed but ended with %d: %s", status, text);
        if (setup->scenario == &control)
                check_views(setup, "then");
        else
                check_store(setup, point->promises, false);
}

static void check_sentence(struct setup *setup, const char *text) {
        const char *end = strchr(text, '\n');

        if (!end || end[1] != '\0' || !strstr(text, setup->directory))
                violation(setup, "this is not one sentence with the path: %s", text);
}

static void run_failed(struct setup *setup, const struct point *point, const char *failure) {
        _cleanup_(freep) char *text = NULL, *inject = NULL, *trace = NULL;
        int status;

        setup_prepare(setup);
        snprintf(setup->where, sizeof(setup->where), "%s from %s %u", failure, point->call, point->when);
        if (asprintf(&inject, "inject=%s:error=%s:when=%u", point->call, failure, point->when) < 0)
                abort();
        status = run(setup, inject, point->call, &text);
        trace = scratch_read(setup->scratch, "trace");
        if (!trace || !strstr(trace, "(INJECTED)"))
                violation(setup, "nothing was injected");

        if (status == 0 && look(setup->directory, STORE_CURRENT) != VIEW_NEW)
                violation(setup, "it says that it succeeded, without the new set");
        else if (status == 0 && *text)
                violation(setup, "it succeeded and says: %s", text);
        else if (status == 1)
                check_sentence(setup, text);
        else if (status != 0)
                violation(setup, "it ended with %d: %s", status, text);
        check_store(setup, point->promises, status == 1 && !(point->promises & PROMISE_SWAP));
}

struct tally {
        atomic_uint kills, errors, violations;
};

struct work {
        const struct scenario *scenario;
        const struct points *points;
        unsigned n_workers; /* each takes every N_WORKERS-th run */
        struct tally *tally;
};

static void run_part(unsigned worker, void *userdata) {
        const struct work *work = userdata;
        const struct scenario *scenario = work->scenario;
        _cleanup_(setup_clear) struct setup setup = { .scenario = scenario,
                                                      .violations = &work->tally->violations };
        unsigned turn = 0;

        for (size_t i = 0; i < work->points->n; i++) {
                const struct point *point = &work->points->items[i];

                if (turn++ % work->n_workers == worker) {
                        run_killed(&setup, point);
                        atomic_fetch_add(&work->tally->kills, 1);
                }
                if (!point->can_fail)
                        continue;
                for (size_t j = 0; j < scenario->n_failures; j++) {
                        if (point->only_reads && streq(failures[j], "ENOSPC"))
                                continue;
                        if (turn++ % work->n_workers == worker) {
                                run_failed(&setup, point, failures[j]);
                                atomic_fetch_add(&work->tally->errors, 1);
                        }
                }
        }
}

static void run_workers(const struct scenario *scenario, const struct points *points, struct tally *tally) {
        struct work shared = { scenario, points, parallel_size(), tally };

        parallel_run(shared.n_workers, run_part, &shared);
}

/* The calls of a whole run. False when strace is missing or may not trace here. */
static bool find_points(const struct scenario *scenario, struct points *ret) {
        atomic_uint violations = 0;
        _cleanup_(setup_clear) struct setup setup = { .scenario = scenario, .violations = &violations };
        _cleanup_(freep) char *text = NULL, *trace = NULL;
        int status;

        ck_assert_ptr_nonnull(getenv("REKEYD_TEST_CRASH_STORE"));
        setup_prepare(&setup);
        status = run(&setup, "", NULL, &text);
        trace = scratch_read(setup.scratch, "trace");
        if (!trace || !strstr(trace, "execve(")) {
                test_skip("strace is missing or may not trace here: %.*s (exit status %d)",
                          (int)strcspn(text, "\n"), text, status);
                return false;
        }
        ck_assert_msg(status == 0, "%s ends with %d: %s", scenario->name, status, text);
        if (scenario != &control)
                ck_assert_int_eq(check_views(&setup, "at the end"), VIEW_NEW);
        points_parse(trace, ret);
        return true;
}

START_TEST(every_call_may_be_the_last_or_fail) {
        static struct points points;
        struct tally *tally = parallel_share(sizeof(*tally));

        for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
                unsigned kills = tally->kills, errors = tally->errors, violations = tally->violations;
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                if (!find_points(&scenarios[i], &points))
                        return;
                run_workers(&scenarios[i], &points, tally);
                test_report("crash: %s: %u kill points, %u error points, %u violations in %.1f s",
                            scenarios[i].name, tally->kills - kills, tally->errors - errors,
                            tally->violations - violations,
                            (double)(now_usec(CLOCK_MONOTONIC) - begin) / USEC_PER_SEC);
        }
        test_report("crash: %u kill points, %u error points, %u violations", tally->kills, tally->errors,
                    tally->violations);
        ck_assert_uint_gt(tally->kills, 0);
        ck_assert_uint_gt(tally->errors, 0);
        ck_assert_uint_eq(tally->violations, 0);
        munmap(tally, sizeof(*tally));
}
END_TEST

START_TEST(the_same_checks_catch_three_renames) {
        static struct points points;
        struct tally *tally = parallel_share(sizeof(*tally));

        if (!find_points(&control, &points))
                return;
        run_workers(&control, &points, tally);
        test_report("crash: the same checks find %u violations at %u kill points of three renames",
                    tally->violations, tally->kills);
        ck_assert_uint_gt(tally->violations, 0);
        ck_assert_uint_lt(tally->violations, tally->kills);
        munmap(tally, sizeof(*tally));
}
END_TEST

/* The set that comes: it outlasts the others, as adoption wants it. */
static struct test_set make_new(void) {
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(7), .subject = "CN=CA new" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca,
                                                   .key = x509_key(2),
                                                   .subject = "O=Org,CN=orders",
                                                   .not_after = X509_NOW + 180 * USEC_PER_DAY });
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(2));
        struct test_set set = { .certificate_pem = strdup(leaf.pem), .ca_pem = strdup(ca.pem) };

        if (key_parse(pem, strlen(pem), &set.key, NULL) < 0)
                abort();
        return set;
}

static void set_up(void) {
        const char *pem;
        size_t size;

        parallel_prepare_tracing();
        older = test_set_make(0);
        old = test_set_make(1);
        new = make_new();
        sets_directory = scratch_new();
        key_pem(new.key, &pem, &size);
        scratch_write(sets_directory, "new.key", pem, 0600);
        scratch_write(sets_directory, "new.crt", new.certificate_pem, 0644);
        scratch_write(sets_directory, "new.ca", new.ca_pem, 0644);
        setenv("REKEYD_TEST_SETS", sets_directory, 1);
}

int main(void) {
        Suite *suite = suite_create("crash-store");
        int r;

        set_up();
        TEST_CASE(suite, every_call_may_be_the_last_or_fail);
        TEST_CASE(suite, the_same_checks_catch_three_renames);
        r = test_run(suite);
        test_set_clear(&older);
        test_set_clear(&old);
        test_set_clear(&new);
        scratch_free(sets_directory);
        return r;
}
