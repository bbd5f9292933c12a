/*
 * Between rekeyd and the Connector there may be proxies, login pages and gateways with ideas of their own.
 * What they send is not JSON, and "the syntax is wrong at line 1" sends nobody to the right place.
 */

#include "lib/protocol/body.h"

#include "lib/util/macro.h"
#include "lib/util/utf8.h"

#define BLANKS " \t\r\n"

static bool begins_with(const char *body, size_t size, const char *text) {
        return size >= strlen(text) && strncasecmp(body, text, strlen(text)) == 0;
}

static size_t skip_blanks(const char *body, size_t size) {
        size_t at = utf8_mark_size(body, size);

        while (at < size && body[at] && strchr(BLANKS, body[at]))
                at++;
        return at;
}

bool body_is_html(const char *body, size_t size) {
        static const char *const beginnings[] = { "<!doctype html", "<html", "<head", "<body", "<!--" };
        size_t at = skip_blanks(body, size);

        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++)
                if (begins_with(body + at, size - at, beginnings[i]))
                        return true;
        return false;
}

/* A mark, or every second byte of what begins like an object is NUL. */
static bool is_utf16(const char *body, size_t size) {
        return size >= 2 && (memcmp(body, "\xff\xfe", 2) == 0 || memcmp(body, "\xfe\xff", 2) == 0 ||
                             memcmp(body, "{\0", 2) == 0 || memcmp(body, "\0{", 2) == 0);
}

static bool is_all_blank(const char *body, size_t size) {
        return skip_blanks(body, size) == size;
}

const char *body_kind(const char *body, size_t size) {
        static const struct {
                const char *magic;
                size_t size;
                const char *kind;
        } compressed[] = {
                { "\x1f\x8b", 2, "compressed (gzip), which rekeyd did not request" },
                { "\x28\xb5\x2f\xfd", 4, "compressed (zstd), which rekeyd did not request" },
        };
        size_t at = skip_blanks(body, size);

        if (is_all_blank(body, size))
                return "empty";
        for (size_t i = 0; i < ELEMENTSOF(compressed); i++)
                if (size >= compressed[i].size && memcmp(body, compressed[i].magic, compressed[i].size) == 0)
                        return compressed[i].kind;
        if (is_utf16(body, size))
                return "UTF-16, while JSON is UTF-8";
        if (body_is_html(body, size))
                return "an HTML page: a proxy or a login page answers instead of the Connector";
        return begins_with(body + at, size - at, "<") ? "XML or the like" : NULL;
}
