/*
 * Many people at the control API at once, while files, configuration and Connector change under rekeyd: what
 * is asked for at random is either refused or comes to an end, once, whatever else is under way. The stream
 * of events is the witness. REKEYD_TEST_STORM_SEED repeats a run.
 */

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/store/store.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

#define BUDGET     25u
#define N_TOKENS   40u
#define N_CLIENTS  4u
#define N_REQUESTS 150u /* of each client */

static const char *const names[] = { "anna", "bert", "cleo", "dora" };
static const char *const operations[] = { "renew", "enrol", "revoke", "rollback", "notify", "reload" };

enum { N_NAMES = ELEMENTSOF(names), N_OPERATIONS = ELEMENTSOF(operations), RELOAD = N_OPERATIONS - 1 };

struct storm {
        struct fixture *fixture;
        char *socket;
        char *tokens[N_NAMES][N_TOKENS];

        pthread_mutex_t lock;
        unsigned accepted[N_NAMES][N_OPERATIONS], ended[N_NAMES][N_OPERATIONS]; /* a reload is of names[0] */
        unsigned n_refused, n_running, n_bad, reloads_min;                      /* to have ended */
        char bad[256];
        char *heard; /* all that was answered, and all events */
        size_t heard_size;
        FILE *hearing;
        char *partial; /* line of the stream */
        size_t partial_size;
        bool is_listening, is_lost, is_over;
};

/* --- Talking to it --- */

static size_t hear(char *data, size_t size, size_t n, void *userdata) {
        struct storm *storm = userdata;

        pthread_mutex_lock(&storm->lock);
        fwrite(data, size, n, storm->hearing);
        pthread_mutex_unlock(&storm->lock);
        return size * n;
}

/* The status; 0 where there was no answer. BODY NULL: a GET. */
static long ask(struct storm *storm, const char *path, const char *body) {
        char url[256];
        CURL *easy = curl_easy_init();
        long status = 0;

        snprintf(url, sizeof(url), "http://rekeyd%s", path);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, storm->socket);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hear);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, storm);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)(patience_usec() / USEC_PER_SEC));
        if (body)
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        if (curl_easy_perform(easy) == CURLE_OK)
                curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(easy);
        return status;
}

static void complain(struct storm *storm, const char *path, long status) {
        pthread_mutex_lock(&storm->lock);
        if (storm->n_bad++ == 0)
                snprintf(storm->bad, sizeof(storm->bad), "%s was answered with %ld", path, status);
        pthread_mutex_unlock(&storm->lock);
}

static void post(struct storm *storm, size_t name, size_t operation, const char *body) {
        char path[128];
        long status;

        if (operation == RELOAD)
                snprintf(path, sizeof(path), "/v1/reload");
        else
                snprintf(path, sizeof(path), "/v1/certificates/%s/%s", names[name], operations[operation]);
        status = ask(storm, path, body);
        if (status != 202 && status != 404 && status != 409 && status != 429)
                complain(storm, path, status);
        pthread_mutex_lock(&storm->lock);
        if (status == 202)
                storm->accepted[operation == RELOAD ? 0 : name][operation]++;
        else
                storm->n_refused++;
        pthread_mutex_unlock(&storm->lock);
}

static void look_around(struct storm *storm, size_t name, unsigned seed) {
        static const char *const formats[] = { "/v1/certificates", "/metrics", "/readyz", "/v1/version" };
        char path[128];
        long status;

        if (seed % 6 < 4)
                snprintf(path, sizeof(path), "%s", formats[seed % 6]);
        else
                snprintf(path, sizeof(path), "/v1/certificates/%s%s", names[name],
                         seed % 6 == 4 ? "" : "/history");
        status = ask(storm, path, NULL);
        /* A list that a reload has cut off has no status. */
        if (status != 200 && status != 404 && status != 503 && status != 0)
                complain(storm, path, status);
}

struct client {
        struct storm *storm;
        unsigned seed;
};

static void act(struct storm *storm, unsigned *seed) {
        size_t name = (unsigned)rand_r(seed) % N_NAMES;
        char body[256];

        switch (rand_r(seed) % 12) {
        case 0:
        case 1:
                post(storm, name, 0, rand_r(seed) % 2 ? "{\"force\":true}" : "");
                break;
        case 2:
        case 3:
                snprintf(body, sizeof(body), "{\"token\":\"%s\",\"force\":%s}",
                         storm->tokens[name][(unsigned)rand_r(seed) % N_TOKENS],
                         rand_r(seed) % 2 ? "true" : "false");
                post(storm, name, 1, body);
                break;
        case 4:
                post(storm, name, 2, "");
                break;
        case 5:
                snprintf(body, sizeof(body), "{\"generation\":%d}", rand_r(seed) % 8);
                post(storm, name, 3, rand_r(seed) % 2 ? body : "");
                break;
        case 6:
        case 7:
                post(storm, name, 4, "");
                break;
        case 8:
                post(storm, name, RELOAD, "");
                break;
        default:
                look_around(storm, name, (unsigned)rand_r(seed));
        }
}

