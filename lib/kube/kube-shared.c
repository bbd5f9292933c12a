#include "lib/kube/kube-shared.h"

#include <stdio.h>

#include "lib/kube/kube-object.h"
#include "lib/util/parse.h"

/* Keys of the private Secret besides the parts. */
#define STAGED_FOR "staged-for" /* the generation, in decimal */
#define MARK       "mark"       /* "COUNT HOLDER" */

#define MARKS_MAX 1000000u

const char *const shared_part_names[SHARED_PART_MAX] = {
        [SHARED_KEY] = "staged.key",         [SHARED_CSR] = "staged.csr",
        [SHARED_TOKEN] = "staged.token",     [SHARED_CONNECTION] = "staged.connection.json",
        [SHARED_CERTIFICATE] = "staged.crt", [SHARED_CA] = "staged.ca.crt",
};

const char *const shared_step_names[SHARED_STEP_MAX] = {
        [SHARED_IDLE] = "idle",   [SHARED_WAIT] = "wait",       [SHARED_TAKE] = "take",
        [SHARED_STAGE] = "stage", [SHARED_MARK] = "mark",       [SHARED_SIGN] = "sign",
        [SHARED_KEEP] = "keep",   [SHARED_PUBLISH] = "publish", [SHARED_RELEASE] = "release",
};

/* What becomes what. */
static const struct {
        enum shared_part part;
        const char *key;
        bool is_required;
} published_parts[] = {
        { SHARED_KEY, "tls.key", true },
        { SHARED_CERTIFICATE, "tls.crt", true },
        { SHARED_CA, "ca.crt", false },
        { SHARED_CONNECTION, "connection.json", false },
};

/* --- Reading */

