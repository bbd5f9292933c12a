#pragma once

/* The configuration: rekeyd.yaml and its drop-ins, checked whole, as one struct. */

#include "lib/export/export.h"
#include "lib/life/replacement.h"
#include "lib/life/schedule.h"
#include "lib/protocol/protocol.h"
#include "lib/util/arena.h"
#include "lib/util/error.h"
#include "lib/util/files.h"
#include "lib/util/log.h"

#define CONFIG_SIZE_MAX  (16u * 1024 * 1024) /* all files together */
#define CONFIG_DEPTH_MAX 32

struct config_connector {
        char *name;
        enum protocol_id protocol;
        char *url;           /* certificate-secured endpoint; NULL: taken from `configuration` at enrolment */
        char *enrol_url;     /* token-secured endpoint; NULL: this Connector cannot enrol */
        char *trust;         /* PEM file that its server certificate verifies to; NULL: the system's */
        usec_t timeout_usec; /* of one call, 120 s: the Connector itself gives up after 100 s */
        usec_t ca_window_usec; /* 60 s */

        /* After a rotation of its client CA. */
        char **distrust;          /* CA certificates or keys, as issuer_id_parse() reads them; NULL: none */
        usec_t issued_before;     /* `renew_issued_before`; 0: none */
        usec_t renew_within_usec; /* 1 h */
};

/* What `defaults` gives and each certificate may override. */
struct config_policy {
        struct share_or_usec renew_before; /* 33% */
        struct share_or_usec jitter;       /* 5% */
        usec_t clock_skew_usec;            /* 5m */
        struct {
                unsigned bits;     /* 2048, 3072 or 4096 (default); type is always rsa */
                usec_t ahead_usec; /* how long before a renewal it is made at the earliest, 1h; 0: not */
        } key;
        unsigned keep;          /* generations, 2 to 100 */
        usec_t revoke_old_usec; /* after a swap, the certificate before it is revoked; 0: never */
        usec_t pulse_usec;      /* between two probes, 6h; 0: none */
};

enum config_notify_kind {
        NOTIFY_COMMAND,
        NOTIFY_SIGNAL,
        NOTIFY_UNIT,
        NOTIFY_HTTP,
        NOTIFY_MAX,
};

enum config_unit_action {
        UNIT_ACTION_NONE, /* not a unit */
        UNIT_RELOAD_OR_RESTART,
        UNIT_RELOAD,
        UNIT_RESTART,
        UNIT_ACTION_MAX,
};

enum config_http_method {
        HTTP_METHOD_NONE, /* not by HTTP */
        HTTP_POST,
        HTTP_PUT,
        HTTP_GET,
        HTTP_METHOD_MAX,
};

struct config_notify {
        enum config_notify_kind kind;
        char *unit; /* "nginx.service" */
        enum config_unit_action action;
        char *http; /* http or https URL */
        enum config_http_method method;
        char **command; /* NULL-terminated argument list; [0] is an absolute path */
        int signal;     /* SIGHUP ... */
        char *pid_file;
        usec_t timeout_usec; /* 30 s; a signal has none: 0 */
};

struct config_certificate {
        char *name;
        const struct config_connector *connector; /* borrowed from config.connectors */
        char *directory;
        char *token_file;
        char *subject; /* the only one that its certificates may have; NULL: that of the first one */
        struct {
                char *key, *certificate, *ca; /* NULL, or key and certificate are both set */
        } import;
        struct {
                char *secret; /* NAMESPACE/NAME of the Secret that replicas share; NULL: the directory is it
                               */
        } store;
        struct file_access key_access; /* `owner`, `group`, `mode`, -1 or 0 where absent: 0600, or what a key
                                          that was adopted has; uid and gid are looked up */
        struct file_access public_access; /* same owner and group, 0644 */
        struct config_policy policy;
        struct export *exports;
        size_t n_exports;
        struct config_notify *notify;
        size_t n_notify;
};

/* What the names of the Secret beside a shared one end with. */
#define CONFIG_STORE_PRIVATE "-rekeyd"

/* When to renew CERTIFICATE, as lib/life/schedule.h asks for it. */
struct schedule_policy config_schedule_policy(const struct config_certificate *certificate);

/* The longest time for which one of its exports keeps an old CA; 0: none does. */
usec_t config_ca_overlap(const struct config_certificate *certificate);

