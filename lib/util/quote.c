#include "lib/util/quote.h"

#include "lib/util/utf8.h"

struct quote quote_make(const char *text) {
        struct quote quote = { 0 };
        size_t size = 0;

        if (!text)
                text = "?";
        while (text[size]) {
                size_t n = utf8_size(text + size, UTF8_STRING);

                if (n == 0)
                        n = 1; /* of no character */
                if (size + n > QUOTE_MAX)
                        break;
                size += n;
        }
        memcpy(quote.text, text, size);
        strcpy(quote.text + size, text[size] ? "..." : "");
        return quote;
}
