/*
 * The types of options that only this configuration has: keys, paths that are compared with others, units and
 * addresses.
 */

#include <arpa/inet.h>

#include "lib/config/config-internal.h"
#include "lib/kube/kube-name.h"
#include "lib/util/parse.h"
#include "lib/x509/subject.h"

/* key.type: known so that the error can say why there is no choice. */
static int key_type_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                          const char *text, _unused_ void *field, struct error *error) {
        char echo[YAML_TEXT_MAX];

        if (streq(text, "rsa"))
                return 0;
        /* A Connector answers an EC or Ed25519 CSR with "x509: requested SignatureAlgorithm does not match
         * private key type": it always signs for RSA. */
        return error_set(error, -EINVAL, "must be rsa, not '%s': Connectors sign RSA keys only",
                         yaml_echo(text, echo));
}

static const char *key_type_format(_unused_ const struct yaml_option *option, _unused_ const void *field,
                                   _unused_ char buffer[YAML_TEXT_MAX]) {
        return "rsa";
}

const struct yaml_type config_key_type = {
        .name = "word",
        .expected = "rsa",
        .parse = key_type_parse,
        .format = key_type_format,
};

/* As the Connector spells it, since it is compared with what the Connector names. */
static int config_subject_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                                void *field, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        int r;

        r = subject_parse(text, &subject, &why);
        if (r == -EINVAL)
                return error_set(error, r, "must be a subject such as 'O=Org,OU=Unit,C=DE,CN=id': %s",
                                 error_text(&why));
        return r < 0 ? r : yaml_string.parse(run, option, text, field, error);
}

const struct yaml_type config_subject = {
        .name = "subject",
        .expected = "a subject such as 'O=Org,OU=Unit,C=DE,CN=id'",
        .size = sizeof(char *),
        .parse = config_subject_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

static int key_size_parse(_unused_ struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, _unused_ struct error *error) {
        uint64_t bits;

        if (parse_unsigned(text, option->min, option->max, &bits) < 0 || bits % 1024 != 0)
                return -EINVAL;
        *(unsigned *)field = (unsigned)bits;
        return 0;
}

const struct yaml_type config_key_size = {
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
                                 "must not give other users access to the key, such as 0640, not %04o; use "
                                 "'group' for readers",
                                 mode);
        if (!(mode & 0400))
                return error_set(error, -EINVAL, "must let the owner read the key, such as 0600, not %04o",
                                 mode);
        *(mode_t *)field = mode;
        return 0;
}

/* 0: none is given, and a Secret has none. */
static const char *key_mode_format(const struct yaml_option *option, const void *field,
                                   char buffer[YAML_TEXT_MAX]) {
        return *(const mode_t *)field != 0 ? yaml_format_mode(option, field, buffer) : NULL;
}

