/* The texts of libcurl 7.88 and OpenSSL 3.0 that reach operators most often, and what they read instead. */

#include "lib/protocol/transport-error.h"

#include <netdb.h>

#include "tests/test.h"

#define CONNECT "Failed to connect to localhost port 1 after 0 ms: Couldn't connect to server"
#define PROBLEM "SSL certificate problem: "
#define SSL     "OpenSSL/3.0.15: error:"

static const struct {
        CURLcode code;
        int os_errno;
        const char *text;
        enum cause cause;
        const char *part; /* of the sentence; NULL: the text itself */
} rows[] = {
        { CURLE_COULDNT_RESOLVE_HOST, 0, "the name a.example cannot be looked up: no name server knows it",
          CAUSE_DNS, NULL },
        { CURLE_COULDNT_RESOLVE_PROXY, 0, "Could not resolve proxy: p.example", CAUSE_PROXY,
          "the name of the proxy" },
        { CURLE_COULDNT_CONNECT, ECONNREFUSED, CONNECT, CAUSE_NO_LISTENER, "connection refused" },
        { CURLE_COULDNT_CONNECT, EHOSTUNREACH, CONNECT, CAUSE_UNREACHABLE, "no route to that host" },
        { CURLE_COULDNT_CONNECT, ENETUNREACH, CONNECT, CAUSE_UNREACHABLE, "the network is unreachable" },
        { CURLE_COULDNT_CONNECT, ETIMEDOUT, CONNECT, CAUSE_TIMEOUT, "does not answer" },
        { CURLE_COULDNT_CONNECT, EPERM, CONNECT, CAUSE_UNREACHABLE, "IPAddressDeny=" },
        { CURLE_COULDNT_CONNECT, 0, CONNECT, CAUSE_UNREACHABLE, "no connection to that host" },
        { CURLE_COULDNT_CONNECT, 0,
          "getpeername() failed with errno 107: Transport endpoint is not connected", CAUSE_UNREACHABLE,
          "no connection" },
        { CURLE_SEND_ERROR, 0, "getpeername() failed with errno 107: Transport endpoint is not connected",
          CAUSE_UNREACHABLE, "ended while it was made" },
        { CURLE_OPERATION_TIMEDOUT, 0,
          "Failed to connect to a.example port 443 after 20001 ms: Timeout was reached", CAUSE_TIMEOUT,
          "does not answer" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Connection timed out after 20001 milliseconds", CAUSE_TIMEOUT,
          "does not answer" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Proxy CONNECT aborted due to timeout", CAUSE_TIMEOUT,
          "the proxy took too long" },
        { CURLE_RECV_ERROR, 0, "Proxy CONNECT aborted", CAUSE_PROXY, "the proxy closed the connection" },
        { CURLE_RECV_ERROR, 0, "CONNECT tunnel failed, response 407", CAUSE_PROXY, "a user and a password" },
        { CURLE_RECV_ERROR, 0, "CONNECT tunnel failed, response 403", CAUSE_PROXY, "the proxy forbids" },
        { CURLE_RECV_ERROR, 0, "CONNECT tunnel failed, response 502", CAUSE_PROXY, "has no connection" },
        { CURLE_RECV_ERROR, 0, "CONNECT tunnel failed, response 400", CAUSE_PROXY, "the proxy refuses" },
        { CURLE_PROXY, 0, "No authentication method was acceptable.", CAUSE_PROXY, "requires a user" },
        { CURLE_PROXY, 0, "User was rejected by the SOCKS5 server (1 1).", CAUSE_PROXY, "does not accept" },
        { CURLE_PROXY, 0, "Can't complete SOCKS5 connection to a.example. (5)", CAUSE_PROXY, "refuses" },
        { CURLE_OPERATION_TIMEDOUT, 0, "SSL connection timeout", CAUSE_TIMEOUT, "the TLS handshake" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Operation timed out after 8001 milliseconds with 0 bytes received",
          CAUSE_TIMEOUT, "no answer within the time" },
        { CURLE_OPERATION_TIMEDOUT, 0,
          "Operation timed out after 8001 milliseconds with 17 out of 90 bytes received", CAUSE_TIMEOUT,
          "not complete" },
        { CURLE_OPERATION_TIMEDOUT, 0,
          "the name a.example cannot be looked up: no name server has answered in time", CAUSE_DNS, NULL },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "certificate has expired", CAUSE_SERVER_EXPIRED,
          "it has expired" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "certificate is not yet valid", CAUSE_CLOCK,
          "by the clock of this machine" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "self-signed certificate", CAUSE_UNTRUSTED,
          "it is self-signed" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "self-signed certificate in certificate chain",
          CAUSE_UNTRUSTED, "the root of its chain" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "unable to get local issuer certificate",
          CAUSE_UNTRUSTED, "does not send its intermediates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "certificate rejected", CAUSE_UNTRUSTED,
          "a key of its chain would take too long to verify" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "certificate chain too long", CAUSE_UNTRUSTED,
          "the server sends more certificates than a chain has" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, PROBLEM "unsuitable certificate purpose", CAUSE_UNTRUSTED,
          "not one for servers" },
        { CURLE_PEER_FAILED_VERIFICATION, 0,
          "SSL: no alternative certificate subject name matches target host name 'a.example'",
          CAUSE_SERVER_NAME, "other host names" },
        { CURLE_PEER_FAILED_VERIFICATION, 0,
          "SSL: certificate subject name 'b.example' does not match target host name 'a.example'",
          CAUSE_SERVER_NAME, "other host names" },
        { CURLE_SSL_CONNECT_ERROR, 0, SSL "0A00010B:SSL routines::wrong version number", CAUSE_TLS,
          "does not speak TLS" },
        { CURLE_SSL_CONNECT_ERROR, 0, SSL "0A000102:SSL routines::unsupported protocol", CAUSE_TLS,
          "no version of TLS from 1.2 on" },
        { CURLE_SSL_CONNECT_ERROR, 0, SSL "0A00042E:SSL routines::tlsv1 alert protocol version", CAUSE_TLS,
          "TLS alert 70" },
        { CURLE_SSL_CONNECT_ERROR, 0, SSL "0A000458:SSL routines::tlsv1 unrecognized name", CAUSE_SERVER_NAME,
          "TLS alert 112" },
        { CURLE_SSL_CONNECT_ERROR, 0, "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a.example:443",
          CAUSE_TLS, "during the TLS handshake" },
        { CURLE_SSL_CONNECT_ERROR, ECONNRESET, "OpenSSL SSL_connect: Success", CAUSE_TLS, "was reset" },
        { CURLE_RECV_ERROR, 0,
          "OpenSSL SSL_read: OpenSSL/3.0.15: error:0A000126:SSL routines::unexpected eof while reading, "
          "errno 0",
          CAUSE_NONE, "closed the connection without an answer" },
        { CURLE_RECV_ERROR, 104, "OpenSSL SSL_read: Connection reset by peer, errno 104", CAUSE_NONE,
          "was reset" },
        { CURLE_GOT_NOTHING, 0, "Empty reply from server", CAUSE_NONE, "without an answer" },
        { CURLE_PARTIAL_FILE, 0, "transfer closed with 3259 bytes remaining to read", CAUSE_NONE,
          "in the middle of the answer" },
        { CURLE_UNSUPPORTED_PROTOCOL, 0, "Received HTTP/0.9 when not allowed", CAUSE_URL,
          "does not speak HTTP" },
        { CURLE_SSL_CACERT_BADFILE, 0, "error setting certificate verify locations:  CAfile: /x",
          CAUSE_TRUST_FILE, "no certificate in PEM" },
        { CURLE_TOO_MANY_REDIRECTS, 0, "a text that nobody has seen", CAUSE_NONE, NULL },
};

