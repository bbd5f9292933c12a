/*
 * Every option that a configuration may have, one row each: type, default, bounds, unit and help. The reader,
 * the writer, the error texts and the manual all go by these rows, so an option is added here and nowhere
 * else. What only one option needs (the key's type, its size, its file's mode, the Connector's name) has its
 * type here as well.
 */

#include <signal.h>
#include <sys/stat.h>

#include "lib/config-internal.h"
#include "lib/util/parse.h"

#define FIELD(type, field) .offset = offsetof(struct type, field)
#define INHERITED(field)   .inherits = true, .inherit_offset = offsetof(struct config, defaults.field)
#define WORDS(array)       .words = (array), .n_words = ELEMENTSOF(array)
#define OPTIONS(array)     .options = (array), .n_options = ELEMENTSOF(array)
#define DAYS(n)            ((n)*USEC_PER_DAY)

/* key.type: known so that the error can say why there is no choice. */
static int key_type_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                          const char *text, _unused_ void *field, struct error *error) {
        char echo[YAML_TEXT_MAX];

        if (streq(text, "rsa"))
                return 0;
        /* A Connector answers an EC or Ed25519 CSR with "x509: requested SignatureAlgorithm does not match
         * private key type": it always signs for RSA. */
        return error_set(error, -EINVAL,
                         "must be rsa, not '%s': Connectors sign RSA keys only and refuse all others",
                         yaml_echo(text, echo));
}

static const char *key_type_format(_unused_ const struct yaml_option *option, _unused_ const void *field,
                                   _unused_ char buffer[YAML_TEXT_MAX]) {
        return "rsa";
}

static const struct yaml_type key_type = {
        .name = "word",
        .expected = "rsa",
        .parse = key_type_parse,
        .format = key_type_format,
};

static int key_size_parse(_unused_ struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, _unused_ struct error *error) {
        uint64_t bits;

        if (parse_unsigned(text, option->min, option->max, &bits) < 0 || bits % 1024 != 0)
                return -EINVAL;
        *(unsigned *)field = (unsigned)bits;
        return 0;
}

static const struct yaml_type key_size = {
        .name = "number",
        .expected = "2048, 3072 or 4096",
        .bare = true,
        .size = sizeof(unsigned),
        .parse = key_size_parse,
        .format = yaml_format_unsigned,
};

/* The mode of a file that holds a private key. */
static int key_mode_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                          const char *text, void *field, struct error *error) {
        unsigned mode;

        if (parse_mode(text, &mode) < 0)
                return -EINVAL;
        if (mode & 0111)
                return error_set(error, -EINVAL,
                                 "must be without execute bits, such as 0640, not %04o: a key is not "
                                 "a program",
                                 mode);
        if (mode & 0007)
                return error_set(error, -EINVAL,
                                 "must keep others away from the key, such as 0640, not %04o; let "
                                 "readers into it by 'group'",
                                 mode);
        if (!(mode & 0400))
                return error_set(error, -EINVAL, "must let the owner read the key, such as 0600, not %04o",
                                 mode);
        *(mode_t *)field = mode;
        return 0;
}

static const struct yaml_type key_mode = {
        .name = "file mode",
        .expected = "an octal file mode such as 0600 or 0640",
        .bare = true,
        .size = sizeof(mode_t),
        .parse = key_mode_parse,
        .format = yaml_format_mode,
};

/* The mode of an export. What it must be besides depends on whether there is a key in it. */
static int export_mode_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                             const char *text, void *field, struct error *error) {
        unsigned mode;

        if (parse_mode(text, &mode) < 0)
                return -EINVAL;
        if (mode == 0) /* in a struct export it means that none is given */
                return error_set(error, -EINVAL, "must let the owner read, such as 0600, not 0000");
        *(mode_t *)field = mode;
        return 0;
}

static const struct yaml_type export_mode = {
        .name = "file mode",
        .expected = "an octal file mode such as 0600 or 0640",
        .bare = true,
        .size = sizeof(mode_t),
        .parse = export_mode_parse,
        .format = yaml_format_mode,
};

