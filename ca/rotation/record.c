/*
 * Everything that a rotation knows is in its state file, since it may be stopped at any instant, and be taken
 * up by another operator. It has private keys in it, until the end, so its text is cleansed wherever it is.
 */

#include "ca/rotation/record.h"

#include "lib/util/json.h"
#include "lib/util/parse.h"
#include "lib/util/secret.h"

#define RECORD_FORMAT 1

static void clear_place(struct record_place *place) {
        free(place->name);
        contents_clear(&place->before);
}

struct record *record_free(struct record *record) {
        if (!record)
                return NULL;
        clear_place(&record->signer);
        for (size_t i = 0; i < record->n_trusts; i++)
                clear_place(&record->trusts[i]);
        free(record->trusts);
        free_secret(record->new_key);
        free(record->new_certificate);
        free(record->forced);
        free(record);
        return NULL;
}

void record_erase_keys(struct record *record) {
        record->new_key = free_secret(record->new_key);
        record->signer.before.texts[SIGNER_KEY] = free_secret(record->signer.before.texts[SIGNER_KEY]);
}

/* --- Writing --- */

static json_t *pack_time(usec_t when) {
        char text[TIMESTAMP_MAX];

        return when == 0 ? json_null() : json_string(format_timestamp(text, when));
}

static json_t *pack_phases(const struct record *record) {
        json_t *phases = json_object();

        for (enum phase phase = 0; phase < PHASE_MAX; phase++)
                if (record->entered[phase] != 0 &&
                    json_object_set_new(phases, phase_names[phase], pack_time(record->entered[phase])) < 0) {
                        json_decref(phases);
                        return NULL;
                }
        return phases;
}

static json_t *pack_place(const struct record_place *place, bool is_signer) {
        const char *first = place->before.texts[0], *second = place->before.texts[1];

        if (is_signer)
                return json_pack("{s:s,s:s,s:s*,s:s*}", "place", place->name, "version", place->version,
                                 "key", first, "certificate", second);
        return json_pack("{s:s,s:s,s:s*}", "place", place->name, "version", place->version, "bundle", first);
}

static json_t *pack_trusts(const struct record *record) {
        json_t *trusts = json_array();

        for (size_t i = 0; i < record->n_trusts; i++)
                if (json_array_append_new(trusts, pack_place(&record->trusts[i], false)) < 0) {
                        json_decref(trusts);
                        return NULL;
                }
        return trusts;
}

static json_t *pack(const struct record *record) {
        return json_pack("{s:i,s:s,s:s,s:o,s:o,s:o,s:s*,s:s*,s:o,s:o,s:i,s:I,s:s*}", "format", RECORD_FORMAT,
                         "reason", reason_rows[record->reason].name, "phase", phase_names[record->phase],
                         "entered", pack_phases(record), "signer", pack_place(&record->signer, true), "trust",
                         pack_trusts(record), "new_key", record->new_key, "new_certificate",
                         record->new_certificate, "not_before", pack_time(record->not_before), "not_after",
                         pack_time(record->not_after), "key_bits", (int)record->key_bits, "leaf_lifetime_sec",
                         (json_int_t)(record->leaf_lifetime / USEC_PER_SEC), "forced", record->forced);
}

int record_write(const struct record *record, char **ret_text) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        char *text, *line;

        json_cleanse_memory();
        json = pack(record);
        text = json ? json_format(json, JSON_INDENT(2)) : NULL;
        line = text ? realloc_cleansed(text, strlen(text) + 2) : NULL;
        if (!line) {
                free_cleansed(text);
                return -ENOMEM;
        }
        *ret_text = strcat(line, "\n");
        return 0;
}

/* --- Reading --- */

static int damaged(struct error *error, const char *member) {
        return error_set(error, -EINVAL, "its member '%s' is missing or wrong", member);
}

/* A string, or NULL where it is absent; copied. */
static int take_text(const json_t *object, const char *member, char **ret, struct error *error) {
        const json_t *value = json_object_get(object, member);

        if (!value)
                return 0;
        if (!json_is_string(value))
                return damaged(error, member);
        *ret = strdup(json_string_value(value));
        return *ret ? 0 : error_set_errno(error, -ENOMEM, "it cannot be kept");
}

static int take_time(const json_t *object, const char *member, usec_t *ret, struct error *error) {
        const json_t *value = json_object_get(object, member);

        if (!value || json_is_null(value))
                return 0;
        return json_is_string(value) && parse_timestamp(json_string_value(value), ret) == 0
                       ? 0
                       : damaged(error, member);
}

