/*
 * Two authorities that have nothing to do with each other, as in production: the client CA "CN=Kyma", whose
 * leaves the certificate endpoint accepts, and the server CA behind both endpoints' own certificate. All of
 * it is plain files, so a rotation is done by replacing files, here or by hand. The issuing CA is re-read
 * lazily and at most once in a window, which gives a client the chance to be signed by a CA that was retired
 * a moment ago.
 *
 * With a root, the trust bundle holds the root only: a client must then send its intermediate, as the real
 * edge wants.
 */

#include "devconnector/ca.h"

#include <fcntl.h>
#include <openssl/x509v3.h>

#include "lib/util/files.h"
#include "lib/util/log.h"

#define ISSUER_NAME "CN=Kyma"
#define ROOT_NAME   "CN=Kyma Root"
#define SERVER_NAME "CN=Connector for development"

struct ca {
        int dir_fd; /* borrowed */
        const struct settings *settings;
        struct pki_pair issuer;
        pki_list *chain;
        usec_t read_usec; /* CLOCK_MONOTONIC */
        struct pki_pair server;
        struct pki_pair stranger;
};

static bool exists(int dir_fd, const char *name) {
        return faccessat(dir_fd, name, F_OK, 0) == 0;
}

/* A CA called NAME below PARENT (NULL: self-signed), with KEY (NULL: a new one). */
static int make_ca(const struct ca *ca, const char *name_text, X509_NAME *name, EVP_PKEY *key,
                   const struct pki_pair *parent, struct pki_pair *ret, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *parsed = NULL;
        struct pki_pair pair = { 0 };
        int r;

        if (name_text) {
                r = pki_parse_name(name_text, &parsed, error);
                if (r < 0)
                        return r;
                name = parsed;
        }
        if (key) {
                EVP_PKEY_up_ref(key);
                pair.key = key;
        } else {
                r = pki_generate_key(PKI_KEY_BITS, &pair.key, error);
                if (r < 0)
                        return r;
        }
        r = pki_issue(&(struct pki_request) { .usage = PKI_CA,
                                              .subject = name,
                                              .key = pair.key,
                                              .lifetime_usec = ca->settings->ca_lifetime },
                      parent, &pair.certificate, error);
        if (r < 0) {
                pki_pair_clear(&pair);
                return r;
        }
        *ret = pair;
        return 0;
}

static int write_trust(const struct ca *ca, const pki_list *chain, const pki_list *old, struct error *error) {
        _cleanup_(pki_list_freep) pki_list *trust = sk_X509_new_null();
        int anchor = sk_X509_num(chain) - 1;

        if (!trust || pki_list_add(trust, sk_X509_value(chain, anchor)) < 0)
                return error_set_errno(error, -ENOMEM, "cannot write " CA_CLIENT_TRUST);
        for (int i = 0; old && i < sk_X509_num(old); i++)
                if (X509_cmp(sk_X509_value(old, i), sk_X509_value(chain, anchor)) != 0 &&
                    pki_list_add(trust, sk_X509_value(old, i)) < 0)
                        return error_set_errno(error, -ENOMEM, "cannot write " CA_CLIENT_TRUST);
        return pki_write_list(ca->dir_fd, CA_CLIENT_TRUST, trust, error);
}

static int read_chain(const struct ca *ca, X509 *issuer, pki_list **ret, struct error *error) {
        _cleanup_(pki_list_freep) pki_list *chain = NULL, *above = NULL;
        int r;

        chain = sk_X509_new_null();
        if (!chain || pki_list_add(chain, issuer) < 0)
                return error_set_errno(error, -ENOMEM, "cannot read the CA");
        if (exists(ca->dir_fd, "root.crt")) {
                r = pki_read_list(ca->dir_fd, "root.crt", &above, error);
                if (r < 0)
                        return r;
                for (int i = 0; i < sk_X509_num(above); i++)
                        if (pki_list_add(chain, sk_X509_value(above, i)) < 0)
                                return error_set_errno(error, -ENOMEM, "cannot read the CA");
        }
        *ret = take_ptr(chain);
        return 0;
}

