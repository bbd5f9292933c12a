/* What of a cluster can be judged without one: names of Secrets, marks of other writers, rollouts. */

#include <jansson.h>

#include "ca/cluster/istio.h"
#include "ca/cluster/marks.h"
#include "ca/cluster/rollout.h"
#include "ca/cluster/secret.h"
#include "tests/test.h"

static json_t *parse(const char *text) {
        json_t *json = json_loads(text, 0, NULL);

        ck_assert_ptr_nonnull(json);
        return json;
}

START_TEST(a_spec_is_read_or_refused) {
        static const struct {
                const char *spec;
                enum secret_kind kind;
                int r;
        } rows[] = {
                { "secret:a/b[ca.key,ca.crt]", SECRET_SIGNER, 0 },
                { "secret:a/b[ca.crt]", SECRET_TRUST, 0 },
                { "secret:a/b", SECRET_STATE, 0 },
                { "secret:a/b[ca.crt]", SECRET_SIGNER, -EINVAL },
                { "secret:a/b[a,b,c]", SECRET_SIGNER, -EINVAL },
                { "secret:a/b[a,b", SECRET_SIGNER, -EINVAL },
                { "secret:a/b[a,]", SECRET_SIGNER, -EINVAL },
                { "secret:a/b[a,b]", SECRET_TRUST, -EINVAL },
                { "secret:a/b", SECRET_TRUST, -EINVAL },
                { "secret:a/b[]", SECRET_TRUST, -EINVAL },
                { "secret:b[ca.crt]", SECRET_TRUST, -EINVAL },
                { "secret:A/b[ca.crt]", SECRET_TRUST, -EINVAL },
                { "secret:a/b[c/d]", SECRET_TRUST, -EINVAL },
                { "secret:a/b[x]", SECRET_STATE, -EINVAL },
                { "files:/a", SECRET_TRUST, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(backend_freep) struct backend *backend = NULL;

                ck_assert_msg(secret_parse(NULL, rows[i].spec, rows[i].kind, &backend, NULL) == rows[i].r,
                              "%s", rows[i].spec);
        }
}
END_TEST

#define GATEWAY(tls)                                                                                      \
        "{\"items\":[{\"metadata\":{\"namespace\":\"a\",\"name\":\"g\"},\"spec\":{\"servers\":[{\"tls\":" \
        "{" tls "}}]}}]}"

START_TEST(a_gateway_reads_a_bundle_by_its_name) {
        static const struct {
                const char *list, *doubt; /* NULL: none */
        } rows[] = {
                { "{}", NULL },
                { "{\"items\":[{}, {\"spec\":{\"servers\":[{}, {\"tls\":{}}, 7]}}]}", NULL },
                { GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"trust\""), NULL },
                { GATEWAY("\"mode\":\"SIMPLE\",\"credentialName\":\"other\""), NULL },
                { GATEWAY("\"mode\":\"MUTUAL\",\"caCertificates\":\"/etc/x\""), NULL },
                { GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"other\""),
                  "no Gateway verifies its clients with the Secret trust; by credentialName they do with "
                  "other of "
                  "the Gateway a/g" },
                { GATEWAY("\"mode\":\"OPTIONAL_MUTUAL\",\"credentialName\":\"trus\""), "trus of" },
                { GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"trust-cacert\""), "trust-cacert of" },
                { GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"other\",\"caCertCredentialName\":"
                          "\"trust\""),
                  NULL },
                { GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"trust\",\"caCertCredentialName\":\"x\""),
                  "x of" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(json_decrefp) json_t *list = parse(rows[i].list);
                _cleanup_(freep) char *doubt = NULL;

                ck_assert_int_eq(istio_judge_gateways(list, "trust", &doubt), 0);
                ck_assert_msg(rows[i].doubt ? doubt && strstr(doubt, rows[i].doubt) != NULL : !doubt,
                              "%s: %s", rows[i].list, doubt ? doubt : "-");
        }
}
END_TEST

/* Istio reads X-cacert before X. */
START_TEST(a_gateway_reads_the_bundle_beside_its_credential) {
        _cleanup_(json_decrefp) json_t *list =
                parse(GATEWAY("\"mode\":\"MUTUAL\",\"credentialName\":\"kyma-gateway-certs\""));
        _cleanup_(freep) char *doubt = NULL;

        ck_assert_int_eq(istio_judge_gateways(list, "kyma-gateway-certs-cacert", &doubt), 0);
        ck_assert_ptr_null(doubt);
}
END_TEST

