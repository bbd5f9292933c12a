/* The types of a table: what is read, merged, compared and written. */

#include "lib/config/yaml-table.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "lib/util/time.h"
#include "tests/test.h"
#include "tests/unit/config/yaml-thing.h"

START_TEST(empty_is_defaults) {
        static const char *const texts[] = { "",
                                             "\n\n",
                                             "# only this\n",
                                             "---\n",
                                             "---\n...\n",
                                             "{}\n",
                                             "\xef\xbb\xbf",
                                             "\xef\xbb\xbf---\n{}\n",
                                             "\xef\xbb\xbfnumber: 16\npath: /a\n" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(result_clear) struct result result = { 0 };

                read_text(&result, texts[i]);
                ck_assert_str_eq(result.errors, "");
                ck_assert_uint_eq(result.thing.number, 16);
                ck_assert_uint_eq(result.thing.nested, 7);
                ck_assert_str_eq(result.thing.path, "/a");
                ck_assert_ptr_null(result.thing.text);
                ck_assert_uint_eq(result.thing.user, (uid_t)-1);
                ck_assert_uint_eq(result.thing.n_items, 0);
        }
}
END_TEST

static void check_everything(const struct thing *thing) {
        ck_assert_str_eq(thing->text, "33%");
        ck_assert_str_eq(thing->path, "/x/y");
        ck_assert_str_eq(thing->url, "HTTPS://h.example:8443/p%20q");
        ck_assert_uint_eq(thing->duration, USEC_PER_HOUR);
        ck_assert(thing->share.is_share && thing->share.ppm == 125000);
        ck_assert_uint_eq(thing->number, 2);
        ck_assert_uint_eq(thing->auto_number, 64);
        ck_assert_int_eq(thing->word, 1);
        ck_assert_uint_eq(thing->mode, 0600);
        ck_assert(!thing->flag);
        ck_assert_uint_eq(thing->user, 0);
        ck_assert_uint_eq(thing->group, 0);
        ck_assert_str_eq(thing->argv[0], "/bin/x");
        ck_assert_str_eq(thing->argv[1], "");
        ck_assert_str_eq(thing->argv[2], "yes");
        ck_assert_str_eq(thing->argv[3], "a\nb \"q\" \\ \xe2\x80\xa8 \x7f \xf0\x9f\x94\x91");
        ck_assert_str_eq(thing->argv[4], "~");
        ck_assert_ptr_null(thing->argv[5]);
        ck_assert_uint_eq(thing->n_letters, 2);
        ck_assert_int_eq(thing->letters[0], LETTER_C);
        ck_assert_int_eq(thing->letters[1], LETTER_A);
        ck_assert_uint_eq(thing->nested, 8);
        ck_assert_uint_eq(thing->n_items, 3);
        ck_assert_str_eq(thing->items[0].name, "b"); /* the order of the file */
        ck_assert_str_eq(thing->items[0].text, "null");
        ck_assert_uint_eq(thing->items[0].inherited, 9);
        ck_assert_str_eq(thing->items[1].name, "a");
        ck_assert_uint_eq(thing->items[1].inherited, 1);
        ck_assert_uint_eq(thing->items[1].n_parts, 2);
        ck_assert_uint_eq(thing->items[1].parts[1].number, 2);
        ck_assert_str_eq(thing->items[2].name, "123");
}

START_TEST(everything_read_and_written) {
        _cleanup_(result_clear) struct result first = { 0 }, second = { 0 };
        _cleanup_(freep) char *once = NULL, *twice = NULL;
        size_t size;
        FILE *out;

        read_text(&first, everything);
        ck_assert_str_eq(first.errors, "");
        check_everything(&first.thing);

        out = open_memstream(&once, &size);
        yaml_emit(&thing_table, &first.thing, out);
        fclose(out);
        read_text(&second, once);
        ck_assert_msg(*second.errors == '\0', "%s%s", second.errors, once);
        check_everything(&second.thing);

        out = open_memstream(&twice, &size);
        yaml_emit(&thing_table, &second.thing, out);
        fclose(out);
        ck_assert_str_eq(once, twice);
        /* Safe in the eyes of any other reader of YAML as well. */
        ck_assert_ptr_nonnull(strstr(once, "\n  \"123\":\n"));
        ck_assert_ptr_nonnull(strstr(once,
                                     "argv: [/bin/x, \"\", \"yes\", \"a\\nb \\\"q\\\" \\\\ \\u2028 \\u007F "
                                     "\xf0\x9f\x94\x91\", \"~\"]\n"));
        ck_assert_ptr_nonnull(strstr(once, "\n      - number: 1\n      - number: 2\n"));
        ck_assert_ptr_nonnull(strstr(once, "\nletters: [c, a]\n"));
}
END_TEST

