/*
 * Istio finds the CA of a gateway's clients by names: a server with mutual TLS has a credentialName X, and
 * the CA is in the Secret X-cacert, or else in X, under the key cacert, or else ca.crt. A bundle in any other
 * place is read by nobody, and no error says so.
 */

#include "ca/cluster/istio.h"

#include <stdio.h>

#include "lib/kube/kube-object.h"
#include "lib/util/quote.h"
#include "lib/util/text-stream.h"

#define KEY       "cacert"
#define SUFFIX    "-cacert"
#define NAMES_MAX 3u

/* --- Gateways --- */

static bool is_mutual(const json_t *tls) {
        const char *mode = json_string_value(json_object_get(tls, "mode"));

        return mode && (streq(mode, "MUTUAL") || streq(mode, "OPTIONAL_MUTUAL"));
}

/* The CA may have a Secret of its own; what it is called, NULL where it is in a file. */
static const char *credential_of(const json_t *tls, bool *ret_is_own) {
        const char *own = json_string_value(json_object_get(tls, "caCertCredentialName"));

        *ret_is_own = own != NULL;
        return own ? own : json_string_value(json_object_get(tls, "credentialName"));
}

static bool reads(const char *credential, bool is_own, const char *name) {
        const size_t n = strlen(credential);

        return has_prefix(name, credential) && (!name[n] || (!is_own && streq(name + n, SUFFIX)));
}

/* What was found on the way: others' names go to OUT, a few of them. */
struct finding {
        const char *name;
        FILE *out;
        unsigned n_others;
        bool is_read;
};

static void judge_server(struct finding *finding, const json_t *gateway, const json_t *server) {
        const json_t *tls = json_object_get(server, "tls");
        bool is_own;
        const char *credential = credential_of(tls, &is_own);

        if (!is_mutual(tls) || !credential)
                return;
        if (reads(credential, is_own, finding->name))
                finding->is_read = true;
        else if (finding->n_others++ < NAMES_MAX)
                fprintf(finding->out, "%s%s of the Gateway %s/%s", finding->n_others > 1 ? ", " : "",
                        quoted(credential), quoted(kube_object_namespace(gateway)),
                        quoted(kube_object_name(gateway)));
}

static void judge_all(struct finding *finding, const json_t *list) {
        const json_t *gateway, *server;
        size_t i, k;

        json_array_foreach(json_object_get(list, "items"), i, gateway)
                json_array_foreach(json_object_get(json_object_get(gateway, "spec"), "servers"), k, server)
                        judge_server(finding, gateway, server);
}

int istio_judge_gateways(const json_t *list, const char *name, char **ret) {
        _cleanup_(freep) char *others = NULL;
        size_t size = 0;
        struct finding finding = { .name = name, .out = text_stream_open(&others, &size) };

        if (!finding.out)
                return -ENOMEM;
        judge_all(&finding, list);
        if (fclose(finding.out) != 0)
                return -ENOMEM;
        *ret = NULL;
        if (finding.is_read || finding.n_others == 0)
                return 0;
        return asprintf(ret,
                        "no Gateway verifies its clients with the Secret %s; by credentialName they do with "
                        "%s%s",
                        name, others, finding.n_others > NAMES_MAX ? ", ..." : "") < 0
                       ? -ENOMEM
                       : 0;
}

/* By the version that the cluster has. KUBE_NOT_FOUND: it has no Gateways. */
static int list_gateways(struct cluster *cluster, json_t **ret, struct error *error) {
        static const char *const apis[] = { "networking.istio.io/v1", "networking.istio.io/v1beta1",
                                            "networking.istio.io/v1alpha3" };
        int r = KUBE_NOT_FOUND;

        for (size_t i = 0; i < ELEMENTSOF(apis) && r == KUBE_NOT_FOUND; i++) {
                const struct kube_ask ask = { .verb = KUBE_GET,
                                              .resource = { .api = apis[i], .plural = "gateways" } };

                error_clear(error);
                r = cluster_ask(cluster, &ask, ret, error);
        }
        return r;
}

int istio_find_doubt(struct cluster *cluster, const char *name, char **ret, struct error *error) {
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        int r;

        *ret = NULL;
        r = list_gateways(cluster, &list, &why);
        if (r == KUBE_NOT_FOUND)
                return 0;
        if (r == KUBE_DONE) {
                r = istio_judge_gateways(list, name, ret);
                return r < 0 ? error_set_errno(error, r, "cannot read the Gateways of Istio") : 0;
        }
        (void)error_move(error, &why);
        (void)error_prefix(error, "cannot find out which Secrets the Gateways of Istio read");
        return cluster_errno(r);
}

/* --- What goes before --- */

int istio_check_precedence(struct cluster *cluster, const struct kube_name *name, const char *key,
                           const json_t *secret, struct error *error) {
        char other[KUBE_NAME_MAX + sizeof(SUFFIX)];
        const struct kube_ask ask = { .verb = KUBE_GET, .resource = KUBE_SECRET(name->namespace, other) };

        if (!streq(key, KEY) && !kube_secret_has(secret, KEY, NULL))
                return error_set(error, -EEXIST,
                                 "the Secret has the key " KEY " as well, which Istio reads instead of %s",
                                 key);
        snprintf(other, sizeof(other), "%s" SUFFIX, name->name);
        if (!has_suffix(name->name, SUFFIX) && kube_is_name(other) &&
            cluster_ask(cluster, &ask, NULL, NULL) == KUBE_DONE)
                return error_set(error, -EEXIST,
                                 "there is a Secret %s, which Istio reads instead of this one", other);
        return 0;
}
