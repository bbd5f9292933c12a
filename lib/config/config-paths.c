/*
 * Who claims which path. Two certificates in one directory would overwrite each other, and one inside
 * another's is litter to it; an export is written without asking, so it must not hit any file that is read or
 * kept elsewhere. Everything that is claimed is sorted so that what lies in a directory follows it at once:
 * one pass finds all conflicts, however many certificates there are.
 *
 * Only the spelling counts here, nothing is looked up: what links and mounts lead to may change, and is
 * checked when a file is written.
 */

#include "lib/config/config-internal.h"

/* Of the same path the first in this order is the one that the others are in conflict with. */
enum claim_kind {
        CLAIM_STATE,     /* the state directory */
        CLAIM_DIRECTORY, /* of a certificate */
        CLAIM_INPUT,     /* a file that is read */
        CLAIM_EXPORT,
};

struct claim {
        const char *path;
        enum claim_kind kind;
        size_t order;                  /* of the files, among those of one kind */
        const char *option;            /* that names the path */
        const char *whose, *name;      /* "certificate", "orders" */
        const struct yaml_node *owner; /* the node of that name */
        const struct yaml_node *value; /* of an export: the node of the path */
};

struct claims {
        struct claim *items;
        size_t n;
};

/* '/' before everything else. */
static int compare_paths(const char *a, const char *b) {
        const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;

        while (*p && *p == *q)
                p++, q++;
        if (*p == *q)
                return 0;
        if (!*p || !*q)
                return *p ? 1 : -1;
        return (*p == '/' ? 0 : *p) < (*q == '/' ? 0 : *q) ? -1 : 1;
}

static int compare_claims(const void *a, const void *b) {
        const struct claim *x = a, *y = b;
        int order = compare_paths(x->path, y->path);

        if (order != 0)
                return order;
        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        return x->order < y->order ? -1 : 1;
}

static bool is_inside(const struct claim *inner, const struct claim *outer) {
        size_t n = strlen(outer->path);

        return strncmp(inner->path, outer->path, n) == 0 && (inner->path[n] == '/' || !inner->path[n]);
}

/* And in no directory below it. */
static bool is_entry(const struct claim *inner, const struct claim *outer) {
        return is_inside(inner, outer) &&
               (streq(inner->path, outer->path) || !strchr(inner->path + strlen(outer->path) + 1, '/'));
}

/* Nothing is claimed where the path, an option that was absent or wrong, is NULL. */
static void add_claim(struct claims *claims, struct claim claim) {
        if (!claim.path)
                return;
        claim.order = claims->n;
        claims->items[claims->n++] = claim;
}

/* ITEM is the export's entry in the list. */
static void add_export(struct claims *claims, struct claim claim, const struct export *export,
                       const struct yaml_node *item) {
        claim.path = export->passphrase_file;
        claim.option = "passphrase_file";
        add_claim(claims, claim);

        claim.kind = CLAIM_EXPORT;
        claim.path = export->path;
        claim.option = "path";
        claim.value = yaml_find(item, "path");
        add_claim(claims, claim);

        /* It is no path, and as such in nobody's directory; but two in one Secret take away what the other
         * has. */
        claim.path = export->secret;
        claim.option = "secret";
        claim.value = yaml_find(item, "secret");
        add_claim(claims, claim);
}

/* Everything that CERTIFICATE names but its directory; file_claims() of them at most. */
static void add_files(struct claims *claims, const struct config_certificate *certificate,
                      const struct yaml_node *owner) {
        const struct {
                const char *option, *path;
        } inputs[] = {
                { "token_file", certificate->token_file },
                { "import", certificate->import.key },
                { "import", certificate->import.certificate },
                { "import", certificate->import.ca },
        };
        struct claim claim = {
                .kind = CLAIM_INPUT, .whose = "certificate", .name = certificate->name, .owner = owner
        };
        const struct yaml_node *list = yaml_find(owner->next, "exports");
        const struct yaml_node *item = certificate->n_exports > 0 ? yaml_resolve(list)->first : NULL;

        for (size_t i = 0; i < ELEMENTSOF(inputs); i++) {
                claim.option = inputs[i].option;
                claim.path = inputs[i].path;
                add_claim(claims, claim);
        }
        claim.option = "pid_file";
        for (size_t i = 0; i < certificate->n_notify; i++) {
                claim.path = certificate->notify[i].pid_file;
                add_claim(claims, claim);
        }
        for (size_t i = 0; i < certificate->n_exports; i++, item = item->next) {
                /* An entry that is no mapping has its error, and no export. */
                while (yaml_resolve(item)->kind != YAML_MAPPING)
                        item = item->next;
                add_export(claims, claim, &certificate->exports[i], item);
        }
}

static size_t file_claims(const struct config_certificate *certificate) {
        return 4 + certificate->n_notify + 3 * certificate->n_exports;
}

static bool any_export(const struct config *config) {
        for (size_t i = 0; i < config->n_certificates; i++)
                if (config->certificates[i].n_exports > 0)
                        return true;
        return false;
}