START_TEST(other_writers_leave_marks) {
        static const struct {
                const char *object, *writer;
        } rows[] = {
                { "{\"metadata\":{}}", NULL },
                { "{\"metadata\":{\"labels\":{\"app.kubernetes.io/managed-by\":\"Helm\"}}}", "Helm" },
                { "{\"metadata\":{\"labels\":{\"app.kubernetes.io/managed-by\":\"me\"}}}", NULL },
                { "{\"metadata\":{\"annotations\":{\"cert-manager.io/certificate-name\":\"x\"}}}",
                  "cert-manager" },
                { "{\"metadata\":{\"ownerReferences\":[{\"kind\":\"ExternalSecret\",\"name\":\"x\"}]}}",
                  "its owner ExternalSecret x" },
                { "{\"metadata\":{\"managedFields\":[{\"manager\":\"kubectl-edit\",\"fieldsV1\":{\"f:data\":{"
                  "}}}]}}",
                  NULL },
                { "{\"metadata\":{\"managedFields\":[{\"manager\":\"rekeyca\",\"fieldsV1\":{\"f:data\":{}}}]}"
                  "}",
                  NULL },
                { "{\"metadata\":{\"managedFields\":[{\"manager\":\"compass-runtime-agent\",\"fieldsV1\":{"
                  "\"f:data\":"
                  "{}}}]}}",
                  "compass-runtime-agent" },
                { "{\"metadata\":{\"managedFields\":[{\"manager\":\"labeller\",\"fieldsV1\":{\"f:metadata\":{"
                  "}}}]}}",
                  NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(json_decrefp) json_t *object = parse(rows[i].object);
                _cleanup_(freep) char *writer = marks_find_writer(object);

                if (rows[i].writer)
                        ck_assert_msg(writer && strstr(writer, rows[i].writer), "%s: %s", rows[i].object,
                                      writer ? writer : "none");
                else
                        ck_assert_msg(!writer, "%s: %s", rows[i].object, writer);
        }
}
END_TEST

START_TEST(a_rollout_ends_when_all_are_new) {
        static const struct {
                int generation, observed, wanted, replicas, updated, available;
                bool is_done;
        } rows[] = {
                { 2, 2, 3, 3, 3, 3, true },  { 2, 1, 3, 3, 3, 3, false }, /* not seen yet */
                { 2, 2, 3, 4, 3, 3, false },                              /* an old one is still there */
                { 2, 2, 3, 3, 2, 3, false }, { 2, 2, 3, 3, 3, 2, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(json_decrefp) json_t *object =
                        json_pack("{s:{s:i},s:{s:i},s:{s:i,s:i,s:i,s:i}}", "metadata", "generation",
                                  rows[i].generation, "spec", "replicas", rows[i].wanted, "status",
                                  "observedGeneration", rows[i].observed, "replicas", rows[i].replicas,
                                  "updatedReplicas", rows[i].updated, "availableReplicas", rows[i].available);

                ck_assert_msg(rollout_is_done(object) == rows[i].is_done, "row %zu", i);
        }
}
END_TEST

START_TEST(an_outage_is_refused) {
        _cleanup_(json_decrefp)
                json_t *recreate = parse("{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}"),
                       *single = parse("{\"spec\":{\"replicas\":1,\"strategy\":{\"type\":"
                                       "\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":0}}}}"),
                       *usual = parse("{\"spec\":{\"replicas\":1,\"strategy\":{\"type\":"
                                      "\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\"}}}}");

        ck_assert_ptr_nonnull(rollout_objection(recreate));
        ck_assert_ptr_nonnull(rollout_objection(single));
        ck_assert_ptr_null(rollout_objection(usual));
        ck_assert(rollout_is_spec("deployment:a/b"));
        ck_assert(!rollout_is_spec("deployment:b") && !rollout_is_spec("unit:a/b"));
}
END_TEST

TEST_MAIN("ca-cluster", a_spec_is_read_or_refused, a_gateway_reads_a_bundle_by_its_name,
          a_gateway_reads_the_bundle_beside_its_credential, other_writers_leave_marks,
          a_rollout_ends_when_all_are_new, an_outage_is_refused)