/* Two documents that differ in one place. */
START_TEST(compared) {
        static const struct {
                bool equal;
                const char *a, *b;
        } rows[] = {
                { false, "text: a", "text: b" },
                { false, "text: a", "number: 16" },
                { false, "path: /b", "" },
                { false, "duration: 1s", "duration: 2s" },
                { false, "share: 33%", "share: 34%" },
                { false, "share: 33%", "share: 33s" },
                { false, "share: 34s", "share: 33s" },
                { false, "number: 3", "" },
                { false, "word: one", "word: four" },
                { false, "mode: 0600", "" },
                { false, "flag: no", "" },
                { false, "user: 0", "" },
                { false, "group: 0", "group: 1" },
                { false, "argv: [a]", "argv: [a, b]" },
                { false, "argv: [a, c]", "argv: [a, b]" },
                { false, "argv: [a]", "" },
                { false, "letters: [a]", "letters: [b]" },
                { false, "letters: [a, b]", "letters: [b, a]" },
                { false, "letters: [a, b]", "letters: [a]" },
                { false, "letters: [a]", "" },
                { false, "table: {nested: 8}", "" },
                { false, "items: {a: {}}", "items: {b: {}}" },
                { false, "items: {a: {}}", "items: {a: {}, b: {}}" },
                { false, "items: {a: {}, b: {}}", "items: {b: {}, a: {}}" },
                { false, "items: {a: {text: x}}", "items: {a: {text: y}}" },
                { false, "items: {a: {}}\nparent: 6", "items: {a: {inherited: 6}}" },
                { false, "items: {a: {parts: [{number: 1}]}}", "items: {a: {parts: [{number: 2}]}}" },
                { false, "items: {a: {parts: [{number: 1}]}}", "items: {a: {}}" },
                { true, "items: {a: {parts: []}}", "items: {a: {}}" },
                { true, "path: //a/", "" },
                { true, "user: root", "user: '0'" },
                { true, "share: 33.0%", "" },
                { true, "argv: [a, 'b']", "argv:\n  - a\n  - b" },
                { true, "duration: 60s\nnumber: 3", "number: 3\nduration: 1m" },
                { true, everything, everything },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(result_clear) struct result a = { 0 }, b = { 0 };

                read_text(&a, rows[i].a);
                read_text(&b, rows[i].b);
                ck_assert_str_eq(a.errors, "");
                ck_assert_str_eq(b.errors, "");
                ck_assert_msg(yaml_equal(&thing_table, &a.thing, &b.thing) == rows[i].equal, "%s\nand\n%s",
                              rows[i].a, rows[i].b);
                ck_assert(yaml_equal(&thing_table, &b.thing, &a.thing) == rows[i].equal);
                ck_assert(yaml_equal(&thing_table, &a.thing, &a.thing));
        }
}
END_TEST

/* A duration of which 0 is out of bounds: it is not set, and not written. */
START_TEST(duration_not_set) {
        _cleanup_(result_clear) struct result result = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out;

        read_text(&result, "");
        result.thing.duration = 0;
        out = open_memstream(&text, &size);
        yaml_emit(&thing_table, &result.thing, out);
        fclose(out);
        ck_assert_ptr_null(strstr(text, "duration"));
}
END_TEST

START_TEST(defaults_are_valid) {
        /* set_default() asserts it; an empty file makes it parse every default, also those inside entries.
         */
        _cleanup_(result_clear) struct result result = { 0 };

        read_text(&result, "items: {a: {}}");
        ck_assert_str_eq(result.errors, "");
        ck_assert_uint_eq(result.thing.duration, 90 * USEC_PER_SEC);
        ck_assert_uint_eq(result.thing.auto_number, 0);
        ck_assert_uint_eq(result.thing.items[0].inherited, 5);
}
END_TEST

START_TEST(files_merge) {
        static const char a[] =
                "text: a\nnumber: 3\ntable: {nested: 1}\nargv: [a, b]\nitems: {x: {text: x}}\n";
        static const char b[] =
                "number: 4\nparent: 6\ntable: {nested: 2}\nargv: [c]\nitems: {y: {text: y}}\n";
        static const char c[] = "nubmer: 4\nitems:\n  x: {}\n";
        _cleanup_(result_clear) struct result result = { 0 };

        read_texts(&result, (const struct text[]) { { a, strlen(a) }, { "", 0 }, { b, strlen(b) } }, 3);
        ck_assert_str_eq(result.errors, "");
        ck_assert_str_eq(result.thing.text, "a");
        ck_assert_uint_eq(result.thing.number, 4);
        ck_assert_uint_eq(result.thing.nested, 2);
        ck_assert_str_eq(result.thing.argv[0], "c");
        ck_assert_uint_eq(result.thing.n_items, 2);
        ck_assert_str_eq(result.thing.items[1].name, "y");
        ck_assert_uint_eq(result.thing.items[0].inherited, 6); /* from a later file than the item */

        read_texts(&result, (const struct text[]) { { a, strlen(a) }, { c, strlen(c) } }, 2);
        ck_assert_str_eq(result.errors, "b:1:1: unknown option 'nubmer'; did you mean 'number'?\n"
                                        "b:3:3: item 'x' is defined twice; the first is in a:5\n");
}
END_TEST

START_TEST(aliases_work) {
        _cleanup_(result_clear) struct result result = { 0 };

        read_text(&result,
                  "text: &t hello\n&k parent: 3\nitems:\n  a: &a {text: *t, argv: &v [x, y]}\n  b: *a\n  c: "
                  "{argv: *v}\n");
        ck_assert_str_eq(result.errors, "");
        ck_assert_str_eq(result.thing.items[1].text, "hello");
        ck_assert_str_eq(result.thing.items[2].argv[1], "y");
}
END_TEST

START_TEST(names_are_those_of_the_machine) {
        _cleanup_(result_clear) struct result result = { 0 };
        struct passwd *user = getpwnam("daemon");
        struct group *group = getgrnam("daemon");

        if (!user || !group)
                return;
        read_text(&result, "user: daemon\ngroup: daemon\n");
        ck_assert_str_eq(result.errors, "");
        ck_assert_uint_eq(result.thing.user, user->pw_uid);
        ck_assert_uint_eq(result.thing.group, group->gr_gid);
}
END_TEST

TEST_MAIN("yaml-table-values", empty_is_defaults, defaults_are_valid, everything_read_and_written, compared,
          duration_not_set, files_merge, aliases_work, names_are_those_of_the_machine)
