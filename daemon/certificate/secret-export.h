#pragma once

/* One export to a Kubernetes Secret: whether it is current and could be written; and writing it. */

#include "kube/kube-client.h"
#include "lib/export/export-secret.h"

struct secret_export;

/* As struct export_result has it. */
struct secret_export_result {
        bool is_seen; /* it was read: the rest is known */
        bool is_stale, is_writable, is_written;
        const char *error; /* one sentence; borrowed for the length of the callback; NULL: none */
};

/* Everything is borrowed until the export is freed. */
struct secret_export_options {
        struct kube_client *client;
        const struct export *export;
        const struct export_values
                *values; /* NULL: there is no set; whether the Secret can be read is found out */
        bool closely;    /* also whether what is current could be written */
        bool write;      /* write it; else find out */

        /* Once, from the loop. May free the export. */
        void (*done)(const struct secret_export_result *result, void *userdata);
        void *userdata;
};

/* 0; or -errno with a sentence, and DONE is not called. */
int secret_export_new(const struct secret_export_options *options, struct secret_export **ret,
                      struct error *error);

/* Ends it. A write may have been done all the same. Accepts NULL, returns NULL. */
struct secret_export *secret_export_free(struct secret_export *run);
DEFINE_CLEANUP(struct secret_export *, secret_export_free);
