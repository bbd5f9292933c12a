/* The configuration: what is refused and in which words, what is read, and how fast it all is. */

#include "lib/config/config.h"
#include "lib/config/yaml-table.h"

#include <signal.h>
#include <stdio.h>

#include "lib/util/time.h"
#include "tests/unit/config/config-text.h"

START_TEST(mistakes) {
        static const struct {
                const char *text, *errors;
        } rows[] = {
                { "control: {socket: run/x}\n",
                  "1:19: 'socket' must be an absolute path, one that begins with '/'\n" },
                { "control: {read_group: nobody-knows}\n",
                  "1:23: 'read_group' names the group 'nobody-knows', which this machine does not know; "
                  "create it, or "
                  "correct the name\n" },
                { "http: {listen: 9732}\n", "1:16: 'listen' must be a numeric address and a port, such as "
                                            "127.0.0.1:9732 or [::1]:9732, "
                                            "not '9732'\n" },
                { "http: {listen: 'localhost:9732'}\n", "1:16: 'listen' must be a numeric address and a "
                                                        "port, such as 127.0.0.1:9732 or [::1]:9732, "
                                                        "not 'localhost:9732'\n" },
                { "http: {listen: '127.0.0.1:0'}\n", "1:16: 'listen' must be a numeric address and a port, "
                                                     "such as 127.0.0.1:9732 or [::1]:9732, "
                                                     "not '127.0.0.1:0'\n" },
                { "http: {listen: '[::1:1'}\n", "1:16: 'listen' must be a numeric address and a port, such "
                                                "as 127.0.0.1:9732 or [::1]:9732, "
                                                "not '[::1:1'\n" },
                { "metrics: {textfile: /var/lib/rekeyd.txt}\n",
                  "1:21: 'textfile' must end with .prom, or node_exporter ignores it\n" },
                { "defaults: {revoke_old: 1s}\n",
                  "1:24: 'revoke_old' must be between 1m and 365d, not 1s\n" },
                { "connectors: {c: {url: https://c/, distrust: [], renew_issued_before: yesterday, "
                  "renew_within: 31d}}\n"
                  "certificates: {a: {connector: c, directory: /a}}\n",
                  "1:45: 'distrust' is an empty list; it needs at least one entry\n"
                  "1:70: 'renew_issued_before' must be a time such as 2026-11-20T18:06:53Z or "
                  "2026-11-20T19:06:53+01:00, or a date such as 2026-11-20, not 'yesterday'\n"
                  "1:95: 'renew_within' must be between 0s and 30d, not 31d\n" },
                { "connectors:\n"
                  "  c:\n"
                  "    url: https://c/\n"
                  "    distrust:\n"
                  "      - Kyma\n"
                  "      - spki:00\n"
                  "certificates: {a: {connector: c, directory: /a}}\n",
                  "5:9: 'distrust' must have SHA-256 fingerprints, of 64 hexadecimal digits, with 'spki:' "
                  "before "
                  "that of a key, not 'Kyma'; rekeyctl cas lists those in use\n"
                  "6:9: 'distrust' must have SHA-256 fingerprints, of 64 hexadecimal digits, with 'spki:' "
                  "before "
                  "that of a key, not 'spki:00'; rekeyctl cas lists those in use\n" },
                { "connectors: {c: {protocol: connector_service, url: https://c/}}\n",
                  "1:28: 'protocol' must be compass or connector-service, not 'connector_service'\n" },
                { "log: {format: syslog}\n",
                  "1:15: 'format' must be auto, journal, json or text, not 'syslog'\n" },
                { "log: {level: warn}\n",
                  "1:14: 'level' must be error, warning, info or debug, not 'warn'\n" },
                { "limits: {key_workers: 65}\n", "1:23: 'key_workers' must be between 1 and 64, not 65\n" },
                { "limits: {issuances_per_hour: 0}\n",
                  "1:30: 'issuances_per_hour' must be between 1 and 100, not 0\n" },
                { "limits: {issuances_per_hour: 101}\n",
                  "1:30: 'issuances_per_hour' must be between 1 and 100, not 101\n" },
                { "limits: {issuances_per_hour: unlimited}\n",
                  "1:30: 'issuances_per_hour' must be a whole number, not 'unlimited'\n" },
                { "limits: {key_workers: 0}\n", "1:23: 'key_workers' must be between 1 and 64, not 0\n" },

                { "connectors: {c: {url: 'http://c/'}}\n",
                  "1:23: 'url' must begin with https://; a Connector is never called without TLS\n" },
                { "connectors: {'c/d': {url: 'https://c/'}}\n",
                  "1:14: 'c/d' cannot name a connector; a name has 1 to 64 letters, digits, '.', '_' or '-' "
                  "and begins "
                  "with a letter or digit\n" },

                { "certificates: {a: {directory: /a}}\n", "1:16: the certificate lacks 'connector', the name "
                                                          "of the connector that signs it; define it under "
                                                          "'connectors'\n" },
                { HEAD "  b: {directory: /b}\n",
                  "6:3: the certificate lacks 'connector', the name of the connector that "
                  "signs it; those defined: ucl, old\n" },
                { HEAD "  b: {connector: ucl}\n",
                  "6:3: the certificate lacks 'directory', the directory that holds its key, "
                  "certificate and CA, and nothing else\n" },
                { "certificates: {a: {connector: c, directory: /a}}\n",
                  "1:31: 'connector' names the unknown connector 'c'; define it under 'connectors'\n" },
                { HEAD "  b: {connector: ulc, directory: /b}\n",
                  "6:18: 'connector' names the unknown connector 'ulc'; did you mean 'ucl'?\n" },
                { HEAD "  b: {connector: production, directory: /b}\n",
                  "6:18: 'connector' names the unknown connector 'production'; those defined: ucl, old\n" },
                /* A connector that could not be read is not unknown. */
                { "connectors: {c: []}\ncertificates: {a: {connector: c, directory: /a}}\n",
                  "1:17: 'c': expected a mapping, found a list\n" },

                { HEAD "  b: {connector: ucl, directory: //srv//a/}\n",
                  "6:34: 'directory' is the same as that of certificate 'a' (line 3); give each certificate "
                  "a directory "
                  "of its own\n" },
                { HEAD "  b: {connector: ucl, directory: /srv/a/b}\n"
                       "  c: {connector: ucl, directory: /srv/a-b}\n"
                       "  d: {connector: ucl, directory: /srv/a/b/c}\n",
                  "6:34: 'directory' is inside that of certificate 'a' (line 3); give each certificate a "
                  "directory of its own\n8:34: 'directory' is inside that of certificate 'a' (line 3); give "
                  "each certificate a directory of its own\n" },
                { HEAD "  b: {connector: ucl, directory: /srv}\n",
                  "5:16: 'directory' is inside that of certificate 'b' (line 6); give each certificate a "
                  "directory of its own\n" },
                { HEAD "  b: {connector: ucl, directory: /srv/../b}\n",
                  "6:34: 'directory' must be written without '.' and '..' in the path\n" },
                { HEAD "  b: {connector: ucl, directory: /srv/.}\n",
                  "6:34: 'directory' must be written without '.' and '..' in the path\n" },
                { HEAD "  b: {connector: ucl, directory: //}\n",
                  "6:34: 'directory' must be a directory of its own, not '/'\n" },
                { HEAD "  b: {connector: ucl, directory: b}\n",
                  "6:34: 'directory' must be an absolute path, one that begins with '/'\n" },

                { "state_directory: /srv/a\n" HEAD, "6:16: 'directory' is the same as 'state_directory' "
                                                    "(/srv/a), which needs a directory of its own\n" },
                { "state_directory: /srv/a/state\n" HEAD,
                  "6:16: 'directory' holds 'state_directory' (/srv/a/state), which needs a directory of its "
                  "own\n" },
                { "connectors: {c: {url: https://c/, enrol_url: http://c/}}\n"
                  "certificates: {a: {connector: c, directory: /a, token_file: /t}}\n",
                  "1:46: 'enrol_url' must begin with https://; a Connector is never called without TLS\n" },
                /* A token where a file name belongs does not end up in a log. */
                { HEAD "    token_file: $CREDENTIALS_DIRECTORY/a/b\n",
                  "6:17: 'token_file' must name one credential after $CREDENTIALS_DIRECTORY/, as "
                  "LoadCredential= does\n" },
                { HEAD "    token_file: c2VjcmV0\n",
                  "6:17: 'token_file' must be an absolute path, one that begins with '/'\n" },

                { HEAD "    import: {key: /k}\n",
                  "6:13: 'import' must name both 'key' and 'certificate'; 'certificate' is missing\n" },
                { HEAD "    import: {certificate: /c, ca: /ca}\n",
                  "6:13: 'import' must name both 'key' and 'certificate'; 'key' is missing\n" },

                { HEAD "    mode: 0755\n",
                  "6:11: 'mode' must be without execute bits, such as 0640, not 0755: a key is not "
                  "a program\n" },
                { HEAD "    mode: 0644\n", "6:11: 'mode' must not give other users access to the key, such "
                                           "as 0640, not 0644; use 'group' for readers\n" },
                { HEAD "    mode: 0602\n", "6:11: 'mode' must not give other users access to the key, such "
                                           "as 0640, not 0602; use 'group' for readers\n" },
                { HEAD "    mode: 0040\n",
                  "6:11: 'mode' must let the owner read the key, such as 0600, not 0040\n" },
                { HEAD "    mode: rw\n",
                  "6:11: 'mode' must be an octal file mode such as 0600 or 0640, not 'rw'\n" },
                { HEAD "    owner: no-such-user\n",
                  "6:12: 'owner' names the user 'no-such-user', which this machine does not "
                  "know; create it, or correct the name\n" },

                { HEAD "    renew_before: 100%\n",
                  "6:19: 'renew_before' must be more than 0% and less than 100% of the lifetime: a "
                  "certificate would be renewed endlessly\n" },
                { HEAD "    renew_before: 0%\n",
                  "6:19: 'renew_before' must be more than 0% and less than 100% of the "
                  "lifetime: a certificate would be renewed when it expires\n" },
                { HEAD "    renew_before: 60%\n    jitter: 50%\n",
                  "7:13: 'renew_before' and 'jitter' must not be more than 100% together: a certificate "
                  "would be renewed "
                  "before it is valid\n" },
                { HEAD "    renew_before: 98%\n",
                  "6:19: 'renew_before' and 'jitter' must not be more than 100% together: a "
                  "certificate would be renewed before it is valid\n" },
                /* Wrong once in the defaults is one error, however many certificates have it from there. */
                { "defaults: {jitter: 80%}\n" HEAD "  b: {connector: ucl, directory: /b}\n",
                  "1:20: 'renew_before' and 'jitter' must not be more than 100% together: a certificate "
                  "would be renewed "
                  "before it is valid\n" },
                { HEAD "    key: {ahead: never}\n",
                  "6:18: 'ahead' must be a duration such as 30m, 1h or 1d, or off, not 'never'\n" },
                { HEAD "    key: {ahead: 0s}\n", "6:18: 'ahead' must be between 1s and 30d, not 0s\n" },
                { HEAD "    keep: 1\n", "6:11: 'keep' must be between 2 and 100, not 1\n" },
                { HEAD "    key: {type: ed25519, bits: 1024}\n",
                  "6:17: 'type' must be rsa, not 'ed25519': Connectors sign RSA keys only\n6:32: 'bits' must "
                  "be 2048, 3072 or 4096, not '1024'\n" },
                { "defaults: {key: {type: ecdsa, bits: 2500}}\n",
                  "1:24: 'type' must be rsa, not 'ecdsa': Connectors sign RSA keys only\n1:37: 'bits' must "
                  "be 2048, 3072 or 4096, not '2500'\n" },

                { HEAD "    notify: [{command: [reload]}]\n",
                  "6:25: 'command' must name its program by an absolute path, one that begins with '/'\n" },
                { HEAD "    notify: [{command: [/x], signal: HUP, pid_file: /p}]\n",
                  "6:38: 'signal' and 'command' are in one entry, but an entry is one notification; make it "
                  "two "
                  "entries\n" },
                { HEAD "    notify: [{timeout: 3s}]\n", "6:14: the notification has no action: set 'unit', "
                                                        "'command', 'http', or 'signal' and 'pid_file'\n" },
                { HEAD "    notify: [{unit: nginx}]\n",
                  "6:21: 'unit' must be the whole name of a unit; did you mean 'nginx.service'?\n" },
                { HEAD "    notify: [{unit: a/b.service}]\n",
                  "6:21: 'unit' must be the name of a systemd unit, such as nginx.service, not "
                  "'a/b.service'\n" },
                { HEAD "    notify: [{unit: x.service, action: start}]\n",
                  "6:40: 'action' must be reload-or-restart, reload or restart, not 'start'\n" },
                { HEAD "    notify: [{command: [/x], action: reload}]\n",
                  "6:38: 'action' needs 'unit', the unit to reload or restart\n" },
                { HEAD "    notify: [{unit: x.service, http: http://h/}]\n",
                  "6:38: 'http' and 'unit' are in one entry, but an entry is one notification; make it two "
                  "entries\n" },
                { HEAD "    notify: [{http: ftp://h/}]\n",
                  "6:21: 'http' must begin with http:// or https://\n" },
                { HEAD "    notify: [{http: 'http://[::1/x'}]\n",
                  "6:21: 'http' " YAML_AUTHORITY_ADVICE "\n" },
                { HEAD "    notify: [{http: http:///x}]\n", "6:21: 'http' must name a host after ://\n" },
                { HEAD "    notify: [{http: http://me:secret@h/}]\n",
                  "6:21: 'http' must be without a user name or password, which logs would show\n" },
                { HEAD "    notify: [{http: http://h/, method: HEAD}]\n",
                  "6:40: 'method' must be POST, PUT or GET, not 'HEAD'\n" },
                { HEAD "    notify: [{unit: x.service, method: GET}]\n",
                  "6:40: 'method' needs 'http', the URL to call\n" },
                { HEAD "    notify: [{signal: HUP}]\n",
                  "6:23: 'signal' needs 'pid_file', which names the process\n" },
                { HEAD "    notify: [{pid_file: /p}]\n",
                  "6:25: 'pid_file' needs 'signal', such as HUP, to send to the process\n" },
                { HEAD "    notify: [{command: [/x], pid_file: /p}]\n",
                  "6:40: 'pid_file' needs 'signal', such as HUP, to send to the process\n" },
                { HEAD "    notify: [{signal: HUP, pid_file: /p, timeout: 3s}]\n",
                  "6:51: 'timeout' has no effect on 'signal', which has no result to wait for; remove it\n" },
                { HEAD "    notify: [{signal: KILL, pid_file: /p}]\n",
                  "6:23: 'signal' must be HUP, INT, QUIT, USR1, USR2, TERM, CONT or WINCH, not 'KILL'\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *found = complaints(rows[i].text);

                ck_assert_msg(streq(found, rows[i].errors), "for:\n%s\nexpected:\n%sfound:\n%s", rows[i].text,
                              rows[i].errors, found);
        }
}
END_TEST

START_TEST(ten_mistakes) {
        static const char *const expected[] = {
                "3:6: 'log': expected a mapping, found a list",
                "5:24: 'concurrent_renewals' must be between 1 and 1000, not 5000",
                "9:16: 'enrol_url' must begin with https://; a Connector is never called without TLS",
                "10:14: 'timeout' must be a duration such as 90s, 30m, 12h or 30d, not '120'",
                "12:11: 'jitter' must be a share of the lifetime, at most 100%, not 105%",
                "15:16: 'connector' names the unknown connector 'ulc'; did you mean 'ucl'?",
                "17:5: unknown option 'renew_befor'; did you mean 'renew_before'?",
                "20:16: 'directory' must be an absolute path, one that begins with '/'",
                "23:5: 'mode' is given twice; the first is in line 21",
                "28:13: 'type' must be rsa, not 'ec': Connectors sign RSA keys only",
        };
        _cleanup_(freep) char *path = data_path("ten-mistakes.yaml");
        struct config_errors errors = { 0 };
        struct config *config = NULL;

        ck_assert_int_eq(config_load(path, &config, &errors), -EINVAL);
        ck_assert_ptr_null(config);
        ck_assert_uint_eq(errors.n, ELEMENTSOF(expected));
        for (size_t i = 0; i < errors.n; i++) {
                ck_assert_msg(has_prefix(errors.items[i], path), "%s", errors.items[i]);
                ck_assert_str_eq(errors.items[i] + strlen(path) + 1, expected[i]);
        }
        config_errors_clear(&errors);
}
END_TEST

START_TEST(defaults) {
        _cleanup_(config_freep) struct config *config = parse_good(HEAD);
        const struct config_certificate *certificate = &config->certificates[0];
        const struct config_connector *connector = certificate->connector;

        ck_assert_str_eq(config->state_directory, "/var/lib/rekeyd");
        ck_assert_int_eq(config->log.format, LOG_FORMAT_AUTO);
        ck_assert_int_eq(config->log.level, LOG_INFO);
        ck_assert_uint_eq(config->limits.concurrent_renewals, 16);
        ck_assert_uint_eq(config->limits.key_workers, 0);
        ck_assert_uint_eq(config->limits.issuances_per_hour, 6);

        ck_assert_ptr_eq(connector, &config->connectors[0]);
        ck_assert_int_eq(connector->protocol, PROTOCOL_COMPASS);
        ck_assert_str_eq(connector->enrol_url, "https://c/g");
        ck_assert_ptr_null(connector->url);
        ck_assert_ptr_null(connector->trust);
        ck_assert_uint_eq(connector->timeout_usec, 120 * USEC_PER_SEC);
        ck_assert_uint_eq(connector->ca_window_usec, 60 * USEC_PER_SEC);

        ck_assert_str_eq(certificate->name, "a");
        ck_assert_str_eq(certificate->directory, "/srv/a");
        ck_assert_ptr_null(certificate->token_file);
        ck_assert_ptr_null(certificate->import.key);
        ck_assert_uint_eq(certificate->key_access.mode, 0); /* 0600, or as adopted */
        ck_assert_uint_eq(certificate->key_access.uid, (uid_t)-1);
        ck_assert_uint_eq(certificate->key_access.gid, (gid_t)-1);
        ck_assert_uint_eq(certificate->public_access.mode, 0644);
        ck_assert_uint_eq(certificate->public_access.uid, (uid_t)-1);
        ck_assert(certificate->policy.renew_before.is_share &&
                  certificate->policy.renew_before.ppm == 330000);
        ck_assert(certificate->policy.jitter.is_share && certificate->policy.jitter.ppm == 50000);
        ck_assert_uint_eq(certificate->policy.clock_skew_usec, 5 * USEC_PER_MINUTE);
        ck_assert_uint_eq(certificate->policy.key.bits, 4096);
        ck_assert_uint_eq(certificate->policy.key.ahead_usec, USEC_PER_HOUR);
        ck_assert_uint_eq(certificate->policy.keep, 2);
        ck_assert_uint_eq(certificate->n_notify, 0);
        ck_assert_uint_eq(certificate->n_exports, 0);
}
END_TEST

#define HASH "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char full[] =
        "state_directory: /s\n"
        "log: {format: json, level: debug}\n"
        "limits: {concurrent_renewals: 1, key_workers: 2, issuances_per_hour: 100}\n"
        "connectors:\n"
        "  one: {url: https://a/b, trust: /t.pem, timeout: 1500ms, ca_window: 0, distrust: [spki:" HASH
        ", " HASH "],"
        " renew_issued_before: 2027-01-15T09:00:00+01:00, renew_within: 6h}\n"
        "  two: {enrol_url: 'https://c:1/d', protocol: compass}\n"
        "certificates:\n"
        "  x:\n"
        "    connector: two\n"
        "    directory: /d/x y/\n"
        "    token_file: /tok\n"
        "    import: {key: /k, certificate: /c, ca: /ca}\n"
        "    owner: root\n"
        "    group: 7\n"
        "    mode: 640\n"
        "    renew_before: 30d\n"
        "    jitter: 0s\n"
        "    clock_skew: 1s\n"
        "    key: {type: rsa, bits: 3072, ahead: off}\n"
        "    keep: 9\n"
        "    notify:\n"
        "    - {command: [/bin/sh, -c, \"true; # \\\"x\\\"\\n\"], timeout: 1m}\n"
        "    - {signal: USR2, pid_file: /p}\n"
        "    exports:\n"
        "    - {path: /e 1.pem, contents: [ca, key], owner: 8, group: root, in_place: yes}\n"
        "    - {path: /e2, format: der, contents: [leaf], mode: 0444}\n"
        "    - {path: /e3, format: pkcs12, passphrase_file: /pw, friendly_name: \"a 'b'\","
        " legacy: true, mode: 440}\n"
        "    - {path: /e4, format: pkcs12, passphrase_file: /pw}\n"
        "    - {path: /e5, contents: [leaf, chain, ca]}\n"
        "    - {secret: shop/orders-tls, layout: tls, ca_overlap: 30d}\n"
        "    - {secret: kyma-system/agent, layout: kyma}\n"
        "  y: {connector: one, directory: /d/y, jitter: 12.3456%}\n"
        "kubernetes: {kubeconfig: /etc/rekeyd/kubeconfig, context: production}\n"
        "defaults: {renew_before: 12.5%, keep: 3, key: {bits: 2048, ahead: 90m}}\n";

static void check_contents(const struct export *export, const char *expected) {
        char found[32] = "";

        for (size_t i = 0; i < export->n_contents; i++) {
                strcat(found, i == 0 ? "" : " ");
                strcat(found, export_part_names[export->contents[i]]);
        }
        ck_assert_str_eq(found, expected);
}

static void check_full_exports(const struct config_certificate *x) {
        const struct export *e = x->exports;

        ck_assert_uint_eq(x->n_exports, 7);
        for (size_t i = 0; i < x->n_exports; i++)
                ck_assert_int_eq(export_validate(&e[i], NULL), 0);

        ck_assert_str_eq(e[5].secret, "shop/orders-tls");
        ck_assert_int_eq(e[5].layout, EXPORT_TLS);
        ck_assert_uint_eq(e[5].ca_overlap_usec, 30 * USEC_PER_DAY);
        ck_assert_str_eq(e[6].secret, "kyma-system/agent");
        ck_assert_int_eq(e[6].layout, EXPORT_KYMA);

        ck_assert_str_eq(e[0].path, "/e 1.pem");
        ck_assert_int_eq(e[0].format, EXPORT_PEM);
        check_contents(&e[0], "ca key");
        ck_assert_uint_eq(e[0].access.uid, 8);
        ck_assert_uint_eq(e[0].access.gid, 0);
        ck_assert_uint_eq(e[0].access.mode, 0600);
        ck_assert(e[0].in_place && !e[0].legacy);
        ck_assert_ptr_null(e[0].friendly_name);

        ck_assert_int_eq(e[1].format, EXPORT_DER);
        check_contents(&e[1], "leaf");
        ck_assert_uint_eq(e[1].access.uid, (uid_t)-1); /* not the certificate's */
        ck_assert_uint_eq(e[1].access.gid, (gid_t)-1);
        ck_assert_uint_eq(e[1].access.mode, 0444);
        ck_assert(!e[1].in_place);

        ck_assert_int_eq(e[2].format, EXPORT_PKCS12);
        check_contents(&e[2], "key leaf chain");
        ck_assert_str_eq(e[2].passphrase_file, "/pw");
        ck_assert_str_eq(e[2].friendly_name, "a 'b'");
        ck_assert_uint_eq(e[2].access.mode, 0440);
        ck_assert(e[2].legacy);

        /* What depends on other options. */
        ck_assert_str_eq(e[3].friendly_name, "x");
        ck_assert_uint_eq(e[3].access.mode, 0600);
        check_contents(&e[4], "leaf chain ca");
        ck_assert_uint_eq(e[4].access.mode, 0644);
}

static void check_full(const struct config *config) {
        const struct config_certificate *x = &config->certificates[0], *y = &config->certificates[1];

        ck_assert_str_eq(config->state_directory, "/s");
        ck_assert_int_eq(config->log.format, LOG_FORMAT_JSON);
        ck_assert_int_eq(config->log.level, LOG_DEBUG);
        ck_assert_uint_eq(config->limits.concurrent_renewals, 1);
        ck_assert_uint_eq(config->limits.key_workers, 2);
        ck_assert_uint_eq(config->limits.issuances_per_hour, 100);
        ck_assert_uint_eq(config->n_connectors, 2);
        ck_assert_str_eq(config->connectors[0].trust, "/t.pem");
        ck_assert_uint_eq(config->connectors[0].timeout_usec, 1500 * USEC_PER_MSEC);
        ck_assert_uint_eq(config->connectors[0].ca_window_usec, 0);
        ck_assert_str_eq(config->connectors[0].distrust[0], "spki:" HASH);
        ck_assert_str_eq(config->connectors[0].distrust[1], HASH);
        ck_assert_ptr_null(config->connectors[0].distrust[2]);
        ck_assert_uint_eq(config->connectors[0].issued_before, UINT64_C(1800000000) * USEC_PER_SEC);
        ck_assert_uint_eq(config->connectors[0].renew_within_usec, 6 * USEC_PER_HOUR);
        ck_assert_ptr_null(config->connectors[1].distrust);
        ck_assert_uint_eq(config->connectors[1].issued_before, 0);
        ck_assert_uint_eq(config->connectors[1].renew_within_usec, USEC_PER_HOUR);
        ck_assert_uint_eq(config->n_certificates, 2);
        ck_assert_ptr_eq(x->connector, &config->connectors[1]);
        ck_assert_str_eq(x->directory, "/d/x y");
        ck_assert_str_eq(x->token_file, "/tok");
        ck_assert_str_eq(x->import.key, "/k");
        ck_assert_str_eq(x->import.certificate, "/c");
        ck_assert_str_eq(x->import.ca, "/ca");
        ck_assert_uint_eq(x->key_access.uid, 0);
        ck_assert_uint_eq(x->key_access.gid, 7);
        ck_assert_uint_eq(x->key_access.mode, 0640);
        ck_assert_uint_eq(x->public_access.uid, 0);
        ck_assert_uint_eq(x->public_access.gid, 7);
        ck_assert_uint_eq(x->public_access.mode, 0644);
        ck_assert(!x->policy.renew_before.is_share && x->policy.renew_before.usec == 30 * USEC_PER_DAY);
        ck_assert(!x->policy.jitter.is_share && x->policy.jitter.usec == 0);
        ck_assert_uint_eq(x->policy.clock_skew_usec, USEC_PER_SEC);
        ck_assert_uint_eq(x->policy.key.bits, 3072);
        ck_assert_uint_eq(x->policy.key.ahead_usec, 0);
        ck_assert_uint_eq(x->policy.keep, 9);
        ck_assert_uint_eq(x->n_notify, 2);
        ck_assert_int_eq(x->notify[0].kind, NOTIFY_COMMAND);
        ck_assert_str_eq(x->notify[0].command[2], "true; # \"x\"\n");
        ck_assert_ptr_null(x->notify[0].command[3]);
        ck_assert_uint_eq(x->notify[0].timeout_usec, USEC_PER_MINUTE);
        ck_assert_int_eq(x->notify[1].kind, NOTIFY_SIGNAL);
        ck_assert_int_eq(x->notify[1].signal, SIGUSR2);
        ck_assert_str_eq(x->notify[1].pid_file, "/p");
        ck_assert_uint_eq(x->notify[1].timeout_usec, 0);
        check_full_exports(x);
        ck_assert_str_eq(config->kubernetes.kubeconfig, "/etc/rekeyd/kubeconfig");
        ck_assert_str_eq(config->kubernetes.context, "production");

        /* What stands under `defaults`, though that comes last in the file; the rest as ever. */
        ck_assert(y->policy.renew_before.is_share && y->policy.renew_before.ppm == 125000);
        ck_assert_uint_eq(y->policy.jitter.ppm, 123456);
        ck_assert_uint_eq(y->policy.keep, 3);
        ck_assert_uint_eq(y->policy.key.bits, 2048);
        ck_assert_uint_eq(y->policy.key.ahead_usec, 90 * USEC_PER_MINUTE);
        ck_assert_uint_eq(y->policy.clock_skew_usec, 5 * USEC_PER_MINUTE);
}

START_TEST(round_trip) {
        _cleanup_(config_freep) struct config *first = parse_good(full), *second = NULL;
        _cleanup_(freep) char *once = NULL, *twice = NULL;

        check_full(first);
        ck_assert_int_eq(config_format(first, &once), 0);
        second = parse_good(once);
        check_full(second);
        ck_assert_int_eq(config_format(second, &twice), 0);
        ck_assert_str_eq(once, twice);
}
END_TEST

START_TEST(references) {
        struct config *config = parse_good(HEAD);

        ck_assert_ptr_eq(config_ref(config), config);
        ck_assert_ptr_eq(config_ref(config), config);
        ck_assert_ptr_null(config_free(config));
        ck_assert_ptr_null(config_free(config));
        ck_assert_str_eq(config->certificates[0].name, "a"); /* the sanitizers see to the rest */
        ck_assert_ptr_null(config_free(config));
        ck_assert_ptr_null(config_free(NULL));
}
END_TEST

/* conf/rekeyd.yaml is valid, says the defaults, and forgets no option. */
START_TEST(credentials) {
        static const char text[] = HEAD "    token_file: $CREDENTIALS_DIRECTORY/a.token\n";
        static const struct {
                const char *variable, *path;
        } rows[] = {
                { NULL, "/run/credentials/rekeyd.service/a.token" },
                { "/run/credentials/other.service", "/run/credentials/other.service/a.token" },
                { "relative", "/run/credentials/rekeyd.service/a.token" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
                _cleanup_(config_freep) struct config *config = NULL;

                if (rows[i].variable)
                        setenv("CREDENTIALS_DIRECTORY", rows[i].variable, 1);
                else
                        unsetenv("CREDENTIALS_DIRECTORY");
                ck_assert_int_eq(config_parse("x", text, strlen(text), &config, &errors), 0);
                ck_assert_str_eq(config->certificates[0].token_file, rows[i].path);
        }
        unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

/* Every beginning of a valid file, and the same with each byte overwritten, is either valid or has an error.
 */
START_TEST(truncations) {
        static const char bytes[] = { '\0', '\n', '\t', ':', '[', '{', '&', '*', '!', '"', '\xff' };

        for (size_t n = 0; n < sizeof(full); n++) {
                _cleanup_(freep) char *copy = malloc(n + 1); /* exact, for the sanitizers' sake */
                struct config_errors errors = { 0 };
                struct config *config = NULL;
                int r;

                memcpy(copy, full, n);
                r = config_parse("f", copy, n, &config, &errors);
                ck_assert(r == 0 ? config != NULL && errors.n == 0 : config == NULL && errors.n > 0);
                config = config_free(config);
                config_errors_clear(&errors);

                memcpy(copy, full, n);
                if (n > 0)
                        copy[n / 2] = bytes[n % ELEMENTSOF(bytes)];
                r = config_parse("f", copy, n, &config, &errors);
                ck_assert(r == 0 ? config != NULL && errors.n == 0 : config == NULL && errors.n > 0);
                config_free(config);
                config_errors_clear(&errors);
        }
}
END_TEST

START_TEST(ten_thousand) {
        enum { N = 10000 };
        _cleanup_(config_freep) struct config *config = NULL, *again = NULL;
        _cleanup_(freep) char *text = NULL, *yaml = NULL;
        struct config_errors errors = { 0 };
        size_t size, strings = 0;
        usec_t begin, load_usec;
        FILE *out = open_memstream(&text, &size);

        fprintf(out,
                "connectors: {ucl: {enrol_url: https://c.example.com/connector/graphql}}\ncertificates:\n");
        for (int i = 0; i < N; i++)
                fprintf(out,
                        "  certificate-%05d:\n"
                        "    connector: ucl\n"
                        "    directory: /var/lib/rekeyd/certs/certificate-%05d\n"
                        "    token_file: /run/credentials/rekeyd.service/certificate-%05d.token\n"
                        "    owner: root\n"
                        "    notify:\n"
                        "      - command: [/usr/libexec/reload-what-uses-it, now]\n",
                        i, i, i);
        fclose(out);

        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_eq(config_parse("f", text, size, &config, &errors), 0);
        load_usec = now_usec(CLOCK_MONOTONIC) - begin;
        ck_assert_uint_eq(config->n_certificates, N);
        ck_assert_str_eq(config->certificates[N - 1].name, "certificate-09999");
        /* Interned: one string for all. */
        ck_assert_ptr_eq(config->certificates[0].notify[0].command[0],
                         config->certificates[N - 1].notify[0].command[0]);
        for (size_t i = 0; i < N; i++)
                strings += strlen(config->certificates[i].name) + strlen(config->certificates[i].directory) +
                           strlen(config->certificates[i].token_file) + 3;
        test_report("%d certificates, %zu KiB of YAML: %" PRIu64 " ms, %zu bytes each beyond its strings", N,
                    size / 1024, load_usec / 1000, (config->memory.size - strings) / N);
        ck_assert_uint_lt((config->memory.size - strings) / N, 1024);

        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_eq(config_format(config, &yaml), 0);
        test_report("written as %zu KiB of YAML in %" PRIu64 " ms", strlen(yaml) / 1024,
                    (now_usec(CLOCK_MONOTONIC) - begin) / 1000);
        ck_assert_int_eq(config_parse("f", yaml, strlen(yaml), &again, &errors), 0);
        ck_assert_uint_eq(again->n_certificates, N);
        /* Generous: a sanitizer or valgrind makes it many times slower. */
        ck_assert_uint_lt(load_usec, 60 * USEC_PER_SEC);
}
END_TEST

/* The worst for the checks across certificates: each directory inside the one before, each name unknown. */
START_TEST(hostile_checks) {
        _cleanup_(freep) char *text = NULL, *found = NULL;
        usec_t begin;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "connectors:\n");
        for (int i = 0; i < 900; i++)
                fprintf(out, "  c%d: {url: https://x/}\n", i);
        fprintf(out, "certificates:\n");
        for (int i = 0; i < 20000; i++)
                fprintf(out, "  x%d: {connector: x%d, directory: /d/e%d}\n", i, i, i % 100);
        fclose(out);
        begin = now_usec(CLOCK_MONOTONIC);
        found = complaints(text);
        test_report("20,000 wrong certificates: %" PRIu64 " ms", (now_usec(CLOCK_MONOTONIC) - begin) / 1000);
        ck_assert_ptr_nonnull(strstr(found, "\nthere are more errors"));
}
END_TEST

TEST_MAIN("config", mistakes, ten_mistakes, truncations, hostile_checks, defaults, round_trip, references,
          credentials, ten_thousand)