static void *run_client(void *userdata) {
        struct client *client = userdata;
        struct storm *storm = client->storm;

        for (unsigned i = 0; i < N_REQUESTS; i++)
                act(storm, &client->seed);
        pthread_mutex_lock(&storm->lock);
        storm->n_running--;
        pthread_mutex_unlock(&storm->lock);
        return NULL;
}

/* --- The witness --- */

static size_t find(const char *const *list, size_t n, const char *text) {
        size_t i = 0;

        while (i < n && !streq(list[i], text))
                i++;
        return i;
}

static void take_line(struct storm *storm, const char *line, size_t size) {
        json_t *event = json_loadb(line, size, 0, NULL);
        size_t name = find(names, N_NAMES, member(event, "certificate"));
        size_t operation = find(operations, N_OPERATIONS, member(event, "operation"));

        storm->is_listening = storm->is_listening || streq(member(event, "event"), "hello");
        storm->is_lost = storm->is_lost || streq(member(event, "event"), "lost");
        if (operation == RELOAD)
                storm->ended[0][RELOAD]++;
        else if (operation < N_OPERATIONS && name < N_NAMES)
                storm->ended[name][operation]++;
        json_decref(event);
}

static size_t hear_events(char *data, size_t size, size_t n, void *userdata) {
        struct storm *storm = userdata;
        char *begin, *end;

        size *= n;
        pthread_mutex_lock(&storm->lock);
        fwrite(data, 1, size, storm->hearing);
        storm->partial = realloc(storm->partial, storm->partial_size + size + 1);
        memcpy(storm->partial + storm->partial_size, data, size);
        storm->partial_size += size;
        storm->partial[storm->partial_size] = '\0';
        for (begin = storm->partial; (end = strchr(begin, '\n')); begin = end + 1)
                take_line(storm, begin, (size_t)(end - begin));
        storm->partial_size = strlen(begin);
        memmove(storm->partial, begin, storm->partial_size + 1);
        pthread_mutex_unlock(&storm->lock);
        return size;
}

static void *run_witness(void *userdata) {
        struct storm *storm = userdata;
        CURL *easy = curl_easy_init();

        curl_easy_setopt(easy, CURLOPT_URL, "http://rekeyd/v1/events");
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, storm->socket);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hear_events);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, storm);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_perform(easy);
        curl_easy_cleanup(easy);
        pthread_mutex_lock(&storm->lock);
        storm->is_over = true;
        pthread_mutex_unlock(&storm->lock);
        return NULL;
}

/* --- What changes under it --- */

/* In one go: a reload may read it at any moment. */
static void write_configuration(struct storm *storm, bool has_dora, unsigned keep) {
        const char *d = storm->fixture->directory;
        _cleanup_(freep) char *yaml = NULL, *from = NULL, *to = NULL;
        size_t size;
        FILE *out = open_memstream(&yaml, &size);

        fprintf(out,
                "state_directory: %s/state\n"
                "control: {socket: %s}\n"
                "log: {format: json, level: info}\n"
                "limits: {concurrent_renewals: 1, issuances_per_hour: %u}\n"
                "connectors:\n"
                "  dev: {enrol_url: '%s', trust: %s, ca_window: 1s}\n"
                "defaults: {key: {bits: 2048}, jitter: 0%%}\n"
                "certificates:\n",
                d, storm->socket, BUDGET, storm->fixture->token_url, storm->fixture->trust);
        for (size_t i = 0; i < (has_dora ? N_NAMES : N_NAMES - 1); i++)
                fprintf(out,
                        "  %s:\n    connector: dev\n    directory: %s/%s\n    keep: %u\n"
                        "    revoke_old: 1m\n    token_file: %s/token-%s\n"
                        "    exports:\n      - {path: %s/%s.pem, contents: [leaf, chain]}\n"
                        "    notify:\n      - {command: [/bin/%s]}\n",
                        names[i], d, names[i], keep, d, names[i], d, names[i], i == 1 ? "false" : "true");
        fclose(out);
        scratch_write(d, "rekeyd.yaml.new", yaml, 0600);
        from = scratch_path(d, "rekeyd.yaml.new");
        to = scratch_path(d, "rekeyd.yaml");
        ck_assert_int_eq(rename(from, to), 0);
}

