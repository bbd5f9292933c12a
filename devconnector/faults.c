/*
 * The armed faults. Of those that fit a call the first is applied, with one exception: a pause (delay, hold)
 * and another fault can strike the same call. A call keeps its faults by reference, so they may be lifted
 * meanwhile.
 */

#include "devconnector/fault-table.h"
#include "lib/util/parse.h"

struct fault {
        struct fault *next;
        unsigned n_refs;
        struct fault_request what; /* its count is what is left */
        json_t *request;           /* as it was armed: the parameters */
};

struct faults {
        struct fault *first;
};

struct faults *faults_new(void) {
        return calloc(1, sizeof(struct faults));
}

struct fault *fault_unref(struct fault *fault) {
        if (!fault || --fault->n_refs > 0)
                return NULL;
        json_decref(fault->request);
        free(fault);
        return NULL;
}

void faults_clear(struct faults *faults) {
        for (struct fault *fault = faults->first, *next; fault; fault = next) {
                next = fault->next;
                fault_unref(fault);
        }
        faults->first = NULL;
}

struct faults *faults_free(struct faults *faults) {
        if (!faults)
                return NULL;
        faults_clear(faults);
        free(faults);
        return NULL;
}

int faults_arm(struct faults *faults, const json_t *request, struct error *error) {
        _cleanup_(fault_unrefp) struct fault *fault = calloc(1, sizeof(*fault));
        struct fault **slot = &faults->first;
        int r;

        if (!fault)
                return error_set_errno(error, -ENOMEM, "cannot arm the fault");
        fault->n_refs = 1;
        r = fault_request_read(request, &fault->what, error);
        if (r < 0)
                return r;
        fault->request = json_deep_copy(request);
        if (!fault->request)
                return error_set_errno(error, -ENOMEM, "cannot arm the fault");

        while (*slot)
                slot = &(*slot)->next;
        *slot = take_ptr(fault);
        return 0;
}

struct fault *faults_take(struct faults *faults, unsigned stages, enum endpoint endpoint,
                          enum protocol protocol, enum operation operation) {
        for (struct fault **slot = &faults->first; *slot; slot = &(*slot)->next) {
                struct fault *fault = *slot;

                if (((unsigned)fault_rows[fault->what.kind].stage & stages) == 0 ||
                    (fault->what.endpoints & 1u << endpoint) == 0 ||
                    (protocol != PROTOCOL_MAX && (fault->what.protocols & 1u << protocol) == 0) ||
                    (operation != OPERATION_KIND_MAX && (fault->what.operations & 1u << operation) == 0))
                        continue;
                if (fault->what.count > 0 && --fault->what.count == 0)
                        *slot = fault->next; /* the list's reference becomes the caller's */
                else
                        fault->n_refs++;
                return fault;
        }
        return NULL;
}

json_t *faults_list(const struct faults *faults) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (const struct fault *fault = faults->first; fault; fault = fault->next) {
                json_t *copy = json_deep_copy(fault->request);

                if (fault->what.count > 0)
                        json_object_set_new(copy, "count", json_integer(fault->what.count));
                if (json_array_append_new(list, copy) < 0)
                        return NULL;
        }
        return take_ptr(list);
}

enum fault_kind fault_kind(const struct fault *fault) {
        return fault->what.kind;
}

enum fault_stage fault_stage(const struct fault *fault) {
        return fault_rows[fault->what.kind].stage;
}

const char *fault_name(const struct fault *fault) {
        return fault_rows[fault->what.kind].name;
}

bool fault_is(const struct fault *fault, enum fault_kind kind) {
        return fault && fault->what.kind == kind;
}

const char *fault_text(const struct fault *fault, const char *name) {
        const char *given = json_string_value(json_object_get(fault->request, name));
        const struct fault_parameter *parameter = fault_find_parameter(&fault_rows[fault->what.kind], name);

        return given || !parameter ? given : parameter->fallback;
}

usec_t fault_duration(const struct fault *fault, const char *name) {
        const char *text = fault_text(fault, name);
        usec_t usec = 0;

        if (text)
                (void)parse_duration(text, &usec);
        return usec;
}

uint64_t fault_number(const struct fault *fault, const char *name) {
        const json_t *given = json_object_get(fault->request, name);
        const struct fault_parameter *parameter = fault_find_parameter(&fault_rows[fault->what.kind], name);
        uint64_t number = 0;

        if (given)
                return (uint64_t)json_integer_value(given);
        if (parameter)
                (void)parse_unsigned(parameter->fallback, 0, UINT64_MAX, &number);
        return number;
}

bool fault_flag(const struct fault *fault, const char *name) {
        return json_is_true(json_object_get(fault->request, name));
}

bool fault_is_given(const struct fault *fault, const char *name) {
        return json_object_get(fault->request, name) != NULL;
}