static int take_place(const json_t *json, const char *const members[CONTENTS_MAX], struct record_place *ret,
                      struct error *error) {
        const char *version = json_string_value(json_object_get(json, "version"));
        int r;

        if (!version || strlen(version) >= VERSION_MAX)
                return damaged(error, "version");
        strcpy(ret->version, version);
        r = take_text(json, "place", &ret->name, error);
        if (r == 0 && !ret->name)
                return damaged(error, "place");
        for (size_t i = 0; i < CONTENTS_MAX && members[i] && r == 0; i++)
                r = take_text(json, members[i], &ret->before.texts[i], error);
        return r;
}

static int take_trusts(const json_t *json, struct record *record, struct error *error) {
        static const char *const members[CONTENTS_MAX] = { "bundle" };
        const size_t n = json_array_size(json);
        int r;

        record->trusts = calloc(n + 1, sizeof(record->trusts[0]));
        if (!record->trusts)
                return error_set_errno(error, -ENOMEM, "it cannot be kept");
        for (; record->n_trusts < n; record->n_trusts++) {
                r = take_place(json_array_get(json, record->n_trusts), members,
                               &record->trusts[record->n_trusts], error);
                if (r < 0) {
                        record->n_trusts++;
                        return r;
                }
        }
        return n > 0 ? 0 : damaged(error, "trust");
}

static int take_phases(const json_t *json, struct record *record, struct error *error) {
        int r = 0;

        for (enum phase phase = 0; phase < PHASE_MAX && r == 0; phase++)
                r = take_time(json, phase_names[phase], &record->entered[phase], error);
        return r;
}

static int take_words(const json_t *json, struct record *record, struct error *error) {
        const char *reason = json_string_value(json_object_get(json, "reason")),
                   *phase = json_string_value(json_object_get(json, "phase"));
        const json_int_t lifetime = json_integer_value(json_object_get(json, "leaf_lifetime_sec"));
        const json_int_t bits = json_integer_value(json_object_get(json, "key_bits"));

        if (!reason || reason_parse(reason, &record->reason) < 0)
                return damaged(error, "reason");
        if (!phase || phase_parse(phase, &record->phase) < 0)
                return damaged(error, "phase");
        if (lifetime <= 0 || bits < 0 || bits > 65536)
                return damaged(error, "leaf_lifetime_sec");
        record->leaf_lifetime = (usec_t)lifetime * USEC_PER_SEC;
        record->key_bits = (unsigned)bits;
        return 0;
}

static int take(const json_t *json, struct record *record, struct error *error) {
        static const char *const signer[CONTENTS_MAX] = { "key", "certificate" };
        int r;

        if (json_integer_value(json_object_get(json, "format")) != RECORD_FORMAT)
                return error_set(error, -EINVAL, "another version of rekeyca has written it");
        r = take_words(json, record, error);
        if (r == 0)
                r = take_phases(json_object_get(json, "entered"), record, error);
        if (r == 0)
                r = take_place(json_object_get(json, "signer"), signer, &record->signer, error);
        if (r == 0)
                r = take_trusts(json_object_get(json, "trust"), record, error);
        if (r == 0)
                r = take_text(json, "new_key", &record->new_key, error);
        if (r == 0)
                r = take_text(json, "new_certificate", &record->new_certificate, error);
        if (r == 0)
                r = take_text(json, "forced", &record->forced, error);
        if (r == 0)
                r = take_time(json, "not_before", &record->not_before, error);
        if (r == 0)
                r = take_time(json, "not_after", &record->not_after, error);
        return r;
}

int record_read(const char *text, struct record **ret, struct error *error) {
        _cleanup_(record_freep) struct record *record = calloc(1, sizeof(*record));
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r;

        if (!record)
                return error_set_errno(error, -ENOMEM, "it cannot be kept");
        r = json_read(text, strlen(text), RECORD_SIZE_MAX, &json, error);
        if (r == 0)
                r = take(json, record, error);
        if (r < 0)
                return r;
        *ret = take_ptr(record);
        return 0;
}

json_t *record_describe(const struct record *record) {
        json_t *trusts = json_array();

        for (size_t i = 0; i < record->n_trusts; i++)
                json_array_append_new(trusts, json_text(record->trusts[i].name));
        return json_pack("{s:s,s:s,s:o,s:o,s:o,s:s*,s:s*,s:I,s:s*}", "reason",
                         reason_rows[record->reason].name, "phase", phase_names[record->phase], "entered",
                         pack_phases(record), "signer", json_text(record->signer.name), "trust", trusts,
                         "old_certificate", record->signer.before.texts[SIGNER_CERTIFICATE],
                         "new_certificate", record->new_certificate, "leaf_lifetime_sec",
                         (json_int_t)(record->leaf_lifetime / USEC_PER_SEC), "forced", record->forced);
}
