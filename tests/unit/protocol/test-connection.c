/* connection.json: what is refused and how that is said, URLs, and there and back. */

#include "lib/protocol/connection.h"

#include "tests/test.h"

START_TEST(test_urls_refused) {
        static const char *const cases[] = {
                "",
                "x",
                "https",
                "https:",
                "https:/",
                "https://",
                "https:///",
                "https:///path",
                "https://?q",
                "http://example.com/",
                "HTTPS://example.com/",
                "ftp://example.com/",
                "file:///etc/passwd",
                " https://example.com/",
                "https ://example.com/",
                "https://example.com /",
                "https://example.com/a b",
                "https://user@example.com/",
                "https://user:password@example.com/",
                "https://example.com:1@evil.com/",
                "https://example.com:/",
                "https://example.com:0/",
                "https://example.com:65536/",
                "https://example.com:123456/",
                "https://example.com:4x/",
                "https://example.com:-1/",
                "https://:443/",
                "https://.example.com/",
                "https://-v/",
                "https://exa\\mple.com/",
                "https://a|b/",
                "https://example.com/\r\nHost: evil",
                "https://example.com/\t",
                "https://example.com/\x7f",
                "https://ex\xc3\xa4mple.com/",
                "https://example.com/\xc3\xa4",
                "https://example.com/<a>",
                "https://example.com/\"",
                "https://example.com/{a}",
                "https://example.com/a#b",
                "https://example.com#b",
                "https://[]/",
                "https://[::1/",
                "https://::1/",
                "https://[::1]x/",
                "https://[::g/]/",
                "https://a/b\\c",
        };

        ck_assert(!url_is_https(NULL));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(!url_is_https(cases[i]), "%s", cases[i]);
}
END_TEST