const struct yaml_type config_key_mode = {
        .name = "file mode",
        .expected = "an octal file mode such as 0600 or 0640",
        .bare = true,
        .size = sizeof(mode_t),
        .parse = key_mode_parse,
        .format = key_mode_format,
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

const struct yaml_type config_export_mode = {
        .name = "file mode",
        .expected = "an octal file mode such as 0600 or 0640",
        .bare = true,
        .size = sizeof(mode_t),
        .parse = export_mode_parse,
        .format = key_mode_format,
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

const struct yaml_type config_directory = {
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

const struct yaml_type config_file = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/'",
        .size = sizeof(char *),
        .parse = file_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

static int secret_name_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                             void *field, struct error *error) {
        struct kube_name name;

        return kube_name_parse(text, &name) < 0 ? -EINVAL
                                                : yaml_string.parse(run, option, text, field, error);
}

const struct yaml_type config_secret_name = {
        .name = "Secret",
        .expected = "NAMESPACE/NAME of a Secret, such as shop/orders-tls",
        .size = sizeof(char *),
        .parse = secret_name_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* The name of the Secret beside it must be one too. */
static int store_name_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                            void *field, struct error *error) {
        struct kube_name name;

        if (kube_name_parse(text, &name) < 0)
                return -EINVAL;
        if (strlen(name.name) + strlen(CONFIG_STORE_PRIVATE) > KUBE_NAME_MAX)
                return error_set(error, -EINVAL,
                                 "must have a name of at most %zu characters: the Secret beside it is "
                                 "called NAME" CONFIG_STORE_PRIVATE,
                                 KUBE_NAME_MAX - strlen(CONFIG_STORE_PRIVATE));
        return yaml_string.parse(run, option, text, field, error);
}

const struct yaml_type config_store_name = {
        .name = "Secret",
        .expected = "NAMESPACE/NAME of a Secret, such as shop/orders-tls",
        .size = sizeof(char *),
        .parse = store_name_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* renew_issued_before: an instant on the wall clock. */
static int timestamp_parse(_unused_ struct yaml_run *run, _unused_ const struct yaml_option *option,
                           const char *text, void *field, _unused_ struct error *error) {
        usec_t when;

        if (parse_timestamp(text, &when) < 0 || when == 0)
                return -EINVAL;
        *(usec_t *)field = when;
        return 0;
}

static const char *timestamp_format(_unused_ const struct yaml_option *option, const void *field,
                                    char buffer[YAML_TEXT_MAX]) {
        const usec_t when = *(const usec_t *)field;

        return when != 0 ? format_timestamp(buffer, when) : NULL;
}

const struct yaml_type config_timestamp = {
        .name = "timestamp",
        .expected = "a time such as 2026-11-20T18:06:53Z or 2026-11-20T19:06:53+01:00, or a date such as "
                    "2026-11-20",
        .size = sizeof(usec_t),
        .parse = timestamp_parse,
        .format = timestamp_format,
};

/* unit: systemd.unit(5) says what a unit's name is made of. */
static int unit_parse(struct yaml_run *run, const struct yaml_option *option, const char *text, void *field,
                      struct error *error) {
        static const char *const suffixes[] = {
                ".service", ".socket", ".target", ".path", ".timer", ".mount"
        };
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-\\@";
        size_t n = strlen(text), longest = 255;
        char echo[YAML_TEXT_MAX];

        if (n == 0 || n > longest || strspn(text, letters) != n)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (has_suffix(text, suffixes[i]) && n > strlen(suffixes[i]))
                        return yaml_string.parse(run, option, text, field, error);
        return error_set(error, -EINVAL, "must be the whole name of a unit; did you mean '%s.service'?",
                         yaml_echo(text, echo));
}

const struct yaml_type config_unit = {
        .name = "unit",
        .expected = "the name of a systemd unit, such as nginx.service",
        .size = sizeof(char *),
        .parse = unit_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* http: of a dependent, which may well be on this machine and without TLS. */
static int http_url_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                          void *field, struct error *error) {
        const char *host = strstr(text, "://");

        if (strncasecmp(text, "http://", strlen("http://")) != 0 &&
            strncasecmp(text, "https://", strlen("https://")) != 0)
                return error_set(error, -EINVAL, "must begin with http:// or https://");
        host += strlen("://");
        if (!*host || strchr(":/?#", *host))
                return error_set(error, -EINVAL, "must name a host after ://");
        if (memchr(host, '@', strcspn(host, "/?#")))
                return error_set(error, -EINVAL,
                                 "must be without a user name or password, which logs would show");
        if (!yaml_is_authority(host, strcspn(host, "/?#")))
                return error_set(error, -EINVAL, YAML_AUTHORITY_ADVICE);
        for (const char *p = text; *p; p++)
                if (*p <= 0x20 || *p >= 0x7f || strchr("\"<>\\^`{|}", *p))
                        return error_set(error, -EINVAL,
                                         "must be written as a URL, with blanks and special characters as "
                                         "%%20 and the like");
        return yaml_string.parse(run, option, text, field, error);
}

const struct yaml_type config_http_url = {
        .name = "URL",
        .expected = "a URL that begins with http:// or https://",
        .size = sizeof(char *),
        .parse = http_url_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* Where systemd puts the credentials of rekeyd.service: what $CREDENTIALS_DIRECTORY says there. */
#define CREDENTIALS_VARIABLE  "$CREDENTIALS_DIRECTORY/"
#define CREDENTIALS_DIRECTORY "/run/credentials/rekeyd.service"

/* A file that holds a secret: a path, or a credential, which is a file in a directory that systemd makes for
 * the service. The same configuration means the same when it is checked by hand, without the variable. */
static int secret_file_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                             void *field, struct error *error) {
        _cleanup_(freep) char *path = NULL;
        const char *directory, *name;

        if (!has_prefix(text, CREDENTIALS_VARIABLE))
                return yaml_path.parse(run, option, text, field, error);
        name = text + strlen(CREDENTIALS_VARIABLE);
        if (!*name || strchr(name, '/') || streq(name, ".") || streq(name, ".."))
                return error_set(error, -EINVAL,
                                 "must name one credential after " CREDENTIALS_VARIABLE
                                 ", as LoadCredential= does");
        directory = getenv("CREDENTIALS_DIRECTORY");
        if (asprintf(&path, "%s/%s", directory && directory[0] == '/' ? directory : CREDENTIALS_DIRECTORY,
                     name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return yaml_path.parse(run, option, path, field, error);
}

const struct yaml_type config_secret_file = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/', or " CREDENTIALS_VARIABLE "NAME",
        .size = sizeof(char *),
        .parse = secret_file_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* http.listen: a number says for certain who can connect, and a name would have to be looked up. */
static int listen_parse(struct yaml_run *run, const struct yaml_option *option, const char *text, void *field,
                        _unused_ struct error *error) {
        const char *colon = strrchr(text, ':');
        _cleanup_(freep) char *host = NULL;
        uint8_t address[16];
        bool is_ipv6 = text[0] == '[';
        uint64_t port;
        size_t n;

        if (!colon || parse_unsigned(colon + 1, 1, UINT16_MAX, &port) < 0)
                return -EINVAL;
        n = (size_t)(colon - text);
        if (is_ipv6 && (n < 2 || text[n - 1] != ']'))
                return -EINVAL;
        host = is_ipv6 ? strndup(text + 1, n - 2) : strndup(text, n);
        if (!host)
                return -ENOMEM;
        if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host, address) != 1)
                return -EINVAL;
        return yaml_string.parse(run, option, text, field, NULL);
}

const struct yaml_type config_listen = {
        .name = "address",
        .expected = "a numeric address and a port, such as 127.0.0.1:9732 or [::1]:9732",
        .size = sizeof(char *),
        .parse = listen_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};

/* metrics.textfile: the collector passes over all other names. */
static int metrics_file_parse(struct yaml_run *run, const struct yaml_option *option, const char *text,
                              void *field, struct error *error) {
        if (!has_suffix(text, ".prom"))
                return error_set(error, -EINVAL, "must end with .prom, or node_exporter ignores it");
        return config_file.parse(run, option, text, field, error);
}

const struct yaml_type config_metrics_file = {
        .name = "absolute path",
        .expected = "an absolute path, one that begins with '/'",
        .size = sizeof(char *),
        .parse = metrics_file_parse,
        .format = yaml_format_string,
        .equal = yaml_equal_string,
};