/* A value as text, at most as long as a name or a number; "" where there is none. */
static int get_text(const json_t *secret, const char *key, char *buffer, size_t room) {
        _cleanup_(freep) char *data = NULL;
        size_t size;
        int r;

        *buffer = '\0';
        r = kube_secret_get(secret, key, &data, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (size >= room || strlen(data) != size)
                return -EINVAL;
        memcpy(buffer, data, size + 1);
        return 0;
}

static int read_generation(const char *text, uint64_t *ret) {
        *ret = 0;
        return strempty(text) ? 0 : parse_unsigned(text, 1, UINT64_MAX - 1, ret);
}

static int read_mark(const json_t *private, struct shared_view *view) {
        char text[KUBE_LEASE_HOLDER_MAX + 32], *blank;
        uint64_t n;

        if (get_text(private, MARK, text, sizeof(text)) < 0)
                return -EINVAL;
        if (!*text)
                return 0;
        blank = strchr(text, ' ');
        if (!blank || strlen(blank + 1) >= sizeof(view->marked_by))
                return -EINVAL;
        *blank = '\0';
        if (parse_unsigned(text, 1, MARKS_MAX, &n) < 0)
                return -EINVAL;
        view->n_marks = (unsigned)n;
        snprintf(view->marked_by, sizeof(view->marked_by), "%s", blank + 1);
        return 0;
}

static bool has_part(const json_t *private, enum shared_part part) {
        return json_is_string(json_object_get(json_object_get(private, "data"), shared_part_names[part]));
}

int shared_read(const json_t *published, const json_t *private, struct shared_view *ret,
                struct error *error) {
        struct shared_view view = { 0 };
        char text[32];
        uint64_t staged;

        if (!kube_object_is_kind(published, "Secret") || !kube_object_is_kind(private, "Secret"))
                return error_set(error, -EPROTO, "it is no Secret");
        if (read_generation(kube_object_annotation(published, SHARED_GENERATION), &view.generation) < 0)
                return error_set(error, -EPROTO,
                                 "annotation " SHARED_GENERATION " is no number of a generation");
        if (get_text(private, STAGED_FOR, text, sizeof(text)) < 0 || read_generation(text, &staged) < 0)
                return error_set(error, -EPROTO, STAGED_FOR " is no number of a generation");
        if (staged == view.generation + 1) {
                view.has_key = has_part(private, SHARED_KEY);
                view.has_csr = view.has_key && has_part(private, SHARED_CSR);
                view.has_certificate = view.has_key && has_part(private, SHARED_CERTIFICATE);
                if (view.has_key && read_mark(private, &view) < 0)
                        return error_set(error, -EPROTO, MARK " is no mark of rekeyd");
        }
        *ret = view;
        return 0;
}

static int get_part(const json_t *secret, const char *key, char **ret) {
        char *data;
        size_t size;
        int r;

        r = kube_secret_get(secret, key, &data, &size);
        if (r < 0)
                return r;
        if (strlen(data) != size) {
                explicit_bzero(data, size);
                free(data);
                return -EINVAL;
        }
        *ret = data;
        return 0;
}

int shared_get(const json_t *private, enum shared_part part, char **ret) {
        return get_part(private, shared_part_names[part], ret);
}

static int get_published(const json_t *published, enum shared_part part, char **ret) {
        for (size_t i = 0; i < ELEMENTSOF(published_parts); i++)
                if (published_parts[i].part == part)
                        return get_part(published, published_parts[i].key, ret);
        return -ENOENT;
}

void shared_copy_clear(struct shared_copy *copy) {
        for (enum shared_part part = 0; part < SHARED_PART_MAX; part++) {
                free_secret(copy->published[part]);
                free_secret(copy->staged[part]);
        }
        *copy = (struct shared_copy) { 0 };
}

int shared_copy_read(const json_t *published, const json_t *private, const struct shared_view *view,
                     struct shared_copy *ret) {
        _cleanup_(shared_copy_clear) struct shared_copy copy = { .is_read = true,
                                                                 .generation = view->generation };

        for (enum shared_part part = 0; part < SHARED_PART_MAX; part++)
                if (get_published(published, part, &copy.published[part]) == -ENOMEM ||
                    (view->has_key && shared_get(private, part, &copy.staged[part]) == -ENOMEM))
                        return -ENOMEM;
        *ret = copy;
        copy = (struct shared_copy) { 0 };
        return 0;
}

/* --- Changing */

static int set_text(json_t *secret, const char *key, const char *text) {
        return kube_secret_set(secret, key, text, text ? strlen(text) : 0);
}

int shared_stage_key(json_t *private, const struct shared_view *view, const char *key_pem) {
        char text[32];
        int r = 0;

        if (view->has_key)
                return -EEXIST;
        for (enum shared_part part = 0; r == 0 && part < SHARED_PART_MAX; part++)
                r = set_text(private, shared_part_names[part], NULL);
        if (r == 0)
                r = set_text(private, MARK, NULL);
        snprintf(text, sizeof(text), "%" PRIu64, view->generation + 1);
        if (r == 0)
                r = set_text(private, STAGED_FOR, text);
        return r < 0 ? r : set_text(private, shared_part_names[SHARED_KEY], key_pem);
}

int shared_stage(json_t *private, const struct shared_view *view, enum shared_part part, const char *text) {
        return view->has_key ? set_text(private, shared_part_names[part], text) : -ENOKEY;
}

int shared_mark(json_t *private, const struct shared_view *view, const char *self) {
        char text[KUBE_LEASE_HOLDER_MAX + 32];

        if (!view->has_key)
                return -ENOKEY;
        snprintf(text, sizeof(text), "%u %s", view->n_marks < MARKS_MAX ? view->n_marks + 1 : MARKS_MAX,
                 self);
        return set_text(private, MARK, text);
}

bool shared_has_parts(const json_t *private, const struct shared_view *view,
                      const char *const parts[SHARED_PART_MAX]) {
        bool has = view->has_key;

        for (enum shared_part part = 0; has && part < SHARED_PART_MAX; part++)
                has = kube_secret_has(private, shared_part_names[part], parts[part]);
        return has;
}

int shared_stage_parts(json_t *private, const struct shared_view *view,
                       const char *const parts[SHARED_PART_MAX], const char *self) {
        struct shared_view other = *view;
        int r = 0;

        if (!view->has_key || !kube_secret_has(private, shared_part_names[SHARED_KEY], parts[SHARED_KEY])) {
                other.has_key = false;
                other.n_marks = 0;
                r = shared_stage_key(private, &other, parts[SHARED_KEY]);
                other.has_key = true;
        }
        for (enum shared_part part = SHARED_CSR; r == 0 && part < SHARED_PART_MAX; part++)
                r = shared_stage(private, &other, part, parts[part]);
        return r < 0 || !self ? r : shared_mark(private, &other, self);
}

static int publish_part(json_t *published, const json_t *private, size_t i) {
        _cleanup_(free_secretp) char *text = NULL;
        int r = shared_get(private, published_parts[i].part, &text);

        if (r == -ENOENT && published_parts[i].is_required)
                return -ENODATA;
        return r < 0 && r != -ENOENT ? r : set_text(published, published_parts[i].key, text);
}

static int annotate(json_t *published, uint64_t generation, const char *fingerprint) {
        char text[32];
        int r;

        snprintf(text, sizeof(text), "%" PRIu64, generation);
        r = kube_object_annotate(published, SHARED_GENERATION, text);
        return r < 0 ? r : kube_object_annotate(published, SHARED_FINGERPRINT, fingerprint);
}

int shared_publish(json_t *published, const json_t *private, const struct shared_view *view,
                   const char *fingerprint) {
        int r = view->has_certificate ? 0 : -ENODATA;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(published_parts); i++)
                r = publish_part(published, private, i);
        return r < 0 ? r : annotate(published, view->generation + 1, fingerprint);
}

int shared_write_back(json_t *published, const char *const parts[SHARED_PART_MAX], uint64_t generation,
                      const char *fingerprint) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(published_parts); i++)
                r = set_text(published, published_parts[i].key, parts[published_parts[i].part]);
        return r < 0 ? r : annotate(published, generation, fingerprint);
}

/* --- What is next */

enum shared_step shared_next(const struct shared_situation *situation) {
        const struct shared_view *view = situation->view;
        const struct kube_lease *lease = situation->lease;
        const bool is_held = kube_lease_is_held(lease, situation->self, situation->now);

        if (!situation->is_due)
                return is_held ? SHARED_RELEASE : SHARED_IDLE;
        if (!kube_lease_is_free(lease, situation->self, situation->now))
                return SHARED_WAIT;
        if (!is_held || kube_lease_end(lease) - situation->now < situation->call_usec)
                return SHARED_TAKE;
        if (view->has_certificate)
                return SHARED_PUBLISH;
        if (situation->has_reply)
                return SHARED_KEEP;
        if (!view->has_key)
                return SHARED_STAGE;
        return situation->is_marked && streq(view->marked_by, situation->self) ? SHARED_SIGN : SHARED_MARK;
}
