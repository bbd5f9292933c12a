/*
 * Connectors: their options, one row each, and the type of an option that names one. Both are here, since two
 * names are equal where all that their Connectors say is.
 */

#include <stdio.h>

#include "lib/config/config-internal.h"
#include "lib/util/parse.h"
#include "lib/util/text-stream.h"

static const struct yaml_option connector_options[] = {
        { .key = "protocol",
          .type = &yaml_word,
          FIELD(config_connector, protocol),
          .default_text = "compass",
          WORDS(protocol_names),
          .help = "the protocol of the Connector" },
        { .key = "url",
          .type = &yaml_https_url,
          FIELD(config_connector, url),
          .help = "the certificate-secured endpoint; taken from the enrolment when absent" },
        { .key = "enrol_url",
          .type = &yaml_https_url,
          FIELD(config_connector, enrol_url),
          .help = "the token-secured endpoint; without it this Connector cannot enrol" },
        { .key = "trust",
          .type = &yaml_path,
          FIELD(config_connector, trust),
          .help = "PEM file that the Connector's server certificate verifies to; the system's when absent" },
        { .key = "timeout",
          .type = &yaml_duration,
          FIELD(config_connector, timeout_usec),
          .min = USEC_PER_SEC,
          .max = USEC_PER_HOUR,
          .default_text = "120s",
          .help = "how long one call may take; the Connector gives up after 100s" },
        { .key = "ca_window",
          .type = &yaml_duration,
          FIELD(config_connector, ca_window_usec),
          .max = USEC_PER_DAY,
          .default_text = "60s",
          .help = "how long the Connector may still sign with a CA that was replaced" },
        { .key = "distrust",
          .type = &yaml_argv,
          FIELD(config_connector, distrust),
          .help = "SHA-256 fingerprints of CA certificates, or spki:HEX of CA keys, whose sets are renewed" },
        { .key = "renew_issued_before",
          .type = &config_timestamp,
          FIELD(config_connector, issued_before),
          .help = "sets that were issued before this instant are renewed" },
        { .key = "renew_within",
          .type = &yaml_duration,
          FIELD(config_connector, renew_within_usec),
          .max = DAYS(30),
          .default_text = "1h",
          .help = "the time over which such renewals are spread" },
};

const struct yaml_table config_connector_table = {
        .name = "connector",
        OPTIONS(connector_options),
        .size = sizeof(struct config_connector),
        .name_offset = offsetof(struct config_connector, name),
        .check = config_check_connector,
};

/* "define it under 'connectors'", or what is there already. */
static char *connector_choices(const struct yaml_run *run) {
        enum { SHOWN_MAX = 8 };
        const struct config *config = yaml_run_object(run);
        char *text = NULL;
        size_t size;
        FILE *out;

        if (config->n_connectors == 0)
                return strdup("define it under 'connectors'");
        out = text_stream_open(&text, &size);
        if (!out)
                return NULL;
        fputs("those defined: ", out);
        for (size_t i = 0; i < config->n_connectors && i < SHOWN_MAX; i++)
                fprintf(out, "%s%s", i == 0 ? "" : ", ", config->connectors[i].name);
        if (config->n_connectors > SHOWN_MAX)
                fprintf(out, " and %zu more", config->n_connectors - SHOWN_MAX);
        return fclose(out) == 0 ? text : NULL;
}

static const char *nearest_connector(const struct config *config, const char *name) {
        const char *candidates[128];
        size_t n = 0;

        for (; n < config->n_connectors && n + 1 < ELEMENTSOF(candidates); n++)
                candidates[n] = config->connectors[n].name;
        candidates[n] = NULL;
        return nearest_word(name, candidates);
}

/* The name of a Connector, which its own row, further up, has read from every file already. */
static int connector_parse(struct yaml_run *run, _unused_ const struct yaml_option *option, const char *text,
                           void *field, struct error *error) {
        const struct config *config = yaml_run_object(run);
        _cleanup_(freep) char *known = NULL;
        const char *nearest;
        char echo[YAML_TEXT_MAX];

        for (size_t i = 0; i < config->n_connectors; i++)
                if (streq(config->connectors[i].name, text)) {
                        *(const struct config_connector **)field = &config->connectors[i];
                        return 0;
                }

        if (!yaml_run_complete(run) || yaml_run_full(run))
                return 0; /* it may be in what could not be read; that is an error already */
        yaml_echo(text, echo);
        nearest = nearest_connector(config, text);
        if (nearest)
                return error_set(error, -EINVAL, "names the unknown connector '%s'; did you mean '%s'?", echo,
                                 nearest);
        known = connector_choices(run);
        return error_set(error, -EINVAL, "names the unknown connector '%s'; %s", echo,
                         known ? known : "correct the name");
}

static const char *connector_format(_unused_ const struct yaml_option *option, const void *field,
                                    _unused_ char buffer[YAML_TEXT_MAX]) {
        const struct config_connector *connector = *(const struct config_connector *const *)field;

        return connector ? connector->name : NULL;
}

static bool connector_equal(const void *a, const void *b) {
        const struct config_connector *x = *(const struct config_connector *const *)a,
                                      *y = *(const struct config_connector *const *)b;

        if (!x || !y)
                return x == y;
        return x == y || (streq(x->name, y->name) && yaml_equal(&config_connector_table, x, y));
}

const struct yaml_type config_connector_name = {
        .name = "connector",
        .expected = "the name of a connector",
        .size = sizeof(const struct config_connector *),
        .parse = connector_parse,
        .format = connector_format,
        .equal = connector_equal,
        .choices = connector_choices,
};