START_TEST(texts_are_translated) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct transport_end end = { rows[i].code, rows[i].text, rows[i].os_errno, false };
                const struct transport_meaning meaning = transport_explain(&end);

                ck_assert_msg(meaning.cause == rows[i].cause, "%s: %s", end.text, cause_names[meaning.cause]);
                ck_assert_msg(meaning.is_translated == (rows[i].part != NULL), "%s", end.text);
                ck_assert_msg(strstr(meaning.sentence, rows[i].part ? rows[i].part : rows[i].text), "%s: %s",
                              end.text, meaning.sentence);
                if (meaning.is_translated)
                        ck_assert_msg(!strstr(meaning.sentence, "error:") &&
                                              !strstr(meaning.sentence, "errno"),
                                      "%s", meaning.sentence);
        }
}
END_TEST

START_TEST(a_port_that_is_silent_is_no_silent_host) {
        const struct transport_end end = {
                .code = CURLE_OPERATION_TIMEDOUT,
                .text = "Connection timed out after 20001 milliseconds",
                .is_connected = true,
        };
        const struct transport_meaning meaning = transport_explain(&end);

        ck_assert(meaning.cause == CAUSE_TIMEOUT);
        ck_assert_ptr_nonnull(strstr(meaning.sentence, "the connection was made"));
}
END_TEST

START_TEST(lookups_have_their_reasons) {
        static const int codes[] = { EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_NODATA, EAI_MEMORY };

        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                for (size_t k = 0; k < i; k++)
                        ck_assert_str_ne(transport_lookup_problem(codes[i]),
                                         transport_lookup_problem(codes[k]));
}
END_TEST

START_TEST(alerts_about_the_client_are_told_apart) {
        ck_assert_uint_eq(
                transport_alert(CURLE_RECV_ERROR, SSL "0A000418:SSL routines::tlsv1 alert unknown ca"),
                TLS_ALERT_UNKNOWN_CA);
        ck_assert_uint_eq(
                transport_alert(CURLE_RECV_ERROR, SSL "0A00041B:SSL routines::tlsv1 alert decrypt error"),
                TLS_ALERT_DECRYPT);
        ck_assert_uint_eq(transport_alert(CURLE_SSL_CLIENTCERT, ""), TLS_ALERT_REQUIRED);
        ck_assert_uint_eq(
                transport_alert(CURLE_PEER_FAILED_VERIFICATION, "SSL certificate verification failed"),
                TLS_ALERT_EXPIRED);
        ck_assert_uint_eq(transport_alert(CURLE_PEER_FAILED_VERIFICATION, PROBLEM "certificate has expired"),
                          0);
        ck_assert_uint_eq(
                transport_alert(CURLE_SSL_CONNECT_ERROR, SSL "0A00010B:SSL routines::wrong version"), 0);
        ck_assert_ptr_nonnull(transport_alert_meaning(TLS_ALERT_EXPIRED));
        ck_assert_ptr_nonnull(strstr(transport_alert_meaning(TLS_ALERT_DECRYPT), "was the CA rotated?"));
        ck_assert_ptr_null(transport_alert_meaning(0));
        ck_assert_ptr_null(transport_alert_meaning(80)); /* internal_error: not about the certificate */
}
END_TEST

TEST_MAIN("transport-error", texts_are_translated, a_port_that_is_silent_is_no_silent_host,
          lookups_have_their_reasons, alerts_about_the_client_are_told_apart)
