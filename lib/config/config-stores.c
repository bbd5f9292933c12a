/*
 * Who claims which Secret. A store takes two, and whatever else writes into them, another store or an export,
 * would be overwritten, or would make all replicas take over what it wrote.
 */

#include "lib/config/config-internal.h"

struct secret {
        char *name;
        const char *option;            /* that names it */
        const char *certificate;       /* whose it is */
        const struct yaml_node *owner; /* the node of that name */
        bool is_store;
        size_t order;
};

struct secrets {
        struct secret *items;
        size_t n;
};

/* A store first, since an export gives way. */
static int compare(const void *a, const void *b) {
        const struct secret *x = a, *y = b;
        const int order = strcmp(x->name, y->name);

        if (order != 0)
                return order;
        if (x->is_store != y->is_store)
                return x->is_store ? -1 : 1;
        return x->order < y->order ? -1 : 1;
}

static size_t count(const struct config *config) {
        size_t n = 0, n_stores = 0;

        for (size_t i = 0; i < config->n_certificates; i++) {
                n_stores += config->certificates[i].store.secret ? 1 : 0;
                n += (config->certificates[i].store.secret ? 2 : 0) + config->certificates[i].n_exports;
        }
        return n_stores > 0 ? n : 0;
}

/* False when memory is out, which makes the run void. */
static bool add(struct yaml_run *run, struct secrets *secrets, struct secret secret, const char *name,
                const char *suffix) {
        if (!name)
                return true;
        secret.name = yaml_run_scratch(run, strlen(name) + strlen(suffix) + 1, 1);
        if (!secret.name)
                return false;
        strcat(strcpy(secret.name, name), suffix);
        secret.order = secrets->n;
        secrets->items[secrets->n++] = secret;
        return true;
}

static bool collect(struct yaml_run *run, struct secrets *secrets, const struct config *config) {
        const struct yaml_node *const *names = yaml_run_names(run, config->certificates);
        bool ok = true;

        for (size_t i = 0; ok && i < config->n_certificates; i++) {
                const struct config_certificate *certificate = &config->certificates[i];
                struct secret secret = { .option = "store",
                                         .certificate = certificate->name,
                                         .owner = names[i],
                                         .is_store = true };

                ok = add(run, secrets, secret, certificate->store.secret, "") &&
                     add(run, secrets, secret, certificate->store.secret, CONFIG_STORE_PRIVATE);
                secret.option = "exports";
                secret.is_store = false;
                for (size_t k = 0; ok && k < certificate->n_exports; k++)
                        ok = add(run, secrets, secret, certificate->exports[k].secret, "");
        }
        return ok;
}

static void complain(struct yaml_run *run, const struct secret *secret, const struct secret *other) {
        const struct yaml_node *value = yaml_find(secret->owner->next, secret->option);
        const struct yaml_place place = value ? value->place : secret->owner->place;

        yaml_complain(run, place,
                      "'%s' takes the Secret %s, which 'store' of certificate '%s' (%s) takes; give each a "
                      "Secret of its own",
                      secret->option, secret->name, other->certificate,
                      yaml_place_text(run, other->owner->place, place));
}

void config_check_stores(struct yaml_run *run, const struct config *config) {
        struct secrets secrets = { 0 };
        const size_t room = count(config);

        if (room == 0)
                return;
        secrets.items = yaml_run_scratch(run, room, sizeof(*secrets.items));
        if (!secrets.items || !collect(run, &secrets, config))
                return;
        qsort(secrets.items, secrets.n, sizeof(*secrets.items), compare);
        for (size_t i = 1, first = 0; i < secrets.n; i++) {
                if (!streq(secrets.items[first].name, secrets.items[i].name))
                        first = i;
                else if (secrets.items[first].is_store)
                        complain(run, &secrets.items[i], &secrets.items[first]);
        }
}