/* A path that is compared with others, so that it must have one spelling. */
static int one_path_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, struct error *error) {
        for (const char *part = text; (part = strstr(part, "/.")); part++) {
                size_t dots = strspn(part + 1, ".");

                if (dots <= 2 && (part[1 + dots] == '/' || !part[1 + dots]))
                        return error_set(error, -EINVAL, "must be written without '.' and '..' in the path");
        }
        return yaml_path.parse(run, option, text, field, error);
}

static int directory_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                           void *field, struct error *error) {
        if (strspn(text, "/") == strlen(text))
                return error_set(error, -EINVAL, "must be a directory of its own, not '/'");
        return one_path_parse(run, option, text, field, error);
}

static const struct yaml_type directory_type = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/'",
        .size = sizeof(char *),
        .parse = directory_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

static int file_parse(struct yaml_run *run, const struct yaml_option *option, const char *text, void *field,
                      struct error *error) {
        if (text[0] == '/' && text[strlen(text) - 1] == '/')
                return error_set(error, -EINVAL, "must be the path of a file, without '/' at its end");
        return one_path_parse(run, option, text, field, error);
}

static const struct yaml_type file_type = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/'",
        .size = sizeof(char *),
        .parse = file_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
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
        out = open_memstream(&text, &size);
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

static const struct yaml_table connector_table;

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
        return x == y || (streq(x->name, y->name) && yaml_equal(&connector_table, x, y));
}

static const struct yaml_type connector_type = {
        .name = "connector",
        .expected = "the name of a connector",
        .size = sizeof(const struct config_connector *),
        .parse = connector_parse,
        .format = connector_format,
        .equal = connector_equal,
        .choices = connector_choices,
};

static const char *const log_level_names[] = {
        [LOG_ERR] = "error",
        [LOG_WARNING] = "warning",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
};

static const struct yaml_option log_options[] = {
        { .key = "format",
          .type = &yaml_word,
          FIELD(config, log.format),
          .standard = "auto",
          .words = log_format_names,
          .n_words = LOG_FORMAT_MAX,
          .help = "how log lines are written to stderr" },
        { .key = "level",
          .type = &yaml_word,
          FIELD(config, log.level),
          .standard = "info",
          WORDS(log_level_names),
          .help = "the least important lines that are written" },
};

static const struct yaml_table log_table = { .name = "log", OPTIONS(log_options) };

static const char *const key_workers_names[] = { [0] = "auto" };

static const struct yaml_option limits_options[] = {
        { .key = "concurrent_renewals",
          .type = &yaml_unsigned,
          FIELD(config, limits.concurrent_renewals),
          .min = 1,
          .max = 1000,
          .standard = "16",
          .unit = "renewals",
          .help = "how many renewals may run at once" },
        { .key = "key_workers",
          .type = &yaml_unsigned,
          FIELD(config, limits.key_workers),
          .min = 1,
          .max = 64,
          .standard = "auto",
          WORDS(key_workers_names),
          .unit = "threads",
          .help = "how many keys are made at once; auto: one for each processor" },
        { .key = "issuances_per_hour",
          .type = &yaml_unsigned,
          FIELD(config, limits.issuances_per_hour),
          .min = 1,
          .max = SCHEDULE_BUDGET_MAX,
          .standard = "6",
          .unit = "signatures",
          .help = "how many signatures each certificate may ask for in an hour, whatever goes wrong" },
};

static const struct yaml_table limits_table = { .name = "limits", OPTIONS(limits_options) };

static const char *const protocol_names[PROTOCOL_MAX] = { [PROTOCOL_COMPASS] = "compass" };

