/* The seam: whatever row of the table is taken, who calls can rely on the same. And what the rows say that
 * belongs to them alone. */

#include "lib/protocol/protocol.h"

#include "tests/test.h"

/* What each protocol sends for each call: at the token-secured endpoint, and with a certificate. */
static const struct sent {
        const char *token_url, *token, *grant; /* what an operator has, and what the configuration returned */
        const char *url;
        struct {
                const char *url;
                bool is_post;
                const char *header;
        } configuration, signature, certificate_signature, revocation, proof;
} sent[PROTOCOL_MAX] = {
        [PROTOCOL_COMPASS] = {
                .token_url = "https://t/connector/graphql",
                .token = "secret",
                .grant = "next",
                .url = "https://c/connector/graphql",
                .configuration = { "https://t/connector/graphql", true, "Connector-Token" },
                .signature = { "https://t/connector/graphql", true, "Connector-Token" },
                .certificate_signature = { "https://c/connector/graphql", true, NULL },
                .revocation = { "https://c/connector/graphql", true, NULL },
                .proof = { "https://c/connector/graphql", true, NULL },
        },
        [PROTOCOL_CONNECTOR_SERVICE] = {
                .token_url = "https://t/v1/runtimes/signingRequests/info",
                .token = "secret",
                .grant = "https://t/v1/runtimes/certificates?token=next",
                .url = "https://c/v1/runtimes/management/info",
                .configuration = { "https://t/v1/runtimes/signingRequests/info?token=secret", false, NULL },
                .signature = { "https://t/v1/runtimes/certificates?token=next", true, NULL },
                .certificate_signature = { "https://c/renew", true, NULL },
                .revocation = { "https://c/revoke", true, NULL },
                .proof = { "https://c/v1/runtimes/management/info", false, NULL },
        },
};

static void check(const struct protocol_request *request, int r, const char *url, bool is_post,
                  const char *header) {
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(request->url, url);
        ck_assert_int_eq(request->body != NULL, is_post);
        ck_assert(streq_null(request->token_header, header));
        /* Without a body a call may be sent twice. */
        ck_assert(!is_post || *request->body);
}

START_TEST(every_row_is_whole) {
        for (enum protocol_id id = 0; id < PROTOCOL_MAX; id++) {
                const struct protocol *protocol = protocol_get(id);

                ck_assert(protocol->ask_configuration && protocol->ask_signature &&
                          protocol->ask_revocation && protocol->ask_proof && protocol->read_configuration &&
                          protocol->read_certificates && protocol->read_revocation && protocol->read_proof);
                ck_assert_ptr_nonnull(protocol_names[id]);
                for (enum protocol_id other = 0; other < id; other++) {
                        ck_assert_str_ne(protocol_names[id], protocol_names[other]);
                        ck_assert_uint_ne(protocol->endpoint, protocol_get(other)->endpoint);
                }
        }
}
END_TEST

START_TEST(what_is_sent) {
        const struct connection connection = { .renew_url = (char *)"https://c/renew",
                                               .revoke_url = (char *)"https://c/revoke" };

        for (enum protocol_id id = 0; id < PROTOCOL_MAX; id++) {
                const struct protocol *protocol = protocol_get(id);
                const struct sent *row = &sent[id];
                struct protocol_ask ask = { .url = row->token_url,
                                            .token = row->token,
                                            .connection = &connection };
                struct protocol_request request = { 0 };

                check(&request, protocol->ask_configuration(&ask, &request, NULL), row->configuration.url,
                      row->configuration.is_post, row->configuration.header);
                protocol_request_clear(&request);
                ask.token = row->grant;
                check(&request, protocol->ask_signature(&ask, "csr", &request, NULL), row->signature.url,
                      row->signature.is_post, row->signature.header);
                protocol_request_clear(&request);

                ask = (struct protocol_ask) { .url = row->url, .connection = &connection };
                check(&request, protocol->ask_configuration(&ask, &request, NULL), row->url,
                      row->configuration.is_post, NULL);
                protocol_request_clear(&request);
                check(&request, protocol->ask_signature(&ask, "csr", &request, NULL),
                      row->certificate_signature.url, row->certificate_signature.is_post,
                      row->certificate_signature.header);
                protocol_request_clear(&request);
                check(&request, protocol->ask_revocation(&ask, &request, NULL), row->revocation.url,
                      row->revocation.is_post, row->revocation.header);
                protocol_request_clear(&request);
                check(&request, protocol->ask_proof(&ask, &request, NULL), row->proof.url, row->proof.is_post,
                      row->proof.header);
                protocol_request_clear(&request);
        }
}
END_TEST

