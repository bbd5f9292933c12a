/*
 * Texts of libcurl and OpenSSL are written for who has their sources: "error:0A00010B", "getpeername() failed
 * with errno 107". The first row that applies has what is meant. What is not in the table is shown as it
 * came: rather a strange text than a wrong one.
 */

#include "lib/protocol/transport-error.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#define ANY_CODE  ((CURLcode)-1)
#define CONNECTED (-1)

static const struct row {
        CURLcode code;
        int os_errno;         /* 0: any; CONNECTED: any, where TCP was connected */
        const char *fragment; /* of the text; NULL: any */
        enum cause cause;
        const char *sentence; /* NULL: the text, which is one of rekeyd's own */
} rows[] = {
        /* The name. */
        { CURLE_COULDNT_RESOLVE_PROXY, 0, NULL, CAUSE_PROXY, "the name of the proxy cannot be looked up" },
        { CURLE_COULDNT_RESOLVE_HOST, 0, NULL, CAUSE_DNS, NULL },

        /* The connection. */
        { CURLE_COULDNT_CONNECT, ECONNREFUSED, NULL, CAUSE_NO_LISTENER,
          "connection refused: no program listens at that port" },
        { CURLE_COULDNT_CONNECT, EHOSTUNREACH, NULL, CAUSE_UNREACHABLE, "no route to that host" },
        { CURLE_COULDNT_CONNECT, ENETUNREACH, NULL, CAUSE_UNREACHABLE,
          "the network is unreachable: this machine has no route to that address" },
        { CURLE_COULDNT_CONNECT, ETIMEDOUT, NULL, CAUSE_TIMEOUT,
          "the host does not answer; a firewall may drop the connection" },
        { CURLE_COULDNT_CONNECT, EACCES, NULL, CAUSE_UNREACHABLE,
          "this machine forbids the connection: its firewall, or IPAddressDeny= of the service" },
        { CURLE_COULDNT_CONNECT, EPERM, NULL, CAUSE_UNREACHABLE,
          "this machine forbids the connection: its firewall, or IPAddressDeny= of the service" },
        { CURLE_COULDNT_CONNECT, EAFNOSUPPORT, NULL, CAUSE_UNREACHABLE,
          "this machine has no address of the kind (IPv4 or IPv6) that the host has" },
        { CURLE_COULDNT_CONNECT, EADDRNOTAVAIL, NULL, CAUSE_UNREACHABLE,
          "this machine has no address from which it could call that host" },
        { CURLE_COULDNT_CONNECT, 0, NULL, CAUSE_UNREACHABLE, "no connection to that host and port" },
        { ANY_CODE, 0, "getpeername() failed", CAUSE_UNREACHABLE, "the connection ended while it was made" },
        { CURLE_OPERATION_TIMEDOUT, 0, "looked up", CAUSE_DNS, NULL },
        { CURLE_OPERATION_TIMEDOUT, 0, "Resolving timed out", CAUSE_DNS,
          "the lookup of the name took too long" },
        { CURLE_OPERATION_TIMEDOUT, 0, "SSL connection timeout", CAUSE_TIMEOUT,
          "the TLS handshake took too long" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Proxy CONNECT", CAUSE_TIMEOUT, "the proxy took too long to connect" },
        { CURLE_OPERATION_TIMEDOUT, CONNECTED, "Connection time", CAUSE_TIMEOUT,
          "the connection was made, but what listens at that port does not answer" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Connection timed out", CAUSE_TIMEOUT,
          "the host does not answer; a firewall may drop the connection" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Connection timeout", CAUSE_TIMEOUT,
          "the host does not answer; a firewall may drop the connection" },
        { CURLE_OPERATION_TIMEDOUT, 0, "Failed to connect", CAUSE_TIMEOUT,
          "the host does not answer; a firewall may drop the connection" },
        { CURLE_OPERATION_TIMEDOUT, 0, "with 0 bytes received", CAUSE_TIMEOUT,
          "no answer within the time that `timeout` allows" },
        { CURLE_OPERATION_TIMEDOUT, 0, NULL, CAUSE_TIMEOUT,
          "the answer was not complete within the time that `timeout` allows" },

        /* What the proxy answers. A status has a sentence of its own, where it is known. */
        { ANY_CODE, 0, "Proxy CONNECT aborted due to timeout", CAUSE_PROXY,
          "the proxy took too long to connect" },
        { ANY_CODE, 0, "Proxy CONNECT aborted", CAUSE_PROXY,
          "the proxy closed the connection without an answer" },
        { ANY_CODE, 0, "CONNECT tunnel failed, response 407", CAUSE_PROXY,
          "the proxy requires a user and a password, HTTP status 407" },
        { ANY_CODE, 0, "CONNECT tunnel failed, response 403", CAUSE_PROXY,
          "the proxy forbids a connection to that host and port, HTTP status 403" },
        { ANY_CODE, 0, "CONNECT tunnel failed, response 5", CAUSE_PROXY,
          "the proxy has no connection to that host and port" },
        { ANY_CODE, 0, "CONNECT tunnel failed", CAUSE_PROXY,
          "the proxy refuses a connection to that host and port" },
        { CURLE_PROXY, 0, "authentication method", CAUSE_PROXY,
          "the SOCKS proxy requires a user and a password" },
        { CURLE_PROXY, 0, "User was rejected", CAUSE_PROXY,
          "the SOCKS proxy does not accept the user or the password" },
        { CURLE_PROXY, 0, NULL, CAUSE_PROXY, "the SOCKS proxy refuses the connection" },

        /* The server's certificate. */
        { CURLE_PEER_FAILED_VERIFICATION, 0, "certificate has expired", CAUSE_SERVER_EXPIRED,
          "it has expired, or its CA has" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "certificate is not yet valid", CAUSE_CLOCK,
          "it is not valid yet by the clock of this machine" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "self-signed certificate in certificate chain", CAUSE_UNTRUSTED,
          "the root of its chain is not among the trusted CA certificates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "self-signed certificate", CAUSE_UNTRUSTED,
          "it is self-signed, and not among the trusted certificates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "unable to get local issuer certificate", CAUSE_UNTRUSTED,
          "its CA is not among the trusted CA certificates, or the server does not send its intermediates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "unable to get issuer certificate", CAUSE_UNTRUSTED,
          "the CA above its intermediates is not among the trusted CA certificates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "unable to verify the first certificate", CAUSE_UNTRUSTED,
          "the server does not send its intermediates" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "certificate signature failure", CAUSE_UNTRUSTED,
          "its signature is not that of the trusted CA with the same name" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "purpose", CAUSE_UNTRUSTED, "it is not one for servers" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "invalid CA certificate", CAUSE_UNTRUSTED,
          "a certificate of its chain should be a CA, but is not" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "key too weak", CAUSE_UNTRUSTED,
          "a key of its chain is shorter than this machine allows" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "md too weak", CAUSE_UNTRUSTED,
          "a signature of its chain uses a hash that this machine does not allow" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "certificate rejected", CAUSE_UNTRUSTED,
          "a key of its chain would take too long to verify, or is of a kind that is not accepted" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "chain too long", CAUSE_UNTRUSTED,
          "the server sends more certificates than a chain has" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, "match", CAUSE_SERVER_NAME, "it is for other host names" },
        { CURLE_PEER_FAILED_VERIFICATION, 0, NULL, CAUSE_UNTRUSTED, NULL },

        /* TLS. */
        { CURLE_SSL_CACERT_BADFILE, 0, NULL, CAUSE_TRUST_FILE,
          "the file cannot be read, or has no certificate in PEM" },
        { ANY_CODE, 0, "error:0A00010B", CAUSE_TLS,
          "the server does not speak TLS at that port" }, /* wrong version number */
        { ANY_CODE, 0, "error:0A000102", CAUSE_TLS,
          "the server has no version of TLS from 1.2 on" }, /* unsupported protocol */
        { ANY_CODE, 0, "error:0A00042E", CAUSE_TLS,
          "the server accepts neither TLS 1.2 nor TLS 1.3 (TLS alert 70)" }, /* protocol version */
        { ANY_CODE, 0, "error:0A000410", CAUSE_TLS,
          "the server refuses the TLS handshake (TLS alert 40)" }, /* handshake failure */
        { ANY_CODE, 0, "error:0A000438", CAUSE_TLS,
          "the server reports an internal error in TLS (TLS alert 80)" }, /* internal error */
        { ANY_CODE, 0, "error:0A000458", CAUSE_SERVER_NAME,
          "the server does not know that host name (TLS alert 112)" }, /* unrecognized name */
        { ANY_CODE, 0, "error:0A00042F", CAUSE_TLS,
          "the server requires stronger ciphers (TLS alert 71)" }, /* insufficient security */
        { ANY_CODE, 0, "error:0A000460", CAUSE_TLS,
          "the server has no common application protocol (TLS alert 120)" }, /* no application protocol */
        { ANY_CODE, 0, "error:0A00018A", CAUSE_TLS,
          "the server's Diffie-Hellman key is shorter than this machine allows" }, /* dh key too small */
        { ANY_CODE, 0, "error:0A000152", CAUSE_TLS,
          "the server cannot renegotiate safely (RFC 5746)" }, /* unsafe legacy renegotiation disabled */
        { ANY_CODE, 0, "error:0A000126", CAUSE_NONE,
          "the server closed the connection without an answer" }, /* unexpected eof while reading */
        { CURLE_SSL_CONNECT_ERROR, 0, "SSL_ERROR_SYSCALL", CAUSE_TLS,
          "the connection ended during the TLS handshake" },
        { CURLE_SSL_CONNECT_ERROR, ECONNRESET, NULL, CAUSE_TLS,
          "the connection was reset during the TLS handshake" },

        /* What came back. */
        { ANY_CODE, 0, "Connection reset by peer", CAUSE_NONE,
          "the connection was reset before the answer was complete" },
        { ANY_CODE, 0, "Broken pipe", CAUSE_NONE, "the connection ended while the call was sent" },
        { CURLE_GOT_NOTHING, 0, NULL, CAUSE_NONE, "the connection ended without an answer" },
        { CURLE_SEND_FAIL_REWIND, 0, NULL, CAUSE_NONE, "the connection ended without an answer" },
        { CURLE_PARTIAL_FILE, 0, NULL, CAUSE_NONE, "the connection ended in the middle of the answer" },
        { CURLE_HTTP2, 0, NULL, CAUSE_NONE, "the server broke the rules of HTTP/2" },
        { CURLE_HTTP2_STREAM, 0, NULL, CAUSE_NONE, "the server cancelled the call" },
        { CURLE_WEIRD_SERVER_REPLY, 0, NULL, CAUSE_URL, "what answers there does not speak HTTP" },
        { CURLE_UNSUPPORTED_PROTOCOL, 0, "Received HTTP/0.9", CAUSE_URL,
          "what answers there does not speak HTTP" },
};

const char *transport_lookup_problem(int code) {
        switch (code) {
        case EAI_NONAME:
                return "no name server knows it";
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
                return "it has no address";
        case EAI_AGAIN:
                return "no name server has answered";
        case EAI_FAIL:
                return "the name server reports a failure";
        default:
                return gai_strerror(code);
        }
}

static bool applies(const struct row *row, const struct transport_end *end) {
        return (row->code == ANY_CODE || row->code == end->code) &&
               (row->os_errno == 0 || row->os_errno == end->os_errno ||
                (row->os_errno == CONNECTED && end->is_connected)) &&
               (!row->fragment || strstr(end->text, row->fragment));
}

struct transport_meaning transport_explain(const struct transport_end *end) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (applies(&rows[i], end))
                        return (struct transport_meaning) {
                                .cause = rows[i].cause,
                                .sentence = rows[i].sentence ? rows[i].sentence : end->text,
                                .is_translated = rows[i].sentence,
                        };
        return (struct transport_meaning) { .sentence = end->text };
}