static const struct yaml_option connector_options[] = {
        { .key = "protocol",
          .type = &yaml_word,
          FIELD(config_connector, protocol),
          .standard = "compass",
          WORDS(protocol_names),
          .help = "what the Connector speaks" },
        { .key = "url",
          .type = &yaml_https_url,
          FIELD(config_connector, url),
          .help = "the certificate-secured door; learnt at enrolment when absent" },
        { .key = "enrol_url",
          .type = &yaml_https_url,
          FIELD(config_connector, enrol_url),
          .help = "the token-secured door; without it this Connector cannot enrol" },
        { .key = "trust",
          .type = &yaml_path,
          FIELD(config_connector, trust),
          .help = "PEM file that the Connector's server certificate verifies to; the system's when absent" },
        { .key = "timeout",
          .type = &yaml_duration,
          FIELD(config_connector, timeout_usec),
          .min = USEC_PER_SEC,
          .max = USEC_PER_HOUR,
          .standard = "120s",
          .help = "how long one call may take; the Connector gives up after 100s" },
        { .key = "ca_window",
          .type = &yaml_duration,
          FIELD(config_connector, ca_window_usec),
          .max = USEC_PER_DAY,
          .standard = "60s",
          .help = "how long the Connector may go on to sign with a CA that was replaced" },
};

static const struct yaml_table connector_table = {
        .name = "connector",
        OPTIONS(connector_options),
        .size = sizeof(struct config_connector),
        .name_offset = offsetof(struct config_connector, name),
        .check = config_check_connector,
};

/* The bounds and the help of what both `defaults` and each certificate have: one text, two rows. */
#define RENEW_BEFORE                                                                                    \
        .key = "renew_before", .type = &yaml_share_or_duration, .min = USEC_PER_SEC, .max = DAYS(3650), \
        .help = "how long before its expiry a certificate is renewed; a share is one of its lifetime"
#define JITTER                                                              \
        .key = "jitter", .type = &yaml_share_or_duration, .max = DAYS(365), \
        .help = "up to how much earlier than that, so that a fleet spreads"
#define CLOCK_SKEW                                                   \
        .key = "clock_skew", .type = &yaml_duration, .max = DAYS(1), \
        .help = "by how much the clocks of Connector and machine may differ"
#define KEEP                                                                                \
        .key = "keep", .type = &yaml_unsigned, .min = 2, .max = 100, .unit = "generations", \
        .help = "how many generations stay on disk, the current one included"
#define KEY .key = "key", .type = &yaml_struct, .help = "the private key to make for each renewal"
#define KEY_TYPE \
        .key = "type", .type = &key_type, .standard = "rsa", .help = "the algorithm; Connectors sign RSA only"
#define KEY_BITS                                                                    \
        .key = "bits", .type = &key_size, .min = 2048, .max = 4096, .unit = "bits", \
        .help = "the size: 2048, 3072 or 4096"

static const struct yaml_option default_key_options[] = {
        { KEY_TYPE },
        { KEY_BITS, FIELD(config_policy, key.bits), .standard = "4096" },
};

static const struct yaml_table default_key_table = { .name = "key", OPTIONS(default_key_options) };

static const struct yaml_option default_options[] = {
        { RENEW_BEFORE, FIELD(config_policy, renew_before), .standard = "33%" },
        { JITTER, FIELD(config_policy, jitter), .standard = "5%" },
        { CLOCK_SKEW, FIELD(config_policy, clock_skew_usec), .standard = "5m" },
        { KEY, .table = &default_key_table },
        { KEEP, FIELD(config_policy, keep), .standard = "2" },
};

static const struct yaml_table defaults_table = { .name = "defaults", OPTIONS(default_options) };

static const struct yaml_option key_options[] = {
        { KEY_TYPE },
        { KEY_BITS, FIELD(config_certificate, policy.key.bits), INHERITED(key.bits) },
};

static const struct yaml_table key_table = { .name = "key", OPTIONS(key_options) };

static const struct yaml_option import_options[] = {
        { .key = "key",
          .type = &yaml_path,
          FIELD(config_certificate, import.key),
          .help = "PEM file with the private key" },
        { .key = "certificate",
          .type = &yaml_path,
          FIELD(config_certificate, import.certificate),
          .help = "PEM file with the leaf, and the intermediates where there are any" },
        { .key = "ca",
          .type = &yaml_path,
          FIELD(config_certificate, import.ca),
          .help = "PEM file with the CA" },
};