/* Whoever answers with these, and whatever was asked. */
START_TEST(what_every_protocol_makes_of_a_status) {
        static const struct {
                unsigned status;
                const char *body;
                enum failure failure;
        } rows[] = {
                { 503, "", FAILURE_TRANSIENT },
                { 502, "<html>", FAILURE_TRANSIENT },
                { 429, "", FAILURE_TRANSIENT },
                { 408, "{}", FAILURE_TRANSIENT },
                { 404, "", FAILURE_REFUSED },
                { 405, "x", FAILURE_REFUSED },
                { 401, "", FAILURE_REFUSED },
                { 301, "", FAILURE_BAD_REPLY },
                { 204, "", FAILURE_BAD_REPLY },
                { 400, "<html><center>The SSL certificate error</center></html>", FAILURE_REJECTED },
                { 400, "<html><center>No required SSL certificate was sent</center></html>",
                  FAILURE_REJECTED },
        };

        for (enum protocol_id id = 0; id < PROTOCOL_MAX; id++)
                for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                        _cleanup_(
                                protocol_configuration_clear) struct protocol_configuration configuration = {
                                0
                        };
                        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = {
                                0
                        };
                        _cleanup_(connection_clear) struct connection connection = { 0 };
                        const struct protocol *protocol = protocol_get(id);
                        struct protocol_reply reply = { .status = rows[i].status,
                                                        .body = rows[i].body,
                                                        .size = strlen(rows[i].body) };

                        for (int by_token = 0; by_token < 2; by_token++) {
                                _cleanup_(error_clear) struct error error = ERROR_INIT;

                                reply.token = by_token ? "token" : NULL;
                                ck_assert_int_eq(protocol->read_configuration(&reply, &configuration, &error),
                                                 (int)rows[i].failure);
                                ck_assert_int_lt(error.code, 0);
                                ck_assert_int_eq(protocol->read_certificates(&reply, &certificates, NULL),
                                                 (int)rows[i].failure);
                        }
                        reply.token = NULL;
                        ck_assert_int_eq(protocol->read_revocation(&reply, NULL), (int)rows[i].failure);
                        ck_assert_int_eq(protocol->read_proof(&reply, "", &connection, NULL),
                                         (int)rows[i].failure);
                }
}
END_TEST

START_TEST(how_an_empty_400_is_taken) {
        struct protocol_configuration configuration;
        const struct protocol_reply by_token = { .status = 400, .body = "", .token = "token" },
                                    by_certificate = { .status = 400, .body = "" };
        const struct protocol *compass = protocol_get(PROTOCOL_COMPASS);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(compass->read_configuration(&by_token, &configuration, &error),
                         PROTOCOL_TOKEN_DOUBTFUL);
        ck_assert_str_eq(error_text(&error), "it is used, wrong or expired, or the Director is down");
        ck_assert_int_eq(compass->read_configuration(&by_certificate, &configuration, NULL),
                         FAILURE_TRANSIENT);
}
END_TEST

START_TEST(what_a_revocation_says_of_the_certificate) {
        static const struct {
                const char *body;
                int result;
        } rows[] = {
                { "{\"data\":{\"result\":true}}", 0 },
                { "{\"data\":{\"result\":false}}", PROTOCOL_STANDS },
                { "{\"errors\":[{\"message\":\"no\"}],\"data\":null}", PROTOCOL_STANDS },
                { "{\"data\":{\"result\":1}}", FAILURE_BAD_REPLY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct protocol_reply reply = { .status = 200,
                                                      .body = rows[i].body,
                                                      .size = strlen(rows[i].body) };

                ck_assert_int_eq(protocol_get(PROTOCOL_COMPASS)->read_revocation(&reply, NULL),
                                 rows[i].result);
        }
}
END_TEST

START_TEST(urls_in_texts) {
        static const struct {
                const char *url, *shown;
        } rows[] = {
                { "https://c/connector/graphql", "https://c/connector/graphql" },
                { "https://c/v1/info?token=secret", "https://c/v1/info?..." },
                { "https://c?token=secret&x=1?2", "https://c?..." },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *shown = url_shown(rows[i].url);

                ck_assert_str_eq(shown, rows[i].shown);
        }
}
END_TEST

START_TEST(urls_of_one_server) {
        static const struct {
                const char *a, *b;
                bool is_same;
        } rows[] = {
                { "https://a/x", "https://a/y?z", true },
                { "https://a", "https://a:443/", true },
                { "https://a:8443/", "https://A:8443/x", true },
                { "https://[::1]:8443/", "https://[::1]:8443", true },
                { "https://a/", "https://a:8443/", false },
                { "https://a/", "https://a.evil/", false },
                { "https://a.evil/", "https://a/", false },
                { "https://a/", "https://b/", false },
                { "https://a:1/", "https://a:10/", false },
                { "http://a/", "http://a/", false },
                { "https://a@b/", "https://a@b/", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_msg(url_same_server(rows[i].a, rows[i].b) == rows[i].is_same, "%s, %s", rows[i].a,
                              rows[i].b);
}
END_TEST

TEST_MAIN("protocol", every_row_is_whole, what_is_sent, what_every_protocol_makes_of_a_status,
          how_an_empty_400_is_taken, what_a_revocation_says_of_the_certificate, urls_in_texts,
          urls_of_one_server)
