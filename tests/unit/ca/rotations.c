#include "tests/unit/ca/rotations.h"

#include <stdio.h>
#include <sys/stat.h>

#include "ca/rotation/carry.h"
#include "ca/rotation/states.h"
#include "lib/x509/bundle.h"
#include "lib/x509/identity.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

/* --- Places that may be struck --- */

struct struck {
        struct backend base;
        struct backend *inner;
        struct world *world;
        size_t index; /* among world->places */
};

static struct struck *of(struct backend *backend) {
        return container_of(backend, struct struck, base);
}

static bool is_dead(const struct world *world) {
        return world->is_dead;
}

static int struck_read(struct backend *backend, struct contents *ret, char ret_version[VERSION_MAX],
                       struct error *error) {
        struct struck *struck = of(backend);

        if (is_dead(struck->world))
                return error_set(error, -EINTR, "killed");
        return struck->inner->ops->read(struck->inner, ret, ret_version, error);
}

/* An operator adds a CA, a program replaces all, another rekeyca is at work. */
static void be_a_stranger(struct struck *struck) {
        struct world *world = struck->world;
        static const char *const names[] = { "ca.crt", "trust-0.pem", "trust-1.pem", "state.json" };
        _cleanup_(freep) char *text = world_read(world, names[struck->index]), *more = NULL;

        must(asprintf(&more, "%s%s", struck->index == 3 || !text ? "" : text, world->stranger.pem) >= 0);
        free(world->displaced);
        world->displaced = text ? strdup(text) : NULL;
        world->stranger_at = struck->index;
        scratch_write(world->directory, names[struck->index], more, 0600);
}

static int struck_write(struct backend *backend, const struct contents *contents, const char *expected,
                        struct error *error) {
        struct struck *struck = of(backend);
        struct world *world = struck->world;
        enum mishap mishap;
        int r;

        if (is_dead(world))
                return error_set(error, -EINTR, "killed");
        mishap = world->n_writes++ == world->mishap_at ? world->mishap : MISHAP_NONE;
        if (mishap != MISHAP_NONE)
                world->n_struck++;
        if (mishap == MISHAP_STRANGER)
                be_a_stranger(struck);
        if (mishap == MISHAP_KILL_BEFORE)
                world->is_dead = true;
        if (mishap == MISHAP_KILL_BEFORE || mishap == MISHAP_FAIL)
                return error_set(error, -EIO, "struck");
        r = struck->inner->ops->write(struck->inner, contents, expected, error);
        if (mishap == MISHAP_KILL_AFTER)
                world->is_dead = true;
        return mishap == MISHAP_KILL_AFTER || mishap == MISHAP_LOST ? error_set(error, -EIO, "struck") : r;
}

static int struck_tidy(struct backend *backend, const struct contents *const *known, size_t n,
                       struct error *error) {
        struct struck *struck = of(backend);

        return struck->inner->ops->tidy(struck->inner, known, n, error);
}

static void struck_free(struct backend *backend) {
        struct struck *struck = of(backend);

        backend_free(struck->inner);
        free(struck->base.name);
        free(struck);
}

static const struct backend_ops struck_ops = {
        .read = struck_read,
        .write = struck_write,
        .tidy = struck_tidy,
        .free = struck_free,
};

static struct backend *strike(struct world *world, struct backend *inner, size_t index) {
        struct struck *struck = calloc(1, sizeof(*struck));

        must(struck);
        struck->base = (struct backend) { .ops = &struck_ops, .name = strdup(inner->name) };
        struck->inner = inner;
        struck->world = world;
        struck->index = index;
        return &struck->base;
}

/* --- The site --- */