START_TEST(test_urls_accepted) {
        static const char *const cases[] = {
                "https://example.com",
                "https://example.com/",
                "https://example.com?a=b",
                "https://localhost:18443/director/graphql",
                "https://connector-mtls.example.com/connector/graphql",
                "https://example.com:1/",
                "https://example.com:65535/",
                "https://example.com:443",
                "https://127.0.0.1:8443/a%20b?c=d&e=@f",
                "https://[::1]/",
                "https://[2001:db8::1]:8443/connector/graphql",
                "https://under_score.example.com./~x/",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(url_is_https(cases[i]), "%s", cases[i]);
}
END_TEST

START_TEST(test_url_length) {
        char url[2048 + 2];

        memset(url, 'a', sizeof(url));
        memcpy(url, "https://example.com/", strlen("https://example.com/"));
        url[2048] = '\0';
        ck_assert(url_is_https(url));
        url[2048] = 'a';
        url[2049] = '\0';
        ck_assert(!url_is_https(url));
}
END_TEST

START_TEST(test_refused) {
        static const struct {
                const char *json, *error;
        } cases[] = {
                { "", "it is empty" },
                { "[]", "it is not a JSON object" },
                { "{\"directorURL\":", "it ends too early" },
                { "{\"directorURL\":1}", "member directorURL is not a string" },
                { "{\"directorURL\":[\"https://a/\"]}", "member directorURL is not a string" },
                { "{\"directorURL\":\"\"}", "member directorURL is not an https URL" },
                { "{\"directorURL\":\"http://a/\"}", "member directorURL is not an https URL" },
                { "{\"directorURL\":\"https://a/\",\"certificateSecuredConnectorURL\":false}",
                  "member certificateSecuredConnectorURL is not a string" },
                { "{\"directorURL\":\"https://a/\",\"certificateSecuredConnectorURL\":\"a\"}",
                  "member certificateSecuredConnectorURL is not an https URL" },
                { "{\"directorURL\":\"https://a/\",\"directorURL\":\"https://b/\"}", "a key occurs twice" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct connection connection = { .director_url = (char *)1, .connector_url = (char *)2 };

                ck_assert_int_eq(connection_parse(cases[i].json, strlen(cases[i].json), &connection, &error),
                                 -EINVAL);
                ck_assert_msg(strstr(error_text(&error), cases[i].error), "case %zu: %s", i,
                              error_text(&error));
                ck_assert_ptr_eq(connection.director_url, (char *)1);
                ck_assert_ptr_eq(connection.connector_url, (char *)2);
        }
}
END_TEST

START_TEST(test_too_large) {
        static char json[CONNECTION_JSON_MAX + 1];
        _cleanup_(connection_clear) struct connection connection = { 0 };

        memset(json, ' ', sizeof(json));
        memcpy(json, "{}", 2);
        ck_assert_int_eq(connection_parse(json, sizeof(json), &connection, NULL), -EINVAL);
        ck_assert_int_eq(connection_parse(json, sizeof(json) - 1, &connection, NULL), 0);
}
END_TEST

START_TEST(test_accepted) {
        static const struct {
                const char *json, *director, *connector;
        } cases[] = {
                { "{}", NULL, NULL },
                { "{\"directorURL\":null}", NULL, NULL },
                { "{\"directorURL\":\"https://d/\"}", "https://d/", NULL },
                { "{\"certificateSecuredConnectorURL\":\"https://c/\",\"directorURL\":null}", NULL,
                  "https://c/" },
                { "{\"other\":{\"directorURL\":1},\"directorURL\":\"https://d/\",\n"
                  "\"certificateSecuredConnectorURL\":\"https:\\/\\/c\\u002f\"}\n",
                  "https://d/", "https://c/" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(connection_clear) struct connection connection = { 0 };

                ck_assert_int_eq(connection_parse(cases[i].json, strlen(cases[i].json), &connection, NULL),
                                 0);
                ck_assert(streq_null(connection.director_url, cases[i].director));
                ck_assert(streq_null(connection.connector_url, cases[i].connector));
        }
}
END_TEST

START_TEST(test_there_and_back) {
        static const struct {
                struct connection connection;
                const char *json;
        } cases[] = {
                { { .director_url = NULL }, "{}\n" },
                { { .director_url = (char *)"https://d/" }, "{\n    \"directorURL\": \"https://d/\"\n}\n" },
                { { .connector_url = (char *)"https://c/" },
                  "{\n    \"certificateSecuredConnectorURL\": \"https://c/\"\n}\n" },
                { { .director_url = (char *)"https://d/", .connector_url = (char *)"https://c/" },
                  "{\n    \"directorURL\": \"https://d/\",\n    \"certificateSecuredConnectorURL\": "
                  "\"https://c/\"\n}\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(connection_clear) struct connection back = { 0 };
                _cleanup_(freep) char *json = NULL;

                ck_assert_int_eq(connection_format(&cases[i].connection, &json), 0);
                ck_assert_str_eq(json, cases[i].json);
                ck_assert_int_eq(connection_parse(json, strlen(json), &back, NULL), 0);
                ck_assert(streq_null(back.director_url, cases[i].connection.director_url));
                ck_assert(streq_null(back.connector_url, cases[i].connection.connector_url));
        }
}
END_TEST

/* What another program has written, and what another answer says. */
START_TEST(test_members_that_stay) {
        static const char json[] = "{\"directorURL\":\"https://d/\",\"renewCertUrl\":\"https://r/\","
                                   "\"note\":{\"a\":[1,null]},\"eventsUrl\":\"https://e/\"}";
        _cleanup_(connection_clear) struct connection old = { 0 }, newer = { 0 }, back = { 0 };
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_eq(connection_parse(json, strlen(json), &old, NULL), 0);
        newer.renew_url = strdup("https://r2/");
        newer.revoke_url = strdup("http://no/");
        newer.info_url = strdup("https://i/");
        ck_assert_int_eq(connection_take(&newer, "eventsUrl", json_object_get(old.others, "note")), 0);
        ck_assert_int_eq(connection_follow(&old, &newer), -EPROTO);

        ck_assert_int_eq(connection_format(&old, &text), 0);
        ck_assert_int_eq(connection_parse(text, strlen(text), &back, NULL), 0);
        ck_assert_str_eq(back.director_url, "https://d/");
        ck_assert_str_eq(back.renew_url, "https://r2/");
        ck_assert_str_eq(back.info_url, "https://i/");
        ck_assert_ptr_null(back.revoke_url);
        ck_assert(json_equal(json_object_get(back.others, "note"), json_object_get(old.others, "note")));
        ck_assert(json_equal(json_object_get(back.others, "eventsUrl"), json_object_get(old.others, "note")));
        ck_assert_uint_eq(json_object_size(back.others), 2);
}
END_TEST

/* What is written can be read again, whatever came. */
START_TEST(test_members_that_are_too_long) {
        _cleanup_(connection_clear) struct connection connection = { 0 }, back = { 0 };
        _cleanup_(freep) char *text = NULL, *filler = malloc(CONNECTION_JSON_MAX);
        json_t *value;

        memset(filler, 'x', CONNECTION_JSON_MAX - 1);
        filler[CONNECTION_JSON_MAX - 1] = '\0';
        value = json_string(filler);
        connection.director_url = strdup("https://d/");
        ck_assert_int_eq(connection_take(&connection, "filler", value), 0);
        json_decref(value);
        ck_assert_int_eq(connection_format(&connection, &text), 0);
        ck_assert_int_eq(connection_parse(text, strlen(text), &back, NULL), 0);
        ck_assert_str_eq(back.director_url, "https://d/");
        ck_assert_ptr_null(back.others);
}
END_TEST

TEST_MAIN("connection", test_urls_refused, test_urls_accepted, test_url_length, test_refused, test_too_large,
          test_accepted, test_there_and_back, test_members_that_stay, test_members_that_are_too_long)