static int read_issuer(struct ca *ca, struct error *error) {
        _cleanup_(pki_pair_clear) struct pki_pair issuer = { 0 };
        pki_list *chain = NULL;
        int r;

        r = pki_read_pair(ca->dir_fd, "ca.crt", "ca.key", &issuer, error);
        if (r < 0)
                return r;
        r = read_chain(ca, issuer.certificate, &chain, error);
        if (r < 0)
                return r;

        pki_pair_clear(&ca->issuer);
        pki_list_free(ca->chain);
        ca->issuer = issuer;
        ca->chain = chain;
        issuer = (struct pki_pair) { 0 };
        return 0;
}

static int make_issuer(struct ca *ca, struct error *error) {
        _cleanup_(pki_pair_clear) struct pki_pair root = { 0 }, issuer = { 0 };
        int r;

        if (ca->settings->root && exists(ca->dir_fd, "root.crt")) {
                r = pki_read_pair(ca->dir_fd, "root.crt", "root.key", &root, error);
                if (r < 0)
                        return r;
        } else if (ca->settings->root) {
                r = make_ca(ca, ROOT_NAME, NULL, NULL, NULL, &root, error);
                if (r < 0)
                        return r;
                r = pki_write_pair(ca->dir_fd, "root.crt", "root.key", &root, error);
                if (r < 0)
                        return r;
        }
        r = make_ca(ca, ISSUER_NAME, NULL, NULL, root.key ? &root : NULL, &issuer, error);
        if (r < 0)
                return r;
        return pki_write_pair(ca->dir_fd, "ca.crt", "ca.key", &issuer, error);
}

static int open_issuer(struct ca *ca, struct error *error) {
        int r;

        if (!exists(ca->dir_fd, "ca.crt")) {
                r = make_issuer(ca, error);
                if (r < 0)
                        return r;
        } else if (ca->settings->root && !exists(ca->dir_fd, "root.crt"))
                return error_set(error, -EEXIST, "--root: %s holds a CA without a root; take a new directory",
                                 ca->settings->directory);

        r = read_issuer(ca, error);
        if (r < 0)
                return r;
        ca->read_usec = now_usec(CLOCK_MONOTONIC);
        return exists(ca->dir_fd, CA_CLIENT_TRUST) ? 0 : write_trust(ca, ca->chain, NULL, error);
}

static int make_server(struct ca *ca, const struct pki_pair *server_ca, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
        _cleanup_(pki_pair_clear) struct pki_pair server = { 0 };
        const char *hosts[] = { "localhost", "127.0.0.1", "::1", ca->settings->host, NULL };
        int r;

        if (streq(ca->settings->host, "localhost"))
                hosts[3] = NULL;
        r = pki_parse_name("CN=devconnector", &name, error);
        if (r < 0)
                return r;
        r = pki_generate_key(PKI_KEY_BITS, &server.key, error);
        if (r < 0)
                return r;
        r = pki_issue(&(struct pki_request) { .usage = PKI_SERVER,
                                              .subject = name,
                                              .key = server.key,
                                              .lifetime_usec = ca->settings->ca_lifetime,
                                              .hosts = hosts },
                      server_ca, &server.certificate, error);
        if (r < 0)
                return r;
        return pki_write_pair(ca->dir_fd, "server.crt", "server.key", &server, error);
}

