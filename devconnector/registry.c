/*
 * Words in memory and in a file, the file first. It is replaced as a whole: it holds what a developer revokes
 * in an afternoon, not what a cluster does in a year.
 */

#include "devconnector/registry.h"

#include <stdio.h>

#include "lib/util/files.h"
#include "lib/util/text-stream.h"

#define REGISTRY_FILE_MAX (4u * 1024 * 1024)

struct registry {
        int dir_fd;
        const char *name;
        char **words;
        size_t n_words;
};

static size_t find(const struct registry *registry, const char *word) {
        size_t i = 0;

        while (i < registry->n_words && !streq(registry->words[i], word))
                i++;
        return i;
}

static int push(struct registry *registry, const char *word, size_t size) {
        char **words = reallocarray(registry->words, registry->n_words + 1, sizeof(*words));

        if (!words)
                return -ENOMEM;
        registry->words = words;
        words[registry->n_words] = strndup(word, size);
        if (!words[registry->n_words])
                return -ENOMEM;
        registry->n_words++;
        return 0;
}

static int save(const struct registry *registry, struct error *error) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);
        int r;

        if (!out)
                return error_set_errno(error, -ENOMEM, "cannot write %s", registry->name);
        for (size_t i = 0; i < registry->n_words; i++)
                fprintf(out, "%s\n", registry->words[i]);
        if (fclose(out) != 0)
                return error_set_errno(error, -ENOMEM, "cannot write %s", registry->name);
        r = file_replace_at(registry->dir_fd, registry->name, text, size, FILE_ACCESS(0600));
        return r < 0 ? error_set_errno(error, r, "cannot write %s", registry->name) : 0;
}

int registry_open(int dir_fd, const char *name, struct registry **ret, struct error *error) {
        _cleanup_(registry_freep) struct registry *registry = calloc(1, sizeof(*registry));
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        if (!registry)
                return error_set_errno(error, -ENOMEM, "cannot read %s", name);
        registry->dir_fd = dir_fd;
        registry->name = name;

        r = file_read_at(dir_fd, name, FILE_FOLLOW, REGISTRY_FILE_MAX, &text, &size);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(error, r, "cannot read %s", name);
        for (const char *line = r < 0 ? "" : text; *line; line += *line == '\n') {
                size_t length = strcspn(line, "\n");

                if (length > 0 && push(registry, line, length) < 0)
                        return error_set_errno(error, -ENOMEM, "cannot read %s", name);
                line += length;
        }
        *ret = take_ptr(registry);
        return 0;
}

struct registry *registry_free(struct registry *registry) {
        if (!registry)
                return NULL;
        for (size_t i = 0; i < registry->n_words; i++)
                free(registry->words[i]);
        free(registry->words);
        free(registry);
        return NULL;
}

bool registry_has(const struct registry *registry, const char *word) {
        return find(registry, word) < registry->n_words;
}

int registry_add(struct registry *registry, const char *word, struct error *error) {
        int r;

        if (registry_has(registry, word))
                return 0;
        if (push(registry, word, strlen(word)) < 0)
                return error_set_errno(error, -ENOMEM, "cannot write %s", registry->name);
        r = save(registry, error);
        if (r < 0)
                free(registry->words[--registry->n_words]);
        return r;
}

int registry_remove(struct registry *registry, const char *word, struct error *error) {
        size_t i = find(registry, word);
        char *removed;
        int r;

        if (i == registry->n_words)
                return 0;
        removed = registry->words[i];
        registry->words[i] = registry->words[--registry->n_words];
        r = save(registry, error);
        if (r < 0) {
                registry->words[registry->n_words++] = registry->words[i];
                registry->words[i] = removed;
                return r;
        }
        free(removed);
        return 0;
}
