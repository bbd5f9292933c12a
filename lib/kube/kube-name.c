/*
 * A name goes into the path of a URL and decides which object is read or written. So it is checked before it
 * gets there, by the server's own rules, and nothing is ever escaped.
 */

#include "lib/kube/kube-name.h"

static bool is_label_character(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* The end of the label at TEXT, or NULL when there is none. */
static const char *skip_label(const char *text) {
        const char *end = text;

        while (is_label_character(*end))
                end++;
        return end > text && *text != '-' && end[-1] != '-' ? end : NULL;
}

bool kube_is_namespace(const char *text) {
        const char *end = skip_label(text);

        return end && *end == '\0' && end - text <= KUBE_NAMESPACE_MAX;
}

bool kube_is_name(const char *text) {
        const char *end = skip_label(text);

        while (end && *end == '.')
                end = skip_label(end + 1);
        return end && *end == '\0' && end - text <= KUBE_NAME_MAX;
}

bool kube_is_key(const char *text) {
        size_t n = 0;

        for (; text[n]; n++)
                if (!is_label_character(text[n]) && !(text[n] >= 'A' && text[n] <= 'Z') && text[n] != '_' &&
                    text[n] != '.')
                        return false;
        return n > 0 && n <= KUBE_KEY_MAX && !has_prefix(text, "..") && !streq(text, ".");
}

int kube_name_parse(const char *text, struct kube_name *ret) {
        const char *slash = strchr(text, '/');
        struct kube_name name = { 0 };

        if (!slash || (size_t)(slash - text) >= sizeof(name.namespace) ||
            strlen(slash + 1) >= sizeof(name.name))
                return -EINVAL;
        memcpy(name.namespace, text, (size_t)(slash - text));
        memcpy(name.name, slash + 1, strlen(slash + 1));
        if (!kube_is_namespace(name.namespace) || !kube_is_name(name.name))
                return -EINVAL;
        *ret = name;
        return 0;
}
