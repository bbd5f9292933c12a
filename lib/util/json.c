/*
 * The limits that jansson leaves to its caller. It parses by recursion to a fixed depth of 2048, quotes what
 * it stumbled over in its messages, and frees what it parsed as it is; the three matter for a document from
 * the network that carries a one-time token. So depth is counted before it sees the text, its messages are
 * replaced, and its free() cleanses.
 */

#include "lib/util/json.h"

#include <threads.h>

#include "lib/util/secret.h"
#include "lib/util/text-stream.h"
#include "lib/util/utf8.h"

/* Process-wide, and harmless for all other code: the memory is malloc()'s still, and free() may take it. */
static void set_memory(void) {
        json_set_alloc_funcs(malloc, free_cleansed);
}

void json_cleanse_memory(void) {
        static once_flag once = ONCE_FLAG_INIT;

        call_once(&once, set_memory);
}

/* The deepest nesting in TEXT, whether it is valid or not. */
static size_t depth_of(const char *text, size_t size) {
        size_t depth = 0, deepest = 0;
        bool in_string = false;

        for (size_t i = 0; i < size; i++)
                switch (text[i]) {
                case '"':
                        in_string = !in_string;
                        break;
                case '\\':
                        if (in_string)
                                i++;
                        break;
                case '[':
                case '{':
                        if (!in_string && ++depth > deepest)
                                deepest = depth;
                        break;
                case ']':
                case '}':
                        if (!in_string && depth > 0)
                                depth--;
                        break;
                }
        return deepest;
}

static const char *describe(enum json_error_code code) {
        switch (code) {
        case json_error_premature_end_of_input:
                return "it ends too early";
        case json_error_end_of_input_expected:
                return "something follows its end";
        case json_error_duplicate_key:
                return "a key occurs twice";
        case json_error_null_character:
        case json_error_null_byte_in_key:
                return "a string holds a NUL";
        case json_error_invalid_utf8:
                return "a string is not UTF-8";
        case json_error_numeric_overflow:
                return "a number is too large";
        default:
                return "the syntax is wrong";
        }
}

int json_read(const char *text, size_t size, size_t max, json_t **ret, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        json_error_t json_error;
        size_t depth;

        if (size > max)
                return error_set(error, -EINVAL, "it is too large (%zu bytes, at most %zu)", size, max);
        if (size == 0)
                return error_set(error, -EINVAL, "it is empty");
        depth = depth_of(text, size);
        if (depth > JSON_DEPTH_MAX)
                return error_set(error, -EINVAL, "it is nested too deeply (%zu levels, at most %d)", depth,
                                 JSON_DEPTH_MAX);

        json_cleanse_memory();
        root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &json_error);
        if (!root) {
                const enum json_error_code code = json_error_code(&json_error);

                /* Without a reason it had no memory for a value; whatever is wrong with a text has one. */
                if (code == json_error_out_of_memory || code == json_error_unknown)
                        return error_set_errno(error, -ENOMEM, "cannot parse JSON");
                return error_set(error, -EINVAL, "it is not JSON at line %d, column %d: %s", json_error.line,
                                 json_error.column, describe(code));
        }
        if (!json_is_object(root))
                return error_set(error, -EINVAL, "it is not a JSON object");

        *ret = take_ptr(root);
        return 0;
}

json_t *json_text(const char *text) {
        _cleanup_(freep) char *copy = strdup(text);

        if (!copy)
                return NULL;
        utf8_mend(copy, true);
        return json_string(copy);
}

char *json_format(const json_t *json, size_t flags) {
        char *text;
        size_t size;
        FILE *out = text_stream_open(&text, &size);
        int r;

        if (!out)
                return NULL;
        (void)setvbuf(out, NULL, _IONBF, 0); /* no copy that is not cleansed */
        r = json_dumpf(json, out, flags);
        if (fclose(out) == 0 && r == 0)
                return text;
        free_cleansed(text);
        return NULL;
}
