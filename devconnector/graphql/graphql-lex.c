/*
 * GraphQL text into tokens. Positions are counted as gqlparser counts them, in characters and not in bytes,
 * and an invalid token stands at the character that made it invalid: a raw newline inside a literal is
 * reported in the column of the newline, which is how a client author finds his unwrapped base64. There is no
 * message for what is wrong inside a token, since the real server loses it too.
 */

#include "devconnector/graphql/graphql-ast.h"

const char *const graphql_token_names[TOKEN_MAX] = {
        [TOKEN_INVALID] = "<Invalid>",
        [TOKEN_EOF] = "<EOF>",
        [TOKEN_BANG] = "!",
        [TOKEN_DOLLAR] = "$",
        [TOKEN_AMP] = "&",
        [TOKEN_PAREN_L] = "(",
        [TOKEN_PAREN_R] = ")",
        [TOKEN_SPREAD] = "...",
        [TOKEN_COLON] = ":",
        [TOKEN_EQUALS] = "=",
        [TOKEN_AT] = "@",
        [TOKEN_BRACKET_L] = "[",
        [TOKEN_BRACKET_R] = "]",
        [TOKEN_BRACE_L] = "{",
        [TOKEN_BRACE_R] = "}",
        [TOKEN_PIPE] = "|",
        [TOKEN_NAME] = "Name",
        [TOKEN_INT] = "Int",
        [TOKEN_FLOAT] = "Float",
        [TOKEN_STRING] = "String",
        [TOKEN_BLOCK_STRING] = "BlockString",
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The byte at DISTANCE, or NUL past the end: a NUL in the text is invalid everywhere, so the two need not
 * differ. */
static char peek(const struct graphql_lexer *lexer, size_t distance) {
        return distance < lexer->size - lexer->at ? lexer->text[lexer->at + distance] : '\0';
}

static void advance(struct graphql_lexer *lexer, size_t n) {
        for (; n > 0 && lexer->at < lexer->size; n--) {
                char c = lexer->text[lexer->at++];

                if (c == '\n' || (c == '\r' && peek(lexer, 0) != '\n')) {
                        lexer->position.line++;
                        lexer->position.column = 1;
                } else if (((unsigned char)c & 0xc0) != 0x80) /* not a later byte of a UTF-8 sequence */
                        lexer->position.column++;
        }
}

static void skip_ignored(struct graphql_lexer *lexer) {
        while (lexer->at < lexer->size) {
                char c = peek(lexer, 0);

                if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',')
                        advance(lexer, 1);
                else if (c == '#')
                        while (lexer->at < lexer->size && peek(lexer, 0) != '\n' && peek(lexer, 0) != '\r')
                                advance(lexer, 1);
                else if (c == '\xef' && peek(lexer, 1) == '\xbb' && peek(lexer, 2) == '\xbf')
                        advance(lexer, 3); /* a byte order mark */
                else
                        return;
        }
}

static struct graphql_token invalid(struct graphql_lexer *lexer) {
        return (struct graphql_token) { .kind = TOKEN_INVALID, .position = lexer->position, .text = "" };
}

static struct graphql_token with_text(struct graphql_lexer *lexer, enum graphql_token_kind kind,
                                      struct graphql_position position, const char *text, size_t size) {
        char *copy = arena_strndup(lexer->arena, text, size);

        if (!copy) {
                lexer->out_of_memory = true;
                return invalid(lexer);
        }
        return (struct graphql_token) { .kind = kind, .position = position, .text = copy, .size = size };
}

static struct graphql_token lex_name(struct graphql_lexer *lexer) {
        struct graphql_position start = lexer->position;
        const char *text = lexer->text + lexer->at;
        size_t size = 0;

        while (is_name_start(peek(lexer, size)) || is_digit(peek(lexer, size)))
                size++;
        advance(lexer, size);
        return with_text(lexer, TOKEN_NAME, start, text, size);
}

static bool skip_digits(struct graphql_lexer *lexer) {
        if (!is_digit(peek(lexer, 0)))
                return false;
        while (is_digit(peek(lexer, 0)))
                advance(lexer, 1);
        return true;
}

