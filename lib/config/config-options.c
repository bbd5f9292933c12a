/*
 * Every option that a configuration may have, one row each: type, default, bounds, unit and help. The reader,
 * the writer, the error texts and the manual all go by these rows, so an option is added here and nowhere
 * else; those of a Connector are in config-connector.c, those of a notification in config-notify.c. The types
 * that only this configuration has are in config-types.c.
 */

#include "lib/config/config-internal.h"

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
          .default_text = "auto",
          .words = log_format_names,
          .n_words = LOG_FORMAT_MAX,
          .help = "how log lines are written to stderr" },
        { .key = "level",
          .type = &yaml_word,
          FIELD(config, log.level),
          .default_text = "info",
          WORDS(log_level_names),
          .help = "the lowest level that is logged" },
};

static const struct yaml_table log_table = { .name = "log", OPTIONS(log_options) };

static const char *const key_workers_names[] = { [0] = "auto" };

static const struct yaml_option limits_options[] = {
        { .key = "concurrent_renewals",
          .type = &yaml_unsigned,
          FIELD(config, limits.concurrent_renewals),
          .min = 1,
          .max = 1000,
          .default_text = "16",
          .unit = "renewals",
          .help = "how many renewals may run at once" },
        { .key = "key_workers",
          .type = &yaml_unsigned,
          FIELD(config, limits.key_workers),
          .min = 1,
          .max = 64,
          .default_text = "auto",
          WORDS(key_workers_names),
          .unit = "threads",
          .help = "how many keys are generated at once; auto: one for each processor" },
        { .key = "issuances_per_hour",
          .type = &yaml_unsigned,
          FIELD(config, limits.issuances_per_hour),
          .min = 1,
          .max = SCHEDULE_BUDGET_MAX,
          .default_text = "6",
          .unit = "signatures",
          .help = "how many signatures each certificate may request in an hour, across all failures" },
};

static const struct yaml_table limits_table = { .name = "limits", OPTIONS(limits_options) };

static const struct yaml_option control_options[] = {
        { .key = "socket",
          .type = &config_file,
          FIELD(config, control.socket),
          .help = "the Unix socket of the control API, which rekeyctl calls; none when absent" },
        { .key = "group",
          .type = &yaml_group,
          FIELD(config, control.group),
          .help = "the group whose members may call everything, in addition to root and rekeyd's own user" },
        { .key = "read_group",
          .type = &yaml_group,
          FIELD(config, control.read_group),
          .help = "the group whose members may read but not change anything" },
};

static const struct yaml_table control_table = { .name = "control", OPTIONS(control_options) };

static const struct yaml_option http_options[] = {
        { .key = "listen",
          .type = &config_listen,
          FIELD(config, http.listen),
          .help = "the address of metrics and health, for every client that can connect; none when absent" },
};

static const struct yaml_table http_table = { .name = "http", OPTIONS(http_options) };

static const struct yaml_option metrics_options[] = {
        { .key = "textfile",
          .type = &config_metrics_file,
          FIELD(config, metrics.textfile),
          .help = "a file for node_exporter's textfile collector; its name ends with .prom" },
};

static const struct yaml_table metrics_table = { .name = "metrics", OPTIONS(metrics_options) };

/* The bounds and the help of what both `defaults` and each certificate have: one text, two rows. */
#define RENEW_BEFORE                                                                                    \
        .key = "renew_before", .type = &yaml_share_or_duration, .min = USEC_PER_SEC, .max = DAYS(3650), \
        .help = "how long before its expiry a certificate is renewed; a share is one of its lifetime"
#define JITTER                                                              \
        .key = "jitter", .type = &yaml_share_or_duration, .max = DAYS(365), \
        .help = "up to how much earlier, so that a fleet spreads its renewals"
#define CLOCK_SKEW                                                   \
        .key = "clock_skew", .type = &yaml_duration, .max = DAYS(1), \
        .help = "by how much the clocks of Connector and machine may differ"
#define KEEP                                                                                \
        .key = "keep", .type = &yaml_unsigned, .min = 2, .max = 100, .unit = "generations", \
        .help = "how many generations stay on disk, the current one included"
#define REVOKE_OLD                                                                             \
        .key = "revoke_old", .type = &yaml_duration, .min = USEC_PER_MINUTE, .max = DAYS(365), \
        .help = "how long after a swap the previous certificate is revoked; never when absent"
#define PULSE                                                    \
        .key = "pulse", .type = &yaml_duration, .max = DAYS(30), \
        .help = "how often the Connector is asked whether it accepts the certificate; 0s: never"
#define KEY .key = "key", .type = &yaml_struct, .help = "the private key to generate for each renewal"
#define KEY_TYPE                                                        \
        .key = "type", .type = &config_key_type, .default_text = "rsa", \
        .help = "the algorithm; Connectors sign RSA only"
#define KEY_BITS                                                                           \
        .key = "bits", .type = &config_key_size, .min = 2048, .max = 4096, .unit = "bits", \
        .help = "the size: 2048, 3072 or 4096"
