#pragma once

/* What libcurl and OpenSSL say of a call that failed, in words for an operator. Of libcurl only its codes are
 * needed here: nothing of it is linked. */

#include <curl/curl.h>

#include "lib/life/cause.h"

/* Part of how a call ended: libcurl's code and text, the errno of its last system call, 0 for none, and
 * whether TCP was connected. */
struct transport_end {
        CURLcode code;
        const char *text;
        int os_errno;
        bool is_connected;
};

struct transport_meaning {
        enum cause cause;
        const char
                *sentence;  /* follows "failed: "; static, or the text itself where there is no better one */
        bool is_translated; /* SENTENCE is not the text: that is for the log of who searches */
};

/* Pure. The texts are those of libcurl 7.88 and OpenSSL 3.0. */
struct transport_meaning transport_explain(const struct transport_end *end);

/* What a lookup has come to that ended with CODE of getaddrinfo(3); follows "cannot be looked up: ". Static.
 */
const char *transport_lookup_problem(int code);

/* TLS alerts with a meaning of their own here. */
enum { TLS_ALERT_EXPIRED = 45, TLS_ALERT_UNKNOWN_CA = 48, TLS_ALERT_DECRYPT = 51, TLS_ALERT_REQUIRED = 116 };

/* The alert of the server that has ended the call, or 0. Pure. */
unsigned transport_alert(CURLcode code, const char *text);

/* RFC 8446 section 6.2 and RFC 5246 section 7.2.2: alerts by which a server refuses a client certificate, in
 * words that follow "does not accept the client certificate: ". NULL for all others. */
const char *transport_alert_meaning(unsigned alert);