static char *mint(struct storm *storm, size_t name) {
        char body[64], *token;
        json_t *reply;

        snprintf(body, sizeof(body), "{\"client\":\"client-%s\"}", names[name]);
        reply = fixture_admin(storm->fixture, "/tokens", body);
        token = strdup(member(reply, "token"));
        json_decref(reply);
        return token;
}

static void shake_files(struct storm *storm, unsigned *seed) {
        _cleanup_(freep) char *directory =
                scratch_path(storm->fixture->directory, names[rand_r(seed) % N_NAMES]);
        char path[512];

        snprintf(path, sizeof(path), "%s/noise", directory);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        (void)unlink(path);
        snprintf(path, sizeof(path), "%s/tls.crt", directory);
        (void)chmod(path, 0644);
}

static void shake(struct storm *storm, unsigned *seed, unsigned *n_hangups) {
        static const char *const faults[] = {
                "{\"fault\":\"bad-gateway-502\",\"at\":\"configuration\"}",
                "{\"fault\":\"empty-400\",\"at\":\"revoke\"}",
                "{\"fault\":\"wrong-key\",\"at\":\"sign\"}",
                "{\"fault\":\"bad-gateway-502\",\"at\":\"revoke\"}",
        };
        char file[64];

        switch (rand_r(seed) % 8) {
        case 0:
                write_configuration(storm, rand_r(seed) % 2, 2 + (unsigned)rand_r(seed) % 2);
                process_signal(storm->fixture->rekeyd, SIGHUP);
                ++*n_hangups;
                break;
        case 1:
                fixture_fault(storm->fixture, faults[(unsigned)rand_r(seed) % ELEMENTSOF(faults)]);
                break;
        case 2:
        case 3:
                fixture_lift_faults(storm->fixture);
                break;
        case 4:
                snprintf(file, sizeof(file), "token-%s", names[rand_r(seed) % N_NAMES]);
                scratch_write(storm->fixture->directory, file,
                              storm->tokens[rand_r(seed) % N_NAMES][(unsigned)rand_r(seed) % N_TOKENS], 0600);
                break;
        default:
                shake_files(storm, seed);
        }
}

static bool is_running(struct storm *storm) {
        bool is;

        pthread_mutex_lock(&storm->lock);
        is = storm->n_running > 0;
        pthread_mutex_unlock(&storm->lock);
        return is;
}

/* What is not at its end, in words; NULL when everything is. */
static char *describe_open(struct storm *storm, unsigned n_hangups) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        pthread_mutex_lock(&storm->lock);
        for (size_t i = 0; i < N_NAMES; i++)
                for (size_t k = 0; k < N_OPERATIONS; k++) {
                        unsigned accepted = storm->accepted[i][k], ended = storm->ended[i][k];

                        /* Those that meet share their end. */
                        if (k == RELOAD
                                    ? (i == 0 && ended < storm->reloads_min) || ended > accepted + n_hangups
                                    : ended != accepted)
                                fprintf(out, " %s %s: %u accepted, %u ended;", names[i], operations[k],
                                        accepted, ended);
                }
        pthread_mutex_unlock(&storm->lock);
        fclose(out);
        if (size == 0)
                free(take_ptr(text));
        return text;
}

static void await_endings(struct storm *storm, unsigned n_hangups) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        char *open;

        while ((open = describe_open(storm, n_hangups)) && now_usec(CLOCK_MONOTONIC) < deadline) {
                free(open);
                (void)process_output(storm->fixture->rekeyd, PROCESS_STDERR);
                (void)ask(storm, "/v1/version", NULL);
        }
        if (open)
                fprintf(stderr, "%s\n", process_output(storm->fixture->rekeyd, PROCESS_STDERR));
        ck_assert_msg(!open, "not at an end:%s", open);
}

static void check_sets(struct storm *storm) {
        const struct store_options options = { .key_access = FILE_ACCESS(0600),
                                               .public_access = FILE_ACCESS(0644),
                                               .keep = 9 };

        for (size_t i = 0; i < N_NAMES; i++) {
                _cleanup_(freep) char *path = scratch_path(storm->fixture->directory, names[i]);
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(store_closep) struct store *store = NULL;
                _cleanup_(set_clear) struct set set = { 0 };
                int r;

                r = store_open(path, &options, &store, &error);
                if (r == 0)
                        r = store_load(store, &set, &error);
                ck_assert_msg(r == 0 || r == -ENOENT, "%s: %s", names[i], error_text(&error));
        }
}

