#include "ca/site/site.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/config/yaml-table.h"
#include "lib/util/files.h"
#include "lib/util/text-stream.h"
#include "lib/x509/key.h"

#define SITE_MAX (256u * 1024)

#define FIELD(type, field) .offset = offsetof(struct type, field)
#define OPTIONS(array)     .options = (array), .n_options = ELEMENTSOF(array)

static const struct yaml_option gateway_options[] = {
        { .key = "url",
          .type = &yaml_https_url,
          FIELD(site_gateway, url),
          .required = true,
          .help = "an address of the gateway, which probes are sent to" },
        { .key = "trust",
          .type = &yaml_path,
          FIELD(site_gateway, trust),
          .help = "PEM file that the gateway's server certificate verifies to; the system's when absent" },
};

static const struct yaml_table gateway_table = {
        .name = "gateway",
        OPTIONS(gateway_options),
        .size = sizeof(struct site_gateway),
};

static const struct yaml_option canary_options[] = {
        { .key = "url",
          .type = &yaml_https_url,
          FIELD(site_canary, url),
          .help = "the certificate-secured endpoint of the Connector" },
        { .key = "subject",
          .type = &yaml_string,
          FIELD(site_canary, subject),
          .help = "the subject of a client that the Connector knows" },
        { .key = "trust",
          .type = &yaml_path,
          FIELD(site_canary, trust),
          .help = "PEM file that the Connector's server certificate verifies to" },
        { .key = "protocol",
          .type = &yaml_word,
          FIELD(site_canary, protocol),
          .default_text = "compass",
          .words = protocol_names,
          .n_words = PROTOCOL_MAX,
          .help = "the protocol of the Connector" },
};

static const struct yaml_table canary_table = {
        .name = "canary",
        OPTIONS(canary_options),
        .size = sizeof(struct site_canary),
};

static const struct yaml_option site_options[] = {
        { .key = "signer",
          .type = &yaml_string,
          FIELD(site, signer),
          .help = "files:KEY,CERTIFICATE or secret:NAMESPACE/NAME[KEY,CERTIFICATE] of the CA that signs" },
        { .key = "trust",
          .type = &yaml_argv,
          FIELD(site, trust),
          .help = "the trust bundles of the gateways, files:PATH or secret:NAMESPACE/NAME[KEY] each" },
        { .key = "state",
          .type = &yaml_string,
          FIELD(site, state),
          .default_text = SITE_STATE,
          .help = "the state file of the rotation, a path or secret:NAMESPACE/NAME, with keys in it until "
                  "the end" },
        { .key = "kubeconfig",
          .type = &yaml_path,
          FIELD(site, kubeconfig),
          .help = "the file by which the cluster is called; the account of the pod when absent" },
        { .key = "gateways",
          .type = &yaml_list,
          FIELD(site, gateways),
          .count_offset = offsetof(struct site, n_gateways),
          .max = 100,
          .table = &gateway_table,
          .help = "what is probed" },
        { .key = "reload",
          .type = &yaml_argv,
          FIELD(site, reload),
          .help = "unit:NAME, deployment:NAMESPACE/NAME or command:PROGRAM ARGUMENTS each, where the probes "
                  "show "
                  "that it is needed" },
        { .key = "canary",
          .type = &yaml_struct,
          FIELD(site, canary),
          .table = &canary_table,
          .help = "the client whose certificate shows with which CA the Connector signs" },
        { .key = "prometheus",
          .type = &yaml_string,
          FIELD(site, prometheus),
          .help = "URL of a Prometheus, or of the metrics of one rekeyd" },
        { .key = "control",
          .type = &yaml_argv,
          FIELD(site, control),
          .help = "control sockets of rekeyds, which are asked to renew, and are counted" },
        { .key = "renew_within",
          .type = &yaml_duration,
          FIELD(site, renew_within),
          .max = 30 * USEC_PER_DAY,
          .default_text = "6h",
          .help = "over which time their renewals are spread" },
        { .key = "connector",
          .type = &yaml_string,
          FIELD(site, connector),
          .default_text = "ucl",
          .help = "the name of the Connector in the configuration of rekeyd" },
        { .key = "leaf_lifetime",
          .type = &yaml_duration,
          FIELD(site, leaf_lifetime),
          .min = USEC_PER_SEC,
          .max = 3650 * USEC_PER_DAY,
          .default_text = "90d",
          .help = "the longest lifetime of a leaf" },
        { .key = "ca_lifetime",
          .type = &yaml_duration,
          FIELD(site, ca_lifetime),
          .min = USEC_PER_MINUTE,
          .max = 36500 * USEC_PER_DAY,
          .help = "the lifetime of the new CA certificate; that of the old one when absent" },
        { .key = "ca_window",
          .type = &yaml_duration,
          FIELD(site, ca_window),
          .max = USEC_PER_DAY,
          .default_text = "60s",
          .help = "how long the Connector may still sign with a CA that was replaced" },
        { .key = "skew",
          .type = &yaml_duration,
          FIELD(site, skew),
          .max = USEC_PER_DAY,
          .default_text = "5m",
          .help = "by how much clocks may differ; notBefore is as much earlier" },
        { .key = "patience",
          .type = &yaml_duration,
          FIELD(site, patience),
          .min = USEC_PER_SEC,
          .max = USEC_PER_DAY,
          .default_text = "2m",
          .help = "how long a gateway is probed until it has another bundle" },
        { .key = "key_bits",
          .type = &yaml_unsigned,
          FIELD(site, key_bits),
          .min = KEY_BITS_MIN,
          .max = KEY_BITS_DEFAULT,
          .default_text = "4096",
          .unit = "bits",
          .help = "the size of a new key" },
};