/* --- Alerts --- */

const char *transport_alert_meaning(unsigned alert) {
        switch (alert) {
        case 40: /* handshake_failure: what TLS 1.2 servers send when there is no certificate */
                return "the handshake failed (TLS alert 40), which is also how a server answers that has "
                       "neither "
                       "TLS 1.3 nor ECDHE";
        case 42: /* bad_certificate */
                return "it is damaged, or a signature is wrong (TLS alert 42)";
        case 43: /* unsupported_certificate */
                return "its type is not supported there (TLS alert 43)";
        case 44: /* certificate_revoked */
                return "it is revoked (TLS alert 44)";
        case TLS_ALERT_EXPIRED:
                return "it has expired (TLS alert 45)";
        case 46: /* certificate_unknown */
                return "the reason is unknown (TLS alert 46)";
        case TLS_ALERT_UNKNOWN_CA:
                return "its CA is not trusted there (TLS alert 48); was the CA rotated?";
        case 49: /* access_denied */
                return "access is denied (TLS alert 49)";
        case TLS_ALERT_DECRYPT: /* OpenSSL and BoringSSL, where the CA has the name of another one */
                return "its signature is not that of the CA which is trusted there by the same name "
                       "(TLS alert 51); was the CA rotated?";
        case TLS_ALERT_REQUIRED:
                return "it was not presented (TLS alert 116)";
        default:
                return NULL;
        }
}

static unsigned alert_in_text(const char *text) {
        const char *p = strstr(text, "error:0A");
        unsigned reason;

        if (!p || sscanf(p, "error:0A%6x", &reason) != 1)
                return 0;
        return reason > 1000 && reason < 1256 ? reason - 1000 : 0;
}

/* libcurl 7.88 folds two into texts of its own (lib/vtls/openssl.c, ossl_connect_step2): alert 45 into the
 * code for a bad server certificate, but without a verify result to name; and alert 116 into a code. */
unsigned transport_alert(CURLcode code, const char *text) {
        if (code == CURLE_SSL_CLIENTCERT)
                return TLS_ALERT_REQUIRED;
        if (code == CURLE_PEER_FAILED_VERIFICATION && streq(text, "SSL certificate verification failed"))
                return TLS_ALERT_EXPIRED;
        return alert_in_text(text);
}