static void write_site(struct world *world) {
        _cleanup_(freep) char *key = x509_key_pem(world->ca.key), *mixed = NULL;

        scratch_write(world->directory, "ca.key", key, 0600);
        scratch_write(world->directory, "ca.crt", world->ca.pem, 0644);
        scratch_write(world->directory, "trust-0.pem", world->ca.pem, 0644);
        must(asprintf(&mixed, "%s%s%s", world->other.pem, world->ca.pem, world->ca.pem) >= 0);
        mixed[strlen(mixed) - 1] = '\0';
        scratch_write(world->directory, "trust-1.pem", mixed, 0644);
        free_secret(take_ptr(key));
}

static struct backend *make_place(struct world *world, size_t index, const char *a, const char *b) {
        _cleanup_(freep) char *first = scratch_path(world->directory, a), *spec = NULL,
                              *second = b ? scratch_path(world->directory, b) : NULL;
        struct backend *inner;

        must(asprintf(&spec, "files:%s%s%s", first, b ? "," : "", b ? second : "") >= 0);
        must(files_parse(spec, b ? 2 : 1, 0600, &inner, NULL) == 0);
        return strike(world, inner, index);
}

void world_begin(struct world *world) {
        *world = (struct world) { .directory = scratch_new(), .now = X509_NOW, .mishap_at = UINT32_MAX };
        world->ca = x509_make(&(struct x509_options) {
                .ca = true, .subject = "CN=Kyma", .not_after = X509_NOW + 30 * USEC_PER_DAY });
        world->other =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Other", .key = x509_key(2) });
        world->stranger = x509_make(
                &(struct x509_options) { .ca = true, .subject = "CN=Stranger", .key = x509_key(3) });
        write_site(world);
        world->places[0] = make_place(world, 0, "ca.key", "ca.crt");
        world->trusts[0] = world->places[1] = make_place(world, 1, "trust-0.pem", NULL);
        world->trusts[1] = world->places[2] = make_place(world, 2, "trust-1.pem", NULL);
        world->places[3] = make_place(world, 3, "state.json", NULL);
        world->engine_places = (struct rotation_places) { .signer = world->places[0],
                                                          .trusts = world->trusts,
                                                          .n_trusts = ROTATION_TRUSTS,
                                                          .state = world->places[3] };
}

void world_end(struct world *world) {
        for (size_t i = 0; i < ELEMENTSOF(world->places); i++)
                backend_free(world->places[i]);
        x509_cert_clear(&world->ca);
        x509_cert_clear(&world->other);
        x509_cert_clear(&world->stranger);
        free(world->displaced);
        scratch_free(world->directory);
}

char *world_read(const struct world *world, const char *name) {
        return scratch_read(world->directory, name);
}

void world_restore(struct world *world) {
        static const char *const names[] = { "ca.crt", "trust-0.pem", "trust-1.pem", "state.json" };

        if (world->displaced)
                scratch_write(world->directory, names[world->stranger_at], world->displaced, 0600);
        else {
                _cleanup_(freep) char *path = scratch_path(world->directory, names[world->stranger_at]);

                (void)unlink(path);
        }
}

/* --- The ports --- */

static void say(_unused_ void *userdata, _unused_ const char *text) {
}

static int generate(void *userdata, unsigned bits, struct key **ret, struct error *error) {
        struct world *world = userdata;
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(bits == world->leaf_bits ? 0 : 4));

        return key_parse(pem, strlen(pem), ret, error);
}

static int verify(void *userdata, _unused_ const struct record *record, _unused_ enum phase phase,
                  struct error *error) {
        struct world *world = userdata;

        world->n_verified++;
        return world->verify_result < 0 ? error_set(error, world->verify_result, "not yet") : 0;
}

static int guard(void *userdata, _unused_ const struct record *record, _unused_ bool is_rollback,
                 struct error *error) {
        struct world *world = userdata;

        world->n_guarded++;
        return world->guard_result < 0 ? error_set(error, world->guard_result, "leaves would be lost") : 0;
}

static usec_t get_now(void *userdata) {
        return ((struct world *)userdata)->now;
}

const struct rotation_ports world_ports = {
        .say = say, .generate = generate, .verify = verify, .guard = guard, .now = get_now
};