static const struct yaml_table import_table = { .name = "import", OPTIONS(import_options) };

/* Signals that ask for something. KILL and STOP tell a process nothing. */
static const char *const signal_names[] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT", [SIGUSR1] = "USR1",
        [SIGUSR2] = "USR2", [SIGTERM] = "TERM", [SIGCONT] = "CONT", [SIGWINCH] = "WINCH",
};

static const struct yaml_option notify_options[] = {
        { .key = "command",
          .type = &yaml_argv,
          FIELD(config_notify, command),
          .help = "the program, by its absolute path, and its arguments; no shell" },
        { .key = "signal",
          .type = &yaml_word,
          FIELD(config_notify, signal),
          WORDS(signal_names),
          .help = "the signal for the process that 'pid_file' names" },
        { .key = "pid_file",
          .type = &yaml_path,
          FIELD(config_notify, pid_file),
          .help = "the file that holds the number of the process" },
        { .key = "timeout",
          .type = &yaml_duration,
          FIELD(config_notify, timeout_usec),
          .min = USEC_PER_SEC,
          .max = USEC_PER_HOUR,
          .standard = "30s",
          .help = "how long the delivery may take" },
};

static const char *const notify_later[] = { "unit", "http", "method", NULL };

static const struct yaml_table notify_table = {
        .name = "notification",
        OPTIONS(notify_options),
        .size = sizeof(struct config_notify),
        .later = notify_later,
        .check = config_check_notify,
};

static const struct yaml_option export_options[] = {
        { .key = "path",
          .type = &file_type,
          FIELD(export, path),
          .required = true,
          .help = "the file to write, in a directory that exists" },
        { .key = "format",
          .type = &yaml_word,
          FIELD(export, format),
          .standard = "pem",
          .words = export_format_names,
          .n_words = EXPORT_FORMAT_MAX,
          .help = "how it is encoded; Java calls a pkcs12 file a keystore" },
        { .key = "contents",
          .type = &yaml_words,
          FIELD(export, contents),
          .count_offset = offsetof(struct export, n_contents),
          .max = EXPORT_PART_MAX,
          .words = export_part_names,
          .n_words = EXPORT_PART_MAX,
          .help = "what is in it, in this order; key, leaf and chain when absent" },
        { .key = "passphrase_file",
          .type = &yaml_path,
          FIELD(export, passphrase_file),
          .help = "the file whose first line is the passphrase of a pkcs12 file" },
        { .key = "friendly_name",
          .type = &yaml_string,
          FIELD(export, friendly_name),
          .help = "what the key is called in a pkcs12 file, Java's alias; the certificate's name when "
                  "absent" },
        { .key = "owner",
          .type = &yaml_user,
          FIELD(export, access.uid),
          .help = "the user that the file belongs to; rekeyd's own when absent" },
        { .key = "group",
          .type = &yaml_group,
          FIELD(export, access.gid),
          .help = "the group that the file belongs to; rekeyd's own when absent" },
        { .key = "mode",
          .type = &export_mode,
          FIELD(export, access.mode),
          .help = "its permissions; 0600 with a key in it, else 0644, when absent" },
        { .key = "legacy",
          .type = &yaml_bool,
          FIELD(export, legacy),
          .standard = "false",
          .help = "encrypt a pkcs12 file as Java before 8u301 and 11.0.12 wants it" },
        { .key = "in_place",
          .type = &yaml_bool,
          FIELD(export, in_place),
          .standard = "false",
          .help = "overwrite the file instead of replacing it; readers may see half of it" },
};

static const struct yaml_table export_table = {
        .name = "export",
        OPTIONS(export_options),
        .size = sizeof(struct export),
        .check = config_check_export,
};