#define KEY_AHEAD                                                                            \
        .key = "ahead", .type = &yaml_duration_or_off, .min = USEC_PER_SEC, .max = DAYS(30), \
        .help = "how long before its renewal a key is generated, at most; off: when it is needed"

static const struct yaml_option default_key_options[] = {
        { KEY_TYPE },
        { KEY_BITS, FIELD(config_policy, key.bits), .default_text = "4096" },
        { KEY_AHEAD, FIELD(config_policy, key.ahead_usec), .default_text = "1h" },
};

static const struct yaml_table default_key_table = { .name = "key", OPTIONS(default_key_options) };

static const struct yaml_option default_options[] = {
        { RENEW_BEFORE, FIELD(config_policy, renew_before), .default_text = "33%" },
        { JITTER, FIELD(config_policy, jitter), .default_text = "5%" },
        { CLOCK_SKEW, FIELD(config_policy, clock_skew_usec), .default_text = "5m" },
        { KEY, .table = &default_key_table },
        { KEEP, FIELD(config_policy, keep), .default_text = "2" },
        { REVOKE_OLD, FIELD(config_policy, revoke_old_usec) },
        { PULSE, FIELD(config_policy, pulse_usec), .default_text = "6h" },
};

static const struct yaml_table defaults_table = { .name = "defaults", OPTIONS(default_options) };

static const struct yaml_option key_options[] = {
        { KEY_TYPE },
        { KEY_BITS, FIELD(config_certificate, policy.key.bits), INHERITED(key.bits) },
        { KEY_AHEAD, FIELD(config_certificate, policy.key.ahead_usec), INHERITED(key.ahead_usec) },
};

static const struct yaml_table key_table = { .name = "key", OPTIONS(key_options) };

static const struct yaml_option import_options[] = {
        { .key = "key",
          .type = &config_secret_file,
          FIELD(config_certificate, import.key),
          .help = "PEM file with the private key" },
        { .key = "certificate",
          .type = &config_secret_file,
          FIELD(config_certificate, import.certificate),
          .help = "PEM file with the leaf and its intermediates, if any" },
        { .key = "ca",
          .type = &config_secret_file,
          FIELD(config_certificate, import.ca),
          .help = "PEM file with the CA" },
};

static const struct yaml_table import_table = { .name = "import", OPTIONS(import_options) };

static const struct yaml_option export_options[] = {
        { .key = "path",
          .type = &config_file,
          FIELD(export, path),
          .help = "the file to write, in a directory that exists; this or 'secret' is required" },
        { .key = "secret",
          .type = &config_secret_name,
          FIELD(export, secret),
          .help = "the Kubernetes Secret to write, as NAMESPACE/NAME" },
        { .key = "layout",
          .type = &yaml_word,
          FIELD(export, layout),
          WORDS(export_layout_names),
          .help = "the values of the Secret; required with 'secret'" },
        { .key = "format",
          .type = &yaml_word,
          FIELD(export, format),
          .default_text = "pem",
          .words = export_format_names,
          .n_words = EXPORT_FORMAT_MAX,
          .help = "the encoding; a pkcs12 file is a keystore for Java" },
        { .key = "contents",
          .type = &yaml_words,
          FIELD(export, contents),
          .count_offset = offsetof(struct export, n_contents),
          .max = EXPORT_PART_MAX,
          .words = export_part_names,
          .n_words = EXPORT_PART_MAX,
          .help = "its parts, in this order; key, leaf and chain when absent" },
        { .key = "ca_overlap",
          .type = &yaml_duration,
          FIELD(export, ca_overlap_usec),
          .max = DAYS(3650),
          .default_text = "0s",
          .help = "how long an old CA stays in the file beside the new one, after a change" },
        { .key = "passphrase_file",
          .type = &config_secret_file,
          FIELD(export, passphrase_file),
          .help = "the file whose first line is the passphrase of a pkcs12 file" },
        { .key = "friendly_name",
          .type = &yaml_string,
          FIELD(export, friendly_name),
          .help = "the name of the key in a pkcs12 file (Java's alias); the certificate's name when absent" },
        { .key = "owner",
          .type = &yaml_user,
          FIELD(export, access.uid),
          .help = "the owner of the file; rekeyd's own user when absent" },
        { .key = "group",
          .type = &yaml_group,
          FIELD(export, access.gid),
          .help = "the group of the file; rekeyd's own group when absent" },
        { .key = "mode",
          .type = &config_export_mode,
          FIELD(export, access.mode),
          .help = "its permissions; 0600 with a key in it, else 0644, when absent" },
        { .key = "legacy",
          .type = &yaml_bool,
          FIELD(export, legacy),
          .default_text = "false",
          .help = "encrypt a pkcs12 file for Java before 8u301 and 11.0.12" },
        { .key = "in_place",
          .type = &yaml_bool,
          FIELD(export, in_place),
          .default_text = "false",
          .help = "overwrite the file instead of replacing it; readers may see a partial file" },
};

static const struct yaml_table export_table = {
        .name = "export",
        OPTIONS(export_options),
        .size = sizeof(struct export),
        .check = config_check_export,
};