static const struct yaml_table site_table = {
        .name = "site",
        OPTIONS(site_options),
        .size = sizeof(struct site),
};

void site_clear(struct site *site) {
        struct arena memory = site->memory;

        *site = (struct site) { 0 };
        arena_clear(&memory);
}

/* All complaints, a line each. */
static int complain(struct yaml_run *run, struct error *error) {
        _cleanup_(freep) char *text = NULL;
        char **items = NULL;
        size_t n = 0, size;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return error_set(error, -ENOMEM, "out of memory");
        if (yaml_run_errors(run, &items, &n) < 0)
                n = 0;
        for (size_t i = 0; i < n; i++) {
                fprintf(out, "%s%s", i > 0 ? "\n" : "", items[i]);
                free(items[i]);
        }
        free(items);
        if (fclose(out) != 0)
                return error_set(error, -ENOMEM, "out of memory");
        return n > 0 ? error_set(error, -EINVAL, "%s", text) : 0;
}

static int apply(struct site *site, const char *name, const char *text, size_t size, struct error *error) {
        _cleanup_(yaml_run_freep) struct yaml_run *run = yaml_run_new(&site->memory);
        unsigned file;

        if (!run || yaml_run_file(run, name, &file) < 0 || yaml_run_read(run, file, text, size) < 0 ||
            yaml_run_apply(run, &site_table, site) < 0)
                return error_set_errno(error, -ENOMEM, "cannot read %s", name);
        return complain(run, error);
}

int site_read(const char *file, bool is_optional, struct site *ret, struct error *error) {
        _cleanup_(site_clear) struct site site = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        int r;

        r = file_read_at(AT_FDCWD, file, FILE_FOLLOW, SITE_MAX, &text, &size);
        if (r < 0 && !(r == -ENOENT && is_optional))
                return error_set_errno(error, r, "cannot read %s", file);
        r = apply(&site, file, text ? text : "", size, error);
        if (r < 0)
                return r;
        *ret = site;
        site = (struct site) { 0 };
        return 0;
}