static void check_secrets(struct storm *storm) {
        const char *log = process_output(storm->fixture->rekeyd, PROCESS_STDERR);

        fflush(storm->hearing);
        for (size_t i = 0; i < N_NAMES; i++)
                for (size_t k = 0; k < N_TOKENS; k++) {
                        ck_assert_msg(!strstr(storm->heard, storm->tokens[i][k]), "a token was told");
                        ck_assert_msg(!strstr(log, storm->tokens[i][k]), "a token is in the log");
                }
        ck_assert_ptr_null(strstr(storm->heard, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(log, "PRIVATE KEY"));
}

START_TEST(what_is_accepted_ends_once) {
        struct storm storm = { .lock = PTHREAD_MUTEX_INITIALIZER, .n_running = N_CLIENTS };
        const char *given = getenv("REKEYD_TEST_STORM_SEED");
        unsigned seed = given ? (unsigned)atoi(given) : (unsigned)now_usec(CLOCK_REALTIME), n_hangups = 0;
        const unsigned first = seed;
        struct client clients[N_CLIENTS];
        pthread_t threads[N_CLIENTS], witness;
        bool is_listening = false;

        storm.hearing = open_memstream(&storm.heard, &storm.heard_size);
        storm.fixture = fixture_new(FIXTURE_LASTING("2h"));
        storm.socket = scratch_path(storm.fixture->directory, "control.sock");
        for (size_t i = 0; i < N_NAMES; i++)
                for (size_t k = 0; k < N_TOKENS; k++)
                        storm.tokens[i][k] = mint(&storm, i);
        write_configuration(&storm, true, 3);
        fixture_start(storm.fixture, NULL);
        fixture_expect(storm.fixture, MESSAGE_READY);
        pthread_create(&witness, NULL, run_witness, &storm);
        while (!is_listening) {
                (void)ask(&storm, "/v1/version", NULL);
                pthread_mutex_lock(&storm.lock);
                is_listening = storm.is_listening || storm.is_over;
                pthread_mutex_unlock(&storm.lock);
        }

        for (unsigned i = 0; i < N_CLIENTS; i++) {
                clients[i] = (struct client) { .storm = &storm, .seed = seed + 1 + i };
                pthread_create(&threads[i], NULL, run_client, &clients[i]);
        }
        while (is_running(&storm)) {
                shake(&storm, &seed, &n_hangups);
                (void)process_output(storm.fixture->rekeyd, PROCESS_STDERR);
        }
        for (unsigned i = 0; i < N_CLIENTS; i++)
                pthread_join(threads[i], NULL);
        test_report("seed %u: %u refused, %u hang-ups", first, storm.n_refused, n_hangups);
        if (storm.n_bad > 0)
                fprintf(stderr, "%s\n", process_output(storm.fixture->rekeyd, PROCESS_STDERR));
        ck_assert_msg(storm.n_bad == 0, "%u bad answers: %s", storm.n_bad, storm.bad);
        fixture_lift_faults(storm.fixture);
        await_endings(&storm, n_hangups);
        /* A second ending would be there by the time that another operation has come to its own. */
        pthread_mutex_lock(&storm.lock);
        storm.reloads_min = storm.ended[0][RELOAD] + 1;
        pthread_mutex_unlock(&storm.lock);
        post(&storm, 0, RELOAD, "");
        for (size_t i = 0; i < N_NAMES; i++)
                post(&storm, i, 4, "");
        await_endings(&storm, n_hangups);

        ck_assert(!storm.is_lost && !storm.is_over);
        ck_assert_uint_le(fixture_calls(storm.fixture, "sign"), N_NAMES * BUDGET);
        check_secrets(&storm);
        ck_assert_int_eq(fixture_stop(storm.fixture), 0);
        pthread_join(witness, NULL);
        check_sets(&storm);

        fclose(storm.hearing);
        free(storm.heard);
        free(storm.partial);
        free(storm.socket);
        for (size_t i = 0; i < N_NAMES; i++)
                for (size_t k = 0; k < N_TOKENS; k++)
                        free(storm.tokens[i][k]);
        fixture_free(storm.fixture);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("control-storm");

        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, what_is_accepted_ends_once);
        return test_run(suite);
}