static const struct yaml_option store_options[] = {
        { .key = "secret",
          .type = &config_store_name,
          FIELD(config_certificate, store.secret),
          .help = "the Secret that replicas share; beside it are the Secret NAME-rekeyd and the Lease NAME" },
};

static const struct yaml_table store_table = { .name = "store", OPTIONS(store_options) };

static const struct yaml_option certificate_options[] = {
        { .key = "connector",
          .type = &config_connector_name,
          FIELD(config_certificate, connector),
          .required = true,
          .help = "the name of the connector that signs it" },
        { .key = "directory",
          .type = &config_directory,
          FIELD(config_certificate, directory),
          .required = true,
          .help = "the directory that holds its key, certificate and CA, and nothing else" },
        { .key = "token_file",
          .type = &config_secret_file,
          FIELD(config_certificate, token_file),
          .help = "the file in which a one-time token for its enrolment appears" },
        { .key = "subject",
          .type = &config_subject,
          FIELD(config_certificate, subject),
          .help = "the only subject that it may have; that of the certificate in use when absent" },
        { .key = "import",
          .type = &yaml_struct,
          .table = &import_table,
          .help = "an existing pair, adopted when there is none in the directory" },
        { .key = "store",
          .type = &yaml_struct,
          .table = &store_table,
          .help = "where the set is kept, if not in the directory, which is a copy of it then" },
        { .key = "owner",
          .type = &yaml_user,
          FIELD(config_certificate, key_access.uid),
          .help = "the owner of its files; rekeyd's own user when absent" },
        { .key = "group",
          .type = &yaml_group,
          FIELD(config_certificate, key_access.gid),
          .help = "the group of its files; rekeyd's own group when absent" },
        { .key = "mode",
          .type = &config_key_mode,
          FIELD(config_certificate, key_access.mode),
          .help = "the permissions of the key, 0600 when absent; all other files are 0644" },
        { RENEW_BEFORE, FIELD(config_certificate, policy.renew_before), INHERITED(renew_before) },
        { JITTER, FIELD(config_certificate, policy.jitter), INHERITED(jitter) },
        { CLOCK_SKEW, FIELD(config_certificate, policy.clock_skew_usec), INHERITED(clock_skew_usec) },
        { KEY, .table = &key_table },
        { KEEP, FIELD(config_certificate, policy.keep), INHERITED(keep) },
        { REVOKE_OLD, FIELD(config_certificate, policy.revoke_old_usec), INHERITED(revoke_old_usec) },
        { PULSE, FIELD(config_certificate, policy.pulse_usec), INHERITED(pulse_usec) },
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
          .table = &config_notify_table,
          .max = 100,
          .help = "the dependents, which are notified of a new set" },
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

static const struct yaml_option kubernetes_options[] = {
        { .key = "kubeconfig",
          .type = &config_file,
          FIELD(config, kubernetes.kubeconfig),
          .help = "the kubeconfig file that names the API server; the account of the pod when absent" },
        { .key = "context",
          .type = &yaml_string,
          FIELD(config, kubernetes.context),
          .help = "the context in it; its current-context when absent" },
};

static const struct yaml_table kubernetes_table = { .name = "kubernetes", OPTIONS(kubernetes_options) };

/* The order counts: connectors and defaults are complete before the first certificate refers to them. */
static const struct yaml_option top_options[] = {
        { .key = "state_directory",
          .type = &config_directory,
          FIELD(config, state_directory),
          .default_text = "/var/lib/rekeyd",
          .help = "where rekeyd keeps its state across restarts" },
        { .key = "log", .type = &yaml_struct, .table = &log_table, .help = "log lines" },
        { .key = "limits", .type = &yaml_struct, .table = &limits_table, .help = "concurrency and rate" },
        { .key = "control",
          .type = &yaml_struct,
          .table = &control_table,
          .help = "the control API, on a Unix socket" },
        { .key = "http", .type = &yaml_struct, .table = &http_table, .help = "metrics and health, on TCP" },
        { .key = "metrics", .type = &yaml_struct, .table = &metrics_table, .help = "metrics, in a file" },
        { .key = "kubernetes",
          .type = &yaml_struct,
          .table = &kubernetes_table,
          .help = "the API server, for exports to Secrets" },
        { .key = "connectors",
          .type = &yaml_map,
          FIELD(config, connectors),
          .count_offset = offsetof(struct config, n_connectors),
          .table = &config_connector_table,
          .max = 1000,
          .help = "the servers that sign, by name" },
        { .key = "defaults",
          .type = &yaml_struct,
          FIELD(config, defaults),
          .table = &defaults_table,
          .help = "defaults for all certificates" },
        { .key = "certificates",
          .type = &yaml_map,
          FIELD(config, certificates),
          .count_offset = offsetof(struct config, n_certificates),
          .table = &certificate_table,
          .max = 100000,
          .help = "the certificates to manage, by name" },
};

const struct yaml_table config_table = {
        .name = "configuration",
        OPTIONS(top_options),
        .size = sizeof(struct config),
};