static struct graphql_token lex_number(struct graphql_lexer *lexer) {
        struct graphql_position start = lexer->position;
        size_t from = lexer->at;
        enum graphql_token_kind kind = TOKEN_INT;

        if (peek(lexer, 0) == '-')
                advance(lexer, 1);
        if (peek(lexer, 0) == '0') {
                advance(lexer, 1);
                if (is_digit(peek(lexer, 0)))
                        return invalid(lexer);
        } else if (!skip_digits(lexer))
                return invalid(lexer);

        if (peek(lexer, 0) == '.') {
                kind = TOKEN_FLOAT;
                advance(lexer, 1);
                if (!skip_digits(lexer))
                        return invalid(lexer);
        }
        if (peek(lexer, 0) == 'e' || peek(lexer, 0) == 'E') {
                kind = TOKEN_FLOAT;
                advance(lexer, 1);
                if (peek(lexer, 0) == '+' || peek(lexer, 0) == '-')
                        advance(lexer, 1);
                if (!skip_digits(lexer))
                        return invalid(lexer);
        }
        return with_text(lexer, kind, start, lexer->text + from, lexer->at - from);
}

static int hex_value(char c) {
        if (is_digit(c))
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* The four digits after "\u"; false where there are fewer. */
static bool hex4(const struct graphql_lexer *lexer, size_t distance, unsigned *ret) {
        unsigned code = 0;

        for (size_t i = 0; i < 4; i++) {
                int digit = hex_value(peek(lexer, distance + i));

                if (digit < 0)
                        return false;
                code = code << 4 | (unsigned)digit;
        }
        *ret = code;
        return true;
}

/* At most three bytes: an escape names one UTF-16 unit, and half of a surrogate pair is no character. */
static size_t put_utf8(char *out, unsigned code) {
        if (code >= 0xd800 && code <= 0xdfff)
                code = 0xfffd;
        if (code < 0x80) {
                out[0] = (char)code;
                return 1;
        }
        if (code < 0x800) {
                out[0] = (char)(0xc0 | code >> 6);
                out[1] = (char)(0x80 | (code & 0x3f));
                return 2;
        }
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
}

/* What \C means, or NUL. */
static char unescape(char c) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *found = c ? strchr(from, c) : NULL;

        return found ? to[found - from] : '\0';
}

static struct graphql_token lex_string(struct graphql_lexer *lexer) {
        struct graphql_position start = lexer->position;
        const char *quote = lexer->text + lexer->at + 1, *end = lexer->text + lexer->size;
        size_t n = 0;
        char *out;

        /* The value is never longer than its text. */
        while (quote < end && *quote != '"' && *quote != '\n')
                quote += *quote == '\\' && quote + 1 < end ? 2 : 1;
        out = arena_alloc(lexer->arena, (size_t)(quote - (lexer->text + lexer->at)) + 1);
        if (!out) {
                lexer->out_of_memory = true;
                return invalid(lexer);
        }

        advance(lexer, 1);
        for (;;) {
                char c = peek(lexer, 0);
                unsigned code;

                if (c == '"') {
                        advance(lexer, 1);
                        return (struct graphql_token) { TOKEN_STRING, start, out, n };
                }
                if ((unsigned char)c < 0x20 &&
                    c != '\t') /* the end, a newline or another control character */
                        return invalid(lexer);
                if (c != '\\') {
                        out[n++] = c;
                        advance(lexer, 1);
                } else if (peek(lexer, 1) == 'u') {
                        if (!hex4(lexer, 2, &code)) {
                                advance(lexer, 1);
                                return invalid(lexer);
                        }
                        n += put_utf8(out + n, code);
                        advance(lexer, 6);
                } else {
                        c = unescape(peek(lexer, 1));
                        if (!c) {
                                advance(lexer, 1);
                                return invalid(lexer);
                        }
                        out[n++] = c;
                        advance(lexer, 2);
                }
        }
}

static size_t leading_blanks(const char *line, size_t size) {
        size_t n = 0;

        while (n < size && (line[n] == ' ' || line[n] == '\t'))
                n++;
        return n;
}

/* The value of a block string: without the common indentation and without blank lines at either end. In
 * place. */