/* When to replace it before that; borrows from it. */
struct replacement_rule config_replacement_rule(const struct config_certificate *certificate);

/* The key of the I-th dependent of CERTIFICATE in its state file: the same after a restart as long as the
 * notification is the same, wherever it is in the list; the same entry twice is two. Returns BUFFER. */
#define CONFIG_NOTIFY_KEY 64
const char *config_notify_key(const struct config_certificate *certificate, size_t i,
                              char buffer[CONFIG_NOTIFY_KEY]);

/* The same for people: "unit nginx.service", "command /usr/libexec/x", "signal HUP /run/x.pid", "http URL";
 * no arguments, which may be secret. Owned by the caller; NULL when memory is out. */
char *config_notify_text(const struct config_notify *notify);

/*
 * Whether two certificates, of two configurations, mean the same: name, every option, and the Connector with
 * all of its own. Derived values are not compared, and neither is what is outside of both, such as `limits`.
 * Costs no memory.
 */
bool config_certificate_equal(const struct config_certificate *a, const struct config_certificate *b);

/* All that hangs below a config lives in its memory, many strings once for all who use them: change nothing
 * in it. */
struct config {
        unsigned n_refs; /* of config_ref() */
        char *state_directory;
        struct {
                enum log_format format;
                int level; /* LOG_ERR to LOG_DEBUG */
        } log;
        struct {
                unsigned concurrent_renewals; /* 1 to 1000, 16 */
                unsigned key_workers;         /* 0 is auto: one for each processor */
                unsigned issuances_per_hour;  /* of each certificate; 1 to SCHEDULE_BUDGET_MAX, 6 */
        } limits;
        struct {
                char *socket; /* NULL: no control API */
                gid_t group;  /* whose members may call everything; -1: none but root and rekeyd's own user */
                gid_t read_group; /* whose members may read; -1: none */
        } control;
        struct {
                char *listen; /* "ADDRESS:PORT" for metrics and health; NULL: none */
        } http;
        struct {
                char *textfile; /* for node_exporter; NULL: none */
        } metrics;
        struct {
                char *kubeconfig; /* NULL: the account of the pod */
                char *context;    /* NULL: its current-context */
        } kubernetes;
        struct config_connector *connectors;
        size_t n_connectors;
        struct config_policy defaults;           /* applied to the certificates already */
        struct config_certificate *certificates; /* in the order of the files */
        size_t n_certificates;
        char **unread; /* files beside the drop-ins that are not read, and may be meant to be */
        size_t n_unread;
        struct arena memory;
};

/* A config is born with one reference; certificates that outlive a reload hold the old one by theirs. The
 * count is a plain one, for one thread: the owner of the only reference may hand it to another thread. */
struct config *config_ref(struct config *config);  /* CONFIG */
struct config *config_free(struct config *config); /* drops one, and with the last all of it */
DEFINE_CLEANUP(struct config *, config_free);

/* Every complaint, in the order of files and lines. */
struct config_errors {
        char **items; /* "file:line:column: what is wrong, and what would be right" */
        size_t n;
};
void config_errors_clear(struct config_errors *errors);

/* Every option there is, for the manual and for tests. Needs lib/config/yaml-table.h. */
struct yaml_table;
extern const struct yaml_table config_table;

/*
 * Reads PATH and then PATH's sibling folder conf.d, every *.yaml and *.yml in it in the order of names. 0;
 * -EINVAL with at least one item in ERRORS; or -ENOMEM. Reads files and the user database, touches nothing
 * else; so it may run in a daemon that keeps its present configuration when this fails. It may block on both,
 * and is safe on any thread beside a running loop: it shares nothing, and asks the databases through their
 * re-entrant calls.
 */
int config_load(const char *path, struct config **ret, struct config_errors *errors);

/* The same with one more document after the files, TEXT, for which NAME stands in ERRORS: whether a drop-in
 * fits before it is written. */
int config_load_with(const char *path, const char *name, const char *text, struct config **ret,
                     struct config_errors *errors);

/* The same for one document in memory; NAME stands for the file in ERRORS. */
int config_parse(const char *name, const char *text, size_t size, struct config **ret,
                 struct config_errors *errors);

/* The effective configuration as YAML that config_load() reads back to the same: every option with its value,
 * defaults included. Owned by the caller. 0 or -ENOMEM. */
int config_format(const struct config *config, char **ret_yaml);
