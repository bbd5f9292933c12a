/* The reader of YAML and the walk along a table: what they refuse, and how much they take. */

#include <stdio.h>

#include "lib/util/time.h"
#include "tests/test.h"
#include "tests/unit/config/yaml-thing.h"

static void check_errors(const char *text, const char *errors) {
        _cleanup_(result_clear) struct result result = { 0 };

        read_text(&result, text);
        ck_assert_msg(streq(result.errors, errors), "for:\n%s\nexpected:\n%sfound:\n%s", text, errors,
                      result.errors);
}

START_TEST(documents_refused) {
        static const struct {
                const char *text, *errors;
        } rows[] = {
                { "[a, b]\n",
                  "a:1:1: expected a mapping of options, such as 'certificates:', found a list\n" },
                { "text\n",
                  "a:1:1: expected a mapping of options, such as 'certificates:', found a single value\n" },
                { "text: a\n---\ntext: b\n",
                  "a:2:1: a second YAML document begins here, and a file has only one; remove "
                  "the '---', or make what follows a file of its own in conf.d\n" },
                /* What the first document has is looked at all the same. */
                { "nmuber: 3\n---\n",
                  "a:1:1: unknown option 'nmuber'; did you mean 'number'?\n"
                  "a:2:1: a second YAML document begins here, and a file has only one; remove "
                  "the '---', or make what follows a file of its own in conf.d\n" },
                { "text: !!str x\n", "a:1:7: the YAML tag 'tag:yaml.org,2002:str' is not accepted; each "
                                     "option has its one type, so leave "
                                     "the tag out\n" },
                { "text: ! x\n", "a:1:7: the YAML tag '!' is not accepted; each option has its one type, so "
                                 "leave the tag out\n" },
                { "argv: !mine [x]\n", "a:1:7: the YAML tag '!mine' is not accepted; each option has its one "
                                       "type, so leave the tag out\n" },
                { "table: !!map {}\n", "a:1:8: the YAML tag 'tag:yaml.org,2002:map' is not accepted; each "
                                       "option has its one type, so leave "
                                       "the tag out\n" },
                { "text: *no\n", "a:1:7: this alias has no anchor '&no' above it\n" },
                { "items: &i\n  x: *i\n",
                  "a:2:6: the alias '*i' is inside its own anchor, which would never end\n" },
                { "&a [*a]\n", "a:1:5: the alias '*a' is inside its own anchor, which would never end\n" },
                { "text: \"a\\0b\"\n",
                  "a:1:7: the text contains a NUL character, which no option accepts; remove the \\0\n" },
                { "table:\n\tnested: 1\n",
                  "a:2:1: not valid YAML: found character that cannot start any token, while scanning for "
                  "the next "
                  "token that begins in line 2; indent with blanks instead of a tab\n" },
                { "text: a: b\n", "a:1:8: not valid YAML: mapping values are not allowed in this context; "
                                  "look for an extra ':', or a line that is indented too far\n" },
                { "argv: [a\n",
                  "a:2:1: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence "
                  "that begins in line 1\n" },
                { "number: 3\ntext: \"a\n",
                  "a:3:1: not valid YAML: found unexpected end of stream, while scanning a "
                  "quoted scalar that begins in line 2\n" },
                { "text: \xff\n", "a:1:7: the byte 0xff is not valid UTF-8 here; save the file as UTF-8\n" },
                { "# M\xc3\xbcller\ntext: \xc3\xbc\xc3(\n",
                  "a:2:8: the byte 0xc3 is not valid UTF-8 here; save the file as UTF-8\n" },
                { "# \xc3\xbc\xef\xbf\xbf\n", "a:1:4: the control character U+FFFF is not text; remove it, "
                                              "or write it as an escape in double quotes\n" },
                { "text: a\n# \x01\n", "a:2:3: the control character U+0001 is not text; remove it, or write "
                                       "it as an escape in double quotes\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_errors(rows[i].text, rows[i].errors);
}
END_TEST

START_TEST(nul_bytes_refused) {
        static const char text[] = "number: 3\ntext: a\0b\n";
        _cleanup_(result_clear) struct result result = { 0 };

        read_texts(&result, &(struct text) { text, sizeof(text) - 1 }, 1);
        ck_assert_str_eq(result.errors, "a:2:8: a NUL byte is not text; is this a YAML file?\n");
}
END_TEST

#define KNOWN                                                                                            \
        "text, path, url, duration, share, number, auto_number, parent, word, mode, flag, user, group, " \
        "argv, letters, "                                                                                \
        "table and items"

START_TEST(structure_refused) {
        static const struct {
                const char *text, *errors;
        } rows[] = {
                { "nubmer: 3\n", "a:1:1: unknown option 'nubmer'; did you mean 'number'?\n" },
                { "xyzzy: 3\n", "a:1:1: unknown option 'xyzzy'; what is known here: " KNOWN "\n" },
                { "table:\n  nest: 1\n", "a:2:3: unknown option 'nest'; did you mean 'nested'?\n" },
                { "items:\n  a: &a {text: x}\n  b:\n    <<: *a\n",
                  "a:4:5: merge keys ('<<') are not supported; settings that certificates share belong under "
                  "'defaults'\n" },
                { "text: a\nnumber: 3\ntext: b\n", "a:3:1: 'text' is given twice; the first is in line 1\n" },
                { "items:\n  a: {}\n  b: {}\n  a: {}\n",
                  "a:4:3: item 'a' is defined twice; the first is in line 2\n" },
                { "text: [a]\n", "a:1:7: 'text': expected a single value, found a list\n" },
                { "text: {a: b}\n", "a:1:7: 'text': expected a single value, found a mapping\n" },
                { "argv: a\n", "a:1:7: 'argv': expected a list, found a single value\n" },
                { "argv: []\n", "a:1:7: 'argv' is an empty list; it needs at least one entry\n" },
                { "letters: b\n", "a:1:10: 'letters': expected a list, found a single value\n" },
                { "letters: []\n",
                  "a:1:10: 'letters' has 0 entries; it needs at least one, and 3 are the most\n" },
                { "letters: [a, b, c, a]\n",
                  "a:1:10: 'letters' has 4 entries; it needs at least one, and 3 are the most\n" },
                { "letters: [a, d, ~, {}]\n",
                  "a:1:10: 'letters' has 4 entries; it needs at least one, and 3 are the most\n" },
                { "letters: [a, d, [b]]\n", "a:1:14: 'letters' must be a list of a, b or c, without 'd'\n"
                                            "a:1:17: 'letters': expected a single value, found a list\n" },
                { "letters: [a, ~]\n", "a:1:14: 'letters' has no value; set one, or remove the line\n" },
                { "argv: [a, [b]]\n", "a:1:11: 'argv': expected a single value, found a list\n" },
                { "argv: [a, ~]\n", "a:1:11: 'argv' has no value; set one, or remove the line\n" },
                { "table: [a]\n", "a:1:8: 'table': expected a mapping, found a list\n" },
                { "items:\n  - a\n", "a:2:3: 'items': expected a mapping, found a list\n" },
                { "items: {a: [b]}\n", "a:1:12: 'a': expected a mapping, found a list\n" },
                { "items: {a: {parts: {number: 1}}}\n",
                  "a:1:20: 'parts': expected a list, found a mapping\n" },
                { "items: {a: {parts: [1]}}\n",
                  "a:1:21: 'parts': expected a mapping, found a single value\n" },
                { "items: {a: {parts: [{}]}}\n", "a:1:21: the part lacks 'number', a digit\n" },
                { "[a]: b\n", "a:1:1: expected a name before the ':', found a list\n" },
                { "{a: b}: c\n", "a:1:1: expected a name before the ':', found a mapping\n" },
                { "? \n: c\n", "a:1:2: expected a name before the ':', found nothing\n" },
                { "text:\n", "a:1:6: 'text' has no value; set one, or remove the line\n" },
                { "text: ''\n", "a:1:7: 'text' has no value; set one, or remove the line\n" },
                { "text: ~\n", "a:1:7: 'text' has no value; set one, or remove the line\n" },
                { "text: null\n", "a:1:7: 'text' has no value; set one, or remove the line\n" },
                { "table:\nnumber: 3\n", "a:1:7: 'table' has no value; set one, or remove the line\n" },
                { "items: {a: }\n", "a:1:12: 'a' has no value; set one, or remove the line\n" },
                { "items: {-a: {}, .b: {}, 'c d': {}}\n",
                  "a:1:9: '-a' cannot name a item; a name has 1 to 64 letters, digits, '.', '_' or '-' and "
                  "begins with a "
                  "letter or digit\n"
                  "a:1:17: '.b' cannot name a item; a name has 1 to 64 letters, digits, '.', '_' or '-' and "
                  "begins with a "
                  "letter or digit\n"
                  "a:1:25: 'c d' cannot name a item; a name has 1 to 64 letters, digits, '.', '_' or '-' and "
                  "begins with "
                  "a letter or digit\n" },
                /* An error about an alias points to the alias. */
                { "path: &p /x\ntext: &t abc\nduration: *t\n",
                  "a:3:11: 'duration' must be a duration such as 90s, 30m, 12h or 30d, not 'abc'\n" },
                /* What comes from the file cannot steer a terminal or fill the screen. */
                { "number: \"\\e[2J\\x9b\"\n",
                  "a:1:9: 'number' must be a whole number, not '\\x1b[2J\\u009b'\n" },
                { "word: "
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                  "xxx\n",
                  "a:1:7: 'word' must be one, three or four, not "
                  "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_errors(rows[i].text, rows[i].errors);
}
END_TEST

START_TEST(values_refused) {
        static const struct {
                const char *text, *error;
        } rows[] = {
                { "text: \"a\\tb\"", "'text' must be a text without control characters, not 'a\\x09b'" },
                { "path: a/b", "'path' must be an absolute path, one that begins with '/'" },
                { "path: \"/a\\nb\"", "'path' must be a path without control characters" },
                { "url: http://h/p",
                  "'url' must begin with https://; a Connector is never called without TLS" },
                { "url: https://", "'url' must name a host after https://" },
                { "url: https:///path", "'url' must name a host after https://" },
                { "url: 'https://[::1/path'", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: 'https://[::1]443/path'", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://::1/path", "'url' must name a host after https://" },
                { "url: 'https://[]/path'", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://fe80::1/path", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://host:0/path", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://host:/path", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://host:65536", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://host:123456/path", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://host:http/path", "'url' " YAML_AUTHORITY_ADVICE },
                { "url: https://:443/path", "'url' must name a host after https://" },
                { "url: https://me:secret@h/",
                  "'url' must be without a user name or password; Connectors know "
                  "certificates and one-time tokens only" },
                { "url: https://h/?token=secret",
                  "'url' must be without '?' and '#'; put a one-time token into the file of 'token_file'" },
                { "url: https://h/#x",
                  "'url' must be without '?' and '#'; put a one-time token into the file of 'token_file'" },
                { "url: https://h/a b",
                  "'url' must be written as a URL, with blanks and special characters as %20 and the like" },
                { "url: https://h/\xc3\xbc",
                  "'url' must be written as a URL, with blanks and special characters as %20 and the like" },
                { "duration: 90", "'duration' must be a duration such as 90s, 30m, 12h or 30d, not '90'" },
                { "duration: 1500ms x",
                  "'duration' must be a duration such as 90s, 30m, 12h or 30d, not '1500ms x'" },
                { "duration: 500ms", "'duration' must be between 1s and 1d, not 500ms" },
                { "duration: 25h", "'duration' must be between 1s and 1d, not 25h" },
                { "duration: 99999999999999999999d",
                  "'duration' must be between 1s and 1d, not 99999999999999999999d" },
                { "share: 33", "'share' must be a share of the lifetime such as 33%, or a duration such as "
                               "12h or 30d, not "
                               "'33'" },
                { "share: 3x%",
                  "'share' must be a share of the lifetime such as 33%, or a duration such as 12h or 30d, "
                  "not '3x%'" },
                { "share: 101%", "'share' must be a share of the lifetime, at most 100%, not 101%" },
                { "share: 2d", "'share' must be between 1s and 1d, not 2d" },
                { "number: 1", "'number' must be between 2 and 100, not 1" },
                { "number: 101", "'number' must be between 2 and 100, not 101" },
                { "number: -1", "'number' must be a whole number, not '-1'" },
                { "number: 0x10", "'number' must be a whole number, not '0x10'" },
                { "auto_number: 0", "'auto_number' must be between 1 and 64, not 0" },
                { "auto_number: atuo", "'auto_number' must be auto or a whole number, not 'atuo'" },
                { "word: tow", "'word' must be one, three or four, not 'tow'" },
                { "word: 1", "'word' must be one, three or four, not '1'" },
                { "mode: 0o640", "'mode' must be an octal file mode such as 0640, not '0o640'" },
                { "mode: 1777", "'mode' must be an octal file mode such as 0640, not '1777'" },
                { "flag: maybe", "'flag' must be true or false, not 'maybe'" },
                { "user: no-such-user",
                  "'user' names the user 'no-such-user', which this machine does not know; create "
                  "it, or correct the name" },
                { "group: no-such-group",
                  "'group' names the group 'no-such-group', which this machine does not know; "
                  "create it, or correct the name" },
                { "user: 4294967295",
                  "'user' must be a user name or number, and '4294967295' is too large for one" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(result_clear) struct result result = { 0 };
                const char *found;

                read_text(&result, rows[i].text);
                found = result.errors + strcspn(result.errors, " ");
                ck_assert_msg(result.n_errors == 1 && strlen(found) == strlen(rows[i].error) + 2 &&
                                      strncmp(found + 1, rows[i].error, strlen(rows[i].error)) == 0,
                              "for: %s\nexpected: %s\nfound: %s", rows[i].text, rows[i].error, result.errors);
        }
}
END_TEST

/* Each level names the one below nine times: 9^9 values in 400 bytes. */
START_TEST(alias_bomb) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "text: &a0 [x]\n");
        for (int i = 1; i <= 9; i++)
                fprintf(out, "level%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                        i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        fprintf(out, "argv: *a9\n");
        fclose(out);
        read_text(&result, text);
        ck_assert_uint_ge(result.n_errors, 10);
}
END_TEST

/* A bomb that fits the tables: 4000 items that share a list of 4000 parts. */
START_TEST(alias_bomb_in_shape) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = NULL;
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "items:\n  first:\n    parts: &p\n");
        for (int i = 0; i < 4000; i++)
                fprintf(out, "    - {number: 1}\n");
        for (int i = 0; i < 4000; i++)
                fprintf(out, "  i%d: {parts: *p}\n", i);
        fclose(out);
        read_text(&result, text);
        ck_assert_uint_eq(result.n_errors, 1);
        ck_assert_ptr_nonnull(
                strstr(result.errors, "with its aliases followed, the configuration has more than 2000000"));
        test_report("alias bomb: refused after %" PRIu64 " ms, %zu KiB",
                    (now_usec(CLOCK_MONOTONIC) - begin) / 1000, result.memory.size / 1024);
}
END_TEST

START_TEST(limits) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = malloc(4 * 1024 * 1024 + 1);
        usec_t begin = now_usec(CLOCK_MONOTONIC);
        const size_t size = 4 * 1024 * 1024;

        /* Deep: in flow style, in block style, and as indentation. */
        memset(text, '[', size);
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_str_eq(result.errors,
                         "a:1:33: lists and mappings are nested deeper than 32 levels here; no option needs "
                         "that\n");
        for (size_t i = 0; i < size; i++)
                text[i] = i % 2 == 0 ? '-' : ' ';
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_str_eq(result.errors,
                         "a:1:65: lists and mappings are nested deeper than 32 levels here; no option needs "
                         "that\n");
        memset(text, '{', size);
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_uint_eq(result.n_errors, 1);

        /* Many. */
        for (size_t i = 0; i < size; i += 2)
                memcpy(text + i, "-\n", 2);
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_str_eq(result.errors,
                         "a:2000000:2: the configuration has more than 2000000 values; split it between "
                         "several instances of rekeyd\n");
        for (size_t i = 0; i < size; i += 4)
                memcpy(text + i, "a: \n", 4);
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_uint_eq(result.n_errors, 1);

        /* Long. */
        memset(text, 'x', size);
        memcpy(text, "text: ", 6);
        read_texts(&result, &(struct text) { text, size }, 1);
        ck_assert_str_eq(result.errors, "");
        ck_assert_uint_eq(strlen(result.thing.text), size - 6);
        test_report("limits: six hostile files of 4 MiB in %" PRIu64 " ms",
                    (now_usec(CLOCK_MONOTONIC) - begin) / 1000);
}
END_TEST

START_TEST(errors_are_limited) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (int i = 0; i < 3000; i++)
                fprintf(out, "unknown%d: x\n", i);
        fclose(out);
        read_text(&result, text);
        ck_assert_uint_eq(result.n_errors, YAML_ERRORS_MAX + 1);
        ck_assert_ptr_nonnull(strstr(result.errors, "\nthere are more errors"));
}
END_TEST

START_TEST(too_many_anchors) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "argv:\n");
        for (int i = 0; i < 1001; i++)
                fprintf(out, "- &a%d x\n", i);
        fclose(out);
        read_text(&result, text);
        ck_assert_str_eq(result.errors, "a:1002:3: the file has more than 1000 anchors; settings that "
                                        "certificates share belong under 'defaults'\n");
}
END_TEST

START_TEST(truncations) {
        for (size_t n = 0; n < sizeof(everything); n++) {
                _cleanup_(result_clear) struct result result = { 0 };
                _cleanup_(freep) char *copy =
                        malloc(n ? n : 1); /* exact, so that a sanitizer sees one byte too many */

                memcpy(copy, everything, n);
                read_texts(&result, &(struct text) { copy, n }, 1);
        }
}
END_TEST

TEST_MAIN("yaml-table", documents_refused, nul_bytes_refused, structure_refused, values_refused, alias_bomb,
          alias_bomb_in_shape, limits, errors_are_limited, too_many_anchors, truncations)