static size_t strip_indentation(char *text, size_t size) {
        size_t common = SIZE_MAX, out = 0, content_end = 0;
        bool first = true, started = false;

        for (size_t at = 0, next; at <= size; at = next) {
                const char *newline = memchr(text + at, '\n', size - at);
                size_t length = (newline ? (size_t)(newline - text) : size) - at;
                size_t blanks = leading_blanks(text + at, length);

                if (!first && blanks < length && blanks < common)
                        common = blanks;
                first = false;
                next = at + length + 1;
        }

        first = true;
        for (size_t at = 0, next; at <= size; at = next) {
                const char *newline = memchr(text + at, '\n', size - at);
                size_t length = (newline ? (size_t)(newline - text) : size) - at;
                bool blank = leading_blanks(text + at, length) == length;
                size_t cut = first || common == SIZE_MAX ? 0 : (common < length ? common : length);

                next = at + length + 1;
                first = false;
                if (blank && !started)
                        continue;
                if (started)
                        text[out++] = '\n';
                started = true;
                memmove(text + out, text + at + cut, length - cut);
                out += length - cut;
                if (!blank)
                        content_end = out;
        }
        text[content_end] = '\0';
        return content_end;
}

static struct graphql_token lex_block_string(struct graphql_lexer *lexer) {
        struct graphql_position start = lexer->position;
        char *out = arena_alloc(lexer->arena, lexer->size - lexer->at + 1);
        size_t n = 0;

        if (!out) {
                lexer->out_of_memory = true;
                return invalid(lexer);
        }

        advance(lexer, 3);
        for (;;) {
                char c = peek(lexer, 0);

                if (c == '"' && peek(lexer, 1) == '"' && peek(lexer, 2) == '"') {
                        advance(lexer, 3);
                        return (struct graphql_token) { TOKEN_BLOCK_STRING, start, out,
                                                        strip_indentation(out, n) };
                }
                if ((unsigned char)c < 0x20 && c != '\t' && c != '\n' && c != '\r')
                        return invalid(lexer);
                if (c == '\\' && peek(lexer, 1) == '"' && peek(lexer, 2) == '"' && peek(lexer, 3) == '"') {
                        memcpy(out + n, "\"\"\"", 3);
                        n += 3;
                        advance(lexer, 4);
                } else if (c == '\r') {
                        out[n++] = '\n';
                        advance(lexer, peek(lexer, 1) == '\n' ? 2 : 1);
                } else {
                        out[n++] = c;
                        advance(lexer, 1);
                }
        }
}

struct graphql_token graphql_lex(struct graphql_lexer *lexer) {
        static const struct {
                char c;
                enum graphql_token_kind kind;
        } marks[] = {
                { '!', TOKEN_BANG },      { '$', TOKEN_DOLLAR },  { '&', TOKEN_AMP },
                { '(', TOKEN_PAREN_L },   { ')', TOKEN_PAREN_R }, { ':', TOKEN_COLON },
                { '=', TOKEN_EQUALS },    { '@', TOKEN_AT },      { '[', TOKEN_BRACKET_L },
                { ']', TOKEN_BRACKET_R }, { '{', TOKEN_BRACE_L }, { '}', TOKEN_BRACE_R },
                { '|', TOKEN_PIPE },
        };
        struct graphql_token token = { .text = "" };
        char c;

        skip_ignored(lexer);
        token.position = lexer->position;
        if (lexer->at == lexer->size) {
                token.kind = TOKEN_EOF;
                return token;
        }

        c = peek(lexer, 0);
        for (size_t i = 0; i < ELEMENTSOF(marks); i++)
                if (marks[i].c == c) {
                        advance(lexer, 1);
                        token.kind = marks[i].kind;
                        return token;
                }
        if (c == '.' && peek(lexer, 1) == '.' && peek(lexer, 2) == '.') {
                advance(lexer, 3);
                token.kind = TOKEN_SPREAD;
                return token;
        }
        if (is_name_start(c))
                return lex_name(lexer);
        if (is_digit(c) || c == '-')
                return lex_number(lexer);
        if (c == '"')
                return peek(lexer, 1) == '"' && peek(lexer, 2) == '"' ? lex_block_string(lexer)
                                                                      : lex_string(lexer);
        return invalid(lexer);
}