static const struct yaml_option certificate_options[] = {
        { .key = "connector",
          .type = &connector_type,
          FIELD(config_certificate, connector),
          .required = true,
          .help = "the name of the connector that signs it" },
        { .key = "directory",
          .type = &directory_type,
          FIELD(config_certificate, directory),
          .required = true,
          .help = "the directory that holds its key, certificate and CA, and nothing else" },
        { .key = "token_file",
          .type = &yaml_path,
          FIELD(config_certificate, token_file),
          .help = "the file in which a one-time token for its enrolment appears" },
        { .key = "import",
          .type = &yaml_struct,
          .table = &import_table,
          .help = "a pair that exists already and is adopted when there is none in the directory" },
        { .key = "owner",
          .type = &yaml_user,
          FIELD(config_certificate, key_access.uid),
          .help = "the user that its files belong to; rekeyd's own when absent" },
        { .key = "group",
          .type = &yaml_group,
          FIELD(config_certificate, key_access.gid),
          .help = "the group that its files belong to; rekeyd's own when absent" },
        { .key = "mode",
          .type = &key_mode,
          FIELD(config_certificate, key_access.mode),
          .standard = "0600",
          .help = "the permissions of the key; all other files are 0644" },
        { RENEW_BEFORE, FIELD(config_certificate, policy.renew_before), INHERITED(renew_before) },
        { JITTER, FIELD(config_certificate, policy.jitter), INHERITED(jitter) },
        { CLOCK_SKEW, FIELD(config_certificate, policy.clock_skew_usec), INHERITED(clock_skew_usec) },
        { KEY, .table = &key_table },
        { KEEP, FIELD(config_certificate, policy.keep), INHERITED(keep) },
        { .key = "exports",
          .type = &yaml_list,
          FIELD(config_certificate, exports),
          .count_offset = offsetof(struct config_certificate, n_exports),
          .table = &export_table,
          .max = 100,
          .help = "copies for programs that cannot use the directory" },
        { .key = "notify",
          .type = &yaml_list,
          FIELD(config_certificate, notify),
          .count_offset = offsetof(struct config_certificate, n_notify),
          .table = &notify_table,
          .max = 100,
          .help = "who learns of a new set" },
};

static const struct yaml_table certificate_table = {
        .name = "certificate",
        OPTIONS(certificate_options),
        .size = sizeof(struct config_certificate),
        .name_offset = offsetof(struct config_certificate, name),
        .check = config_check_certificate,
};

bool config_certificate_equal(const struct config_certificate *a, const struct config_certificate *b) {
        return streq(a->name, b->name) && yaml_equal(&certificate_table, a, b);
}

/* The order counts: connectors and defaults are complete before the first certificate refers to them. */
static const struct yaml_option top_options[] = {
        { .key = "state_directory",
          .type = &directory_type,
          FIELD(config, state_directory),
          .standard = "/var/lib/rekeyd",
          .help = "where rekeyd keeps what must survive a restart" },
        { .key = "log", .type = &yaml_struct, .table = &log_table, .help = "log lines" },
        { .key = "limits", .type = &yaml_struct, .table = &limits_table, .help = "how much happens at once" },
        { .key = "connectors",
          .type = &yaml_map,
          FIELD(config, connectors),
          .count_offset = offsetof(struct config, n_connectors),
          .table = &connector_table,
          .max = 1000,
          .help = "the servers that sign, by name" },
        { .key = "defaults",
          .type = &yaml_struct,
          FIELD(config, defaults),
          .table = &defaults_table,
          .help = "what certificates have where they do not say otherwise" },
        { .key = "certificates",
          .type = &yaml_map,
          FIELD(config, certificates),
          .count_offset = offsetof(struct config, n_certificates),
          .table = &certificate_table,
          .max = 100000,
          .help = "the certificates to keep alive, by name" },
};

static const char *const top_later[] = { "control", "http", NULL };

const struct yaml_table config_table = {
        .name = "configuration",
        OPTIONS(top_options),
        .size = sizeof(struct config),
        .later = top_later,
};