/* --- Rotations --- */

int world_open(struct world *world, struct rotation **ret, struct error *error) {
        world->is_dead = false;
        world->leaf_bits = 2048;
        return rotation_open(&world->engine_places, &world_ports, world, ret, error);
}

int world_plan(struct world *world, enum reason reason, struct error *error) {
        const struct rotation_terms terms = { .reason = reason,
                                              .not_before = X509_NOW - 5 * USEC_PER_MINUTE,
                                              .not_after = X509_NOW + 3650 * USEC_PER_DAY,
                                              .key_bits = 4096,
                                              .leaf_lifetime = 90 * USEC_PER_DAY };
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;
        int r;

        r = world_open(world, &rotation, error);
        return r < 0 ? r : rotation_plan(rotation, &terms, error);
}

int world_apply(struct world *world, enum phase until, struct error *error) {
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;
        int r;

        r = world_open(world, &rotation, error);
        return r < 0 ? r : rotation_apply(rotation, until, error);
}

int world_rollback(struct world *world, struct error *error) {
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;
        int r;

        r = world_open(world, &rotation, error);
        return r < 0 ? r : rotation_rollback(rotation, error);
}

/* --- Judging --- */

static struct key *parse_key(const char *pem) {
        struct key *key = NULL;

        (void)key_parse(pem, strlen(pem), &key, NULL);
        return key;
}

static bool carries(const struct cert *cert, const struct key *key, const char *bundle) {
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(0));
        _cleanup_(key_freep) struct key *leaf_key = parse_key(pem);

        return carry_check(&(struct carry_ca) { cert, key }, leaf_key, bundle, X509_NOW, NULL) == 1;
}

static const char *judge_bundle(const struct world *world, const char *name,
                                const struct world_signer *signer, enum reason reason, bool is_retired) {
        _cleanup_(freep) char *bundle = world_read(world, name), *key = x509_key_pem(world->ca.key);
        _cleanup_(key_freep) struct key *old_key = parse_key(key);
        _cleanup_(cert_freep) struct cert *old = NULL;

        must(states_read_cert(world->ca.pem, &old, NULL) == 0);
        if (streq(name, "trust-1.pem") && !strstr(bundle, strstr(world->other.pem, "MII")))
                return "the CA of another is lost";
        if (reason != REASON_KEY_COMPROMISED || !cert_equal(signer->cert, old))
                if (!carries(signer->cert, signer->key, bundle))
                        return "a bundle does not have the CA that signs";
        if (reason_rows[reason].costs_calls || (is_retired && reason_rows[reason].has_new_key))
                return NULL;
        return carries(old, old_key, bundle) ? NULL : "leaves in use are lost";
}

const char *world_find_fault(const struct world *world, enum reason reason, bool is_retired) {
        _cleanup_(freep) char *key = world_read(world, "ca.key"), *crt = world_read(world, "ca.crt");
        _cleanup_(key_freep) struct key *signer_key = parse_key(key);
        _cleanup_(cert_freep) struct cert *cert = NULL;
        const char *fault = NULL;

        if (!signer_key || states_read_cert(crt, &cert, NULL) < 0)
                return "the signer cannot be read";
        if (identity_check(signer_key, crt, NULL) < 0)
                return "key and certificate of the signer do not belong together";
        for (unsigned i = 0; i < ROTATION_TRUSTS && !fault; i++)
                fault = judge_bundle(world, i == 0 ? "trust-0.pem" : "trust-1.pem",
                                     &(struct world_signer) { cert, signer_key }, reason, is_retired);
        return fault;
}

/* In the signer a key is at home. */
char *world_find_key(const struct world *world) {
        _cleanup_(freep) char *names = scratch_list(world->directory);
        char *rest = NULL;

        for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
                _cleanup_(freep) char *text = world_read(world, name);

                if (!streq(name, "ca.key") && text && strstr(text, "PRIVATE KEY"))
                        return strdup(name);
        }
        return NULL;
}
