/* What transport errors mean. The texts are those that libcurl 7.88 with OpenSSL 3.0 gives. */

#include "daemon/connector/connector-client.h"

#include "tests/test.h"

static const struct {
        CURLcode code;
        const char *text;
        enum failure failure;
} cases[] = {
        { CURLE_OK, "", FAILURE_NONE },
        { CURLE_COULDNT_RESOLVE_HOST, "Could not resolve host: connector.example.com", FAILURE_TRANSIENT },
        { CURLE_COULDNT_CONNECT,
          "Failed to connect to localhost port 1 after 0 ms: Couldn't connect to server", FAILURE_TRANSIENT },
        { CURLE_OPERATION_TIMEDOUT, "Operation timed out after 120001 milliseconds with 0 bytes received",
          FAILURE_TRANSIENT },
        { CURLE_GOT_NOTHING, "Empty reply from server", FAILURE_TRANSIENT },
        { CURLE_SEND_FAIL_REWIND, "necessary data rewind wasn't possible", FAILURE_TRANSIENT },
        { CURLE_PARTIAL_FILE, "transfer closed with 3259 bytes remaining to read", FAILURE_TRANSIENT },
        { CURLE_RECV_ERROR, "OpenSSL SSL_read: Connection reset by peer, errno 104", FAILURE_TRANSIENT },
        { CURLE_RECV_ERROR,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A000126:SSL routines::unexpected eof while reading, "
          "errno 0",
          FAILURE_TRANSIENT },
        /* Alerts: unknown_ca, certificate_expired, bad_certificate, certificate_required, handshake_failure.
         */
        { CURLE_RECV_ERROR,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A000418:SSL routines::tlsv1 alert unknown ca, errno 0",
          FAILURE_REJECTED },
        { CURLE_RECV_ERROR,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A000415:SSL routines::sslv3 alert certificate expired, "
          "errno 0",
          FAILURE_REJECTED },
        { CURLE_SSL_CONNECT_ERROR, "OpenSSL/3.0.15: error:0A000412:SSL routines::sslv3 alert bad certificate",
          FAILURE_REJECTED },
        { CURLE_RECV_ERROR,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A00045C:SSL routines::tlsv13 alert certificate required, "
          "errno 0",
          FAILURE_REJECTED },
        { CURLE_SSL_CONNECT_ERROR,
          "OpenSSL/3.0.15: error:0A000410:SSL routines::sslv3 alert handshake failure", FAILURE_REJECTED },
        { CURLE_SSL_CLIENTCERT,
          "OpenSSL/3.0.15: error:0A00045C:SSL routines::tlsv13 alert certificate required",
          FAILURE_REJECTED },
        { CURLE_PEER_FAILED_VERIFICATION, "SSL certificate verification failed", FAILURE_REJECTED },
        /* Alerts that are not about the certificate: protocol_version, internal_error. */
        { CURLE_SSL_CONNECT_ERROR,
          "OpenSSL/3.0.15: error:0A00042E:SSL routines::tlsv1 alert protocol version", FAILURE_TRANSIENT },
        { CURLE_RECV_ERROR,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A000438:SSL routines::tlsv1 alert internal error",
          FAILURE_TRANSIENT },
        /* The server's own certificate: nothing that a token could mend. */
        { CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: unable to get local issuer certificate",
          FAILURE_TRANSIENT },
        { CURLE_PEER_FAILED_VERIFICATION,
          "SSL: no alternative certificate subject name matches target host name 'connector.example.com'",
          FAILURE_TRANSIENT },
        { CURLE_SSL_CACERT_BADFILE, "error setting certificate verify locations:  CAfile: /nonexistent",
          FAILURE_LOCAL },
        { CURLE_SSL_CERTPROBLEM, "unable to set private key file: '(memory blob)' type PEM", FAILURE_LOCAL },
        { CURLE_WRITE_ERROR, "Failure writing output to destination", FAILURE_BAD_REPLY },
};

START_TEST(every_end_has_its_class) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct connector_end end = { .code = cases[i].code, .text = cases[i].text };

                ck_assert_msg(connector_classify(&end) == cases[i].failure, "%d '%s' is %s", cases[i].code,
                              cases[i].text, failure_names[connector_classify(&end)]);
        }
}
END_TEST

/* libcurl has one code for two things; only one can happen once the call is out. */
START_TEST(a_long_header_is_no_lack_of_memory) {
        static const struct {
                bool was_sent;
                enum failure failure;
        } rows[] = { { true, FAILURE_BAD_REPLY }, { false, FAILURE_LOCAL } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_int_eq(connector_classify(&(struct connector_end) {
                                         .code = CURLE_OUT_OF_MEMORY,
                                         .text = "Out of memory",
                                         .was_sent = rows[i].was_sent,
                                 }),
                                 rows[i].failure);
}
END_TEST

/* What a proxy says is never said by the Connector: nobody is sent for a token. */
START_TEST(a_proxy_never_rejects) {
        static const struct {
                unsigned status;
                enum failure failure;
        } rows[] = {
                { 0, FAILURE_TRANSIENT },   { 301, FAILURE_REFUSED },   { 400, FAILURE_REFUSED },
                { 403, FAILURE_REFUSED },   { 407, FAILURE_REFUSED },   { 408, FAILURE_TRANSIENT },
                { 429, FAILURE_TRANSIENT }, { 500, FAILURE_TRANSIENT }, { 502, FAILURE_TRANSIENT },
                { 503, FAILURE_TRANSIENT }, { 504, FAILURE_TRANSIENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t k = 0; k < ELEMENTSOF(rows); k++) {
                        const struct connector_end end = {
                                .code = cases[i].code,
                                .text = cases[i].text,
                                .is_at_proxy = true,
                                .proxy_status = rows[k].status,
                        };
                        const enum failure failure = connector_classify(&end);

                        if (end.code != CURLE_OK && cases[i].failure != FAILURE_LOCAL)
                                ck_assert_msg(failure == rows[k].failure, "%d '%s' with %u is %s", end.code,
                                              end.text, end.proxy_status, failure_names[failure]);
                        ck_assert_int_ne(failure, FAILURE_REJECTED);
                }
}
END_TEST

TEST_MAIN("connector-client", every_end_has_its_class, a_long_header_is_no_lack_of_memory,
          a_proxy_never_rejects)