/* False when memory ran out, which the run remembers. */
static bool collect(struct yaml_run *run, const struct config *config, struct claims *claims) {
        const struct yaml_node *const *certificates = yaml_run_names(run, config->certificates);
        const struct yaml_node *const *connectors = yaml_run_names(run, config->connectors);
        bool exports = any_export(config); /* files matter to nothing else */
        size_t room = 1 + config->n_connectors + config->n_certificates;

        for (size_t i = 0; exports && i < config->n_certificates; i++)
                room += file_claims(&config->certificates[i]);
        claims->items = yaml_run_scratch(run, room, sizeof(*claims->items));
        if (!claims->items)
                return false;

        for (size_t i = 0; i < config->n_certificates; i++) {
                const struct config_certificate *certificate = &config->certificates[i];

                add_claim(claims, (struct claim) { .path = certificate->directory,
                                                   .kind = CLAIM_DIRECTORY,
                                                   .whose = "certificate",
                                                   .name = certificate->name,
                                                   .owner = certificates[i] });
                if (exports)
                        add_files(claims, certificate, certificates[i]);
        }
        add_claim(claims, (struct claim) { .path = config->state_directory, .kind = CLAIM_STATE });
        for (size_t i = 0; exports && i < config->n_connectors; i++)
                add_claim(claims, (struct claim) { .path = config->connectors[i].trust,
                                                   .kind = CLAIM_INPUT,
                                                   .option = "trust",
                                                   .whose = "connector",
                                                   .name = config->connectors[i].name,
                                                   .owner = connectors[i] });
        return true;
}

static void complain_directory(struct yaml_run *run, const struct claim *inner, const struct claim *outer) {
        struct yaml_place place = yaml_find(inner->owner->next, "directory")->place;

        yaml_complain(
                run, place,
                "'directory' %s that of certificate '%s' (%s); give each certificate a directory of its "
                "own",
                streq(inner->path, outer->path) ? "is the same as" : "is inside", outer->name,
                yaml_place_text(run, outer->owner->place, place));
}

/* rekeyd keeps files in both. A certificate's directory may well lie below the state directory. */
static void complain_state(struct yaml_run *run, const struct claim *directory, const struct claim *state) {
        yaml_complain(run, yaml_find(directory->owner->next, "directory")->place,
                      "'directory' %s 'state_directory' (%s), which needs a directory of its own",
                      streq(directory->path, state->path) ? "is the same as" : "holds", state->path);
}

/* DIRECTORY and STATE are the outermost that EXPORT may lie inside, OTHER has the same path; or NULL. */
static void check_export(struct yaml_run *run, const struct claim *export, const struct claim *directory,
                         const struct claim *state, const struct claim *other) {
        struct yaml_place place = export->value->place;

        if (directory && is_inside(export, directory))
                yaml_complain(
                        run, place,
                        "'path' %s the directory of certificate '%s' (%s), which holds rekeyd's own files "
                        "and nothing else; choose a path outside",
                        streq(export->path, directory->path) ? "is" : "is inside", directory->name,
                        yaml_place_text(run, directory->owner->place, place));
        else if (state && is_entry(export, state))
                yaml_complain(run, place,
                              "'path' %s 'state_directory', which holds rekeyd's own files; choose a path "
                              "outside, or in a directory of its own below it",
                              streq(export->path, state->path) ? "is" : "is inside");
        else if (other && other->kind == CLAIM_EXPORT)
                yaml_complain(run, place,
                              "'%s' is the same as that of another export, of certificate '%s' (%s); give "
                              "each export a %s of its own",
                              export->option, other->name, yaml_place_text(run, other->value->place, place),
                              streq(export->option, "path") ? "file" : "Secret");
        else if (other)
                yaml_complain(run, place,
                              "'path' is a file that '%s' of %s '%s' (%s) names, and would be overwritten; "
                              "give the export a file of its own",
                              other->option, other->whose, other->name,
                              yaml_place_text(run, other->owner->place, place));
}

static void check_claims(struct yaml_run *run, const struct claims *claims) {
        const struct claim *directory = NULL, *state = NULL, *first = NULL;

        for (size_t i = 0; i < claims->n && !yaml_run_full(run); i++) {
                const struct claim *claim = &claims->items[i];

                if (!first || !streq(first->path, claim->path))
                        first = claim;
                switch (claim->kind) {
                case CLAIM_STATE:
                        state = claim;
                        if (directory && is_inside(state, directory))
                                complain_state(run, directory, state);
                        break;
                case CLAIM_DIRECTORY:
                        if (state && streq(claim->path, state->path))
                                complain_state(run, claim, state);
                        if (directory && is_inside(claim, directory))
                                complain_directory(run, claim, directory);
                        else
                                directory = claim;
                        break;
                case CLAIM_INPUT:
                        break;
                case CLAIM_EXPORT:
                        check_export(run, claim, directory, state, first != claim ? first : NULL);
                        break;
                }
        }
}

void config_check_paths(struct yaml_run *run, const struct config *config) {
        struct claims claims = { 0 };

        if (config->n_certificates == 0 || !collect(run, config, &claims) || claims.n == 0)
                return;
        qsort(claims.items, claims.n, sizeof(*claims.items), compare_claims);
        check_claims(run, &claims);
}