/* A certificate from an earlier start does for this one when it names this host and has not expired. */
static bool server_fits(const struct ca *ca, X509 *certificate) {
        return (X509_check_host(certificate, ca->settings->host, 0, 0, NULL) == 1 ||
                X509_check_ip_asc(certificate, ca->settings->host, 0) == 1) &&
               X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

static int open_server(struct ca *ca, struct error *error) {
        _cleanup_(pki_pair_clear) struct pki_pair server_ca = { 0 };
        int r;

        if (!exists(ca->dir_fd, CA_SERVER_TRUST)) {
                r = make_ca(ca, SERVER_NAME, NULL, NULL, NULL, &server_ca, error);
                if (r < 0)
                        return r;
                r = pki_write_pair(ca->dir_fd, CA_SERVER_TRUST, "server-ca.key", &server_ca, error);
        } else
                r = pki_read_pair(ca->dir_fd, CA_SERVER_TRUST, "server-ca.key", &server_ca, error);
        if (r < 0)
                return r;

        if (exists(ca->dir_fd, "server.crt")) {
                r = pki_read_pair(ca->dir_fd, "server.crt", "server.key", &ca->server, error);
                if (r < 0)
                        return r;
                if (server_fits(ca, ca->server.certificate))
                        return 0;
                pki_pair_clear(&ca->server);
        }
        r = make_server(ca, &server_ca, error);
        if (r < 0)
                return r;
        return pki_read_pair(ca->dir_fd, "server.crt", "server.key", &ca->server, error);
}

int ca_open(int dir_fd, const struct settings *settings, struct ca **ret, struct error *error) {
        _cleanup_(ca_freep) struct ca *ca = calloc(1, sizeof(*ca));
        int r;

        if (!ca)
                return error_set_errno(error, -ENOMEM, "cannot open the CA");
        ca->dir_fd = dir_fd;
        ca->settings = settings;
        r = open_issuer(ca, error);
        if (r < 0)
                return r;
        r = open_server(ca, error);
        if (r < 0)
                return r;
        *ret = take_ptr(ca);
        return 0;
}

struct ca *ca_free(struct ca *ca) {
        if (!ca)
                return NULL;
        pki_pair_clear(&ca->issuer);
        pki_list_free(ca->chain);
        pki_pair_clear(&ca->server);
        pki_pair_clear(&ca->stranger);
        free(ca);
        return NULL;
}

const struct pki_pair *ca_issuer(struct ca *ca, usec_t now) {
        struct error error = ERROR_INIT;

        if (usec_sub(now, ca->read_usec) >= ca->settings->ca_window) {
                if (read_issuer(ca, &error) < 0)
                        log_warning("%s, signing with the CA read before", error_text(&error));
                else
                        ca->read_usec = now;
                error_clear(&error);
        }
        return &ca->issuer;
}

const pki_list *ca_chain(const struct ca *ca) {
        return ca->chain;
}

const struct pki_pair *ca_server(const struct ca *ca) {
        return &ca->server;
}

int ca_rotate(struct ca *ca, const struct ca_rotation *rotation, X509 **ret, struct error *error) {
        _cleanup_(pki_pair_clear) struct pki_pair old = { 0 }, new = { 0 }, root = { 0 };
        _cleanup_(pki_list_freep) pki_list *chain = NULL, *trust = NULL;
        int r;

        /* From the files: they may be newer than what signs. */
        r = pki_read_pair(ca->dir_fd, "ca.crt", "ca.key", &old, error);
        if (r < 0)
                return r;
        if (exists(ca->dir_fd, "root.key")) {
                r = pki_read_pair(ca->dir_fd, "root.crt", "root.key", &root, error);
                if (r < 0)
                        return r;
        }
        r = make_ca(ca, rotation->name, X509_get_subject_name(old.certificate),
                    rotation->same_key ? old.key : NULL, root.key ? &root : NULL, &new, error);
        if (r < 0)
                return r;
        r = read_chain(ca, new.certificate, &chain, error);
        if (r < 0)
                return r;
        if (!rotation->trust_new_only) {
                r = pki_read_list(ca->dir_fd, CA_CLIENT_TRUST, &trust, error);
                if (r < 0)
                        return r;
        }

        /* Trust first: a leaf of the new CA must never meet an endpoint that does not know it. */
        r = write_trust(ca, chain, trust, error);
        if (r < 0)
                return r;
        r = pki_write_pair(ca->dir_fd, "ca.crt", "ca.key", &new, error);
        if (r < 0)
                return r;
        *ret = take_ptr(new.certificate);
        return 0;
}

const struct pki_pair *ca_stranger(struct ca *ca) {
        struct error error = ERROR_INIT;

        if (!ca->stranger.key && make_ca(ca, ISSUER_NAME, NULL, NULL, NULL, &ca->stranger, &error) < 0) {
                log_error("%s", error_text(&error));
                error_clear(&error);
                return NULL;
        }
        return &ca->stranger;
}
