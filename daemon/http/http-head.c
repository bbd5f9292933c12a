/*
 * What a client may send before its body. libmicrohttpd has a reader of its own, a lenient one: it takes the
 * first of two lengths, folds lines, leaves "%zz" as it is and ends a path at %00. Here all of that is an
 * error with a sentence, before libmicrohttpd sees a byte; what passes is what it cannot misunderstand and
 * has room for, so that no page of its own making is ever sent.
 *
 * Refused: lines that do not end with CRLF, control characters, folded lines, bodies without a length
 * (chunked ones as well: bodies here are short), targets that are no path, an encoded "/", and more lines,
 * cookies or parameters than there is room for. "." and ".." are names like others: no file is opened by a
 * path.
 */

#include "daemon/http/http-head.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "lib/util/utf8.h"

#define MALFORMED 400
#define NO_LENGTH 411
#define TOO_LARGE 413

#define REFUSE(status, reason)          \
        ({                              \
                *ret_reason = (reason); \
                (status);               \
        })

size_t http_head_size(const char *data, size_t size) {
        const char *end = data + size;

        for (const char *p = data; (p = memchr(p, '\n', (size_t)(end - p)));) {
                p++;
                if (p < end && *p == '\n')
                        return (size_t)(p + 1 - data);
                if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
                        return (size_t)(p + 2 - data);
        }
        return 0;
}

/* What a method and the name of a header consist of (RFC 9110, 5.6.2). */
static bool is_token(const char *text) {
        if (!*text)
                return false;
        for (; *text; text++)
                if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
                        return false;
        return true;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes TEXT in place. */
static bool decode(char *text, bool is_query) {
        char *to = text;

        for (const char *from = text; *from; from++) {
                int high, low;

                if (*from == '+' && is_query) {
                        *to++ = ' ';
                        continue;
                }
                if (*from != '%') {
                        *to++ = *from;
                        continue;
                }
                high = hex_digit(from[1]);
                low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0)
                        return false;
                *to = (char)(high << 4 | low);
                if ((unsigned char)*to < ' ' || *to == 0x7f || (*to == '/' && !is_query))
                        return false;
                to++;
                from += 2;
        }
        *to = '\0';

        for (const char *p = text; *p;) {
                size_t n = utf8_size(p, UTF8_STRING);

                if (n == 0)
                        return false;
                p += n;
        }
        return true;
}

static int parse_target(char *target, struct http_head *head, const char **ret_reason) {
        char *query = strchr(target, '?'), *next;

        if (target[0] != '/')
                return REFUSE(MALFORMED, "the target of the request must be a path that begins with '/'");
        if (query)
                *query++ = '\0';
        if (!decode(target, false))
                return REFUSE(MALFORMED, "the path of the request must be UTF-8, with %XX as two hexadecimal "
                                         "digits for no '/' and no control character");
        head->path = target;

        for (; query; query = next) {
                char *value;

                next = strchr(query, '&');
                if (next)
                        *next++ = '\0';
                if (!*query)
                        continue;
                value = strchr(query, '=');
                if (value)
                        *value++ = '\0';
                if (head->n_query == ELEMENTSOF(head->query))
                        return REFUSE(TOO_LARGE, "the query of the request has more than 32 parameters");
                if (!decode(query, true) || (value && !decode(value, true)))
                        return REFUSE(MALFORMED, "the query of the request must be UTF-8, with %XX as two "
                                                 "hexadecimal digits for no control character");
                head->query[head->n_query++] = (struct http_parameter) { query, value ? value : "" };
        }
        return 0;
}

static int parse_request_line(char *line, struct http_head *head, const char **ret_reason) {
        char *target = strchr(line, ' '), *version;

        if (target)
                *target++ = '\0';
        version = target ? strchr(target, ' ') : NULL;
        if (version)
                *version++ = '\0';
        if (!version || !is_token(line) || (!streq(version, "HTTP/1.1") && !streq(version, "HTTP/1.0")))
                return REFUSE(MALFORMED, "the first line of the request must be a method, a path and "
                                         "HTTP/1.1 or HTTP/1.0, with one space between them");
        head->method = line;
        return parse_target(target, head, ret_reason);
}

struct header_counts {
        unsigned lines, lengths, cookies;
};

static int parse_header(char *line, struct http_head *head, struct header_counts *counts,
                        const char **ret_reason) {
        char *value = strchr(line, ':');

        if (++counts->lines > HTTP_HEADERS_MAX)
                return REFUSE(TOO_LARGE, "the request has more than 64 header lines");
        if (!value)
                return REFUSE(MALFORMED, "a header line of the request has no ':'");
        *value++ = '\0';
        if (!is_token(line))
                return REFUSE(MALFORMED, "a header line of the request does not begin with a name and ':'");
        value += strspn(value, " \t");

        if (strcasecmp(line, "Content-Length") == 0) {
                if (++counts->lengths > 1)
                        return REFUSE(MALFORMED, "the request has two Content-Length");
                if (!*value || strspn(value, "0123456789") != strlen(value))
                        return REFUSE(MALFORMED, "the Content-Length of the request is not a number, or has "
                                                 "something after it");
                if (strlen(value) > strlen("999999999999999999"))
                        return REFUSE(TOO_LARGE, "the body of the request is too large");
                head->body_size = strtoull(value, NULL, 10);
        } else if (strcasecmp(line, "Transfer-Encoding") == 0)
                return REFUSE(NO_LENGTH,
                              "the body of the request must come with its Content-Length, not in chunks");
        else if (strcasecmp(line, "Cookie") == 0)
                for (counts->cookies++; *value; value++)
                        counts->cookies += *value == ';' || *value == ',';
        if (counts->cookies > HTTP_COOKIES_MAX)
                return REFUSE(TOO_LARGE, "the request has more than 64 cookies");
        return 0;
}

/* The line at *POSITION without its end, which must be CRLF. NULL where it is not, or says what no line may.
 */
static char *next_line(char **position) {
        char *line = *position, *end = strchr(line, '\n'); /* not there where a NUL is in between */

        if (!end || end == line || end[-1] != '\r')
                return NULL;
        end[-1] = '\0';
        *position = end + 1;
        for (const char *p = line; *p; p++)
                if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
                        return NULL;
        return strlen(line) == (size_t)(end - 1 - line) ? line : NULL;
}

int http_head_parse(const char *data, size_t size, struct http_head *ret, const char **ret_reason) {
        _cleanup_(http_head_clear) struct http_head head = {};
        struct header_counts counts = {};
        char *position;
        int r;

        head.text = malloc(size + 1);
        if (!head.text)
                return -ENOMEM;
        position = mempcpy(head.text, data, size);
        *position = '\0';

        position = head.text;
        for (bool is_first = true;; is_first = false) {
                char *line = next_line(&position);

                if (!line)
                        return REFUSE(MALFORMED, "each line of the head of a request must end with CRLF, and "
                                                 "have no control characters before it");
                if (!is_first && !*line)
                        break;
                r = is_first ? parse_request_line(line, &head, ret_reason)
                             : parse_header(line, &head, &counts, ret_reason);
                if (r != 0)
                        return r;
        }

        *ret = head;
        head.text = NULL;
        return 0;
}

void http_head_clear(struct http_head *head) {
        free(head->text);
        *head = (struct http_head) {};
}
