/* What people hand in as a one-time token, and what of it is sent where. */

#include "lib/protocol/token.h"

#include "lib/protocol/protocol.h"
#include "lib/util/base64.h"
#include "tests/test.h"

#define TOKEN  "S3cr-et_0123=="
#define SERVER "https://c.example.com"
#define URL    SERVER "/connector/graphql"
#define LEGACY SERVER "/v1/applications/signingRequests/info?token=" TOKEN
#define ANSWER "{\"token\":\"" TOKEN "\",\"connectorURL\":\"" URL "\"}"
#define ESCAPED \
        "\"{\\\"token\\\":\\\"" TOKEN "\\\",\\\"connectorURL\\\":\\\"" URL "\\\"}\"" /* as jq prints it */
#define ENCODED                                                                      /* ANSWER, in base64 */ \
        "eyJ0b2tlbiI6IlMzY3ItZXRfMDEyMz09IiwiY29ubmVjdG9yVVJMIjoiaHR0cHM6Ly9jLmV4YW1wbGUuY29tL2Nvbm5lY3Rvci" \
        "9ncmFwaHFsIn0="
#define BOM "\xef\xbb\xbf"

static const struct {
        const char *text;
        enum protocol_id protocol;
        const char *enrol_url;
        const char *token; /* NULL: refused, or there is none */
        const char *error; /* NULL: there is none, and the token file may be empty */
} rows[] = {
        { TOKEN, PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { " \n" TOKEN "\r\n\n", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { BOM TOKEN "\n", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { "\"" TOKEN "\"\n", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { "' \"" TOKEN "\" '", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { "e", PROTOCOL_COMPASS, URL, "e", NULL },
        { "eyJh", PROTOCOL_COMPASS, URL, "eyJh", NULL },                     /* base64 of `{"a` */
        { "eyJ0.eyJ1.c2ln", PROTOCOL_COMPASS, URL, "eyJ0.eyJ1.c2ln", NULL }, /* a JSON web token */

        /* The Director's answer, as it is and in parts. */
        { ANSWER, PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { ANSWER, PROTOCOL_COMPASS, SERVER "/other", TOKEN, NULL },
        { ANSWER, PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { "{\n  \"token\": \"" TOKEN "\"\n}\n", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { "{\"data\":{\"result\":" ANSWER "}}", PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { "{\"token\":\"a/b+c\",\"connectorURL\":\"" URL "\"}", PROTOCOL_COMPASS, NULL,
          URL "?token=a%2Fb%2Bc", NULL },
        { "{\"token\":\"" TOKEN "\",\"connectorURL\":\"" URL "\",\"legacyConnectorURL\":\"" LEGACY "\"}",
          PROTOCOL_CONNECTOR_SERVICE, NULL, LEGACY, NULL },
        { "{\"token\":\"" TOKEN "\",\"legacyConnectorURL\":\"" SERVER "/info\"}", PROTOCOL_CONNECTOR_SERVICE,
          NULL, SERVER "/info?token=" TOKEN, NULL },
        { "{\"url\":\"" LEGACY "\",\"token\":\"" TOKEN "\"}", PROTOCOL_CONNECTOR_SERVICE, SERVER "/info",
          TOKEN, NULL },
        { "{\"url\":\"" LEGACY "\",\"token\":\"" TOKEN "\"}", PROTOCOL_CONNECTOR_SERVICE, NULL, LEGACY,
          NULL },

        /* As the Director has it once more, and as jq prints that. */
        { "{\"data\":{\"result\":{\"rawEncoded\":\"" ENCODED "\"}}}", PROTOCOL_COMPASS, NULL,
          URL "?token=" TOKEN, NULL },
        { "{\"rawEncoded\":\"" ENCODED "\",\"raw\":\"{}\"}", PROTOCOL_COMPASS, URL, TOKEN, NULL },
        { "{\"raw\":" ESCAPED "}", PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { ESCAPED "\n", PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { "\"" ENCODED "\"", PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { "{\"rawEncoded\":\"S3cret\"}", PROTOCOL_COMPASS, NULL, NULL, "has no `token`" },
        { "{\"raw\":\"{\\\"raw\\\":1}\"}", PROTOCOL_COMPASS, NULL, NULL, "JSON without a `token`" },

        /* URLs. */
        { URL "?token=" TOKEN, PROTOCOL_COMPASS, NULL, URL "?token=" TOKEN, NULL },
        { URL "?token=" TOKEN, PROTOCOL_COMPASS, URL, URL "?token=" TOKEN, NULL },
        { "\"" LEGACY "\"", PROTOCOL_CONNECTOR_SERVICE, NULL, LEGACY, NULL },
        { "https://evil/g?token=" TOKEN, PROTOCOL_COMPASS, URL, NULL, "names another server" },
        { "http://c/g?token=" TOKEN, PROTOCOL_COMPASS, NULL, NULL, "may be called" },
        { URL, PROTOCOL_COMPASS, NULL, NULL, "has no one-time token" },
        { URL "?token=S3cr%0aet", PROTOCOL_COMPASS, URL, NULL, "is damaged" },

        /* What is none. */
        { "", PROTOCOL_COMPASS, URL, NULL, NULL },
        { " \n", PROTOCOL_COMPASS, URL, NULL, NULL },
        { BOM, PROTOCOL_COMPASS, URL, NULL, NULL },
        { "\"\"", PROTOCOL_COMPASS, URL, NULL, NULL },
        { TOKEN, PROTOCOL_COMPASS, NULL, NULL, "or use the Director's whole answer" },
        { TOKEN, PROTOCOL_CONNECTOR_SERVICE, NULL, NULL, "or use the whole URL with the token" },
        { "-----BEGIN PRIVATE KEY-----\nS3cr\n-----END PRIVATE KEY-----\n", PROTOCOL_COMPASS, URL, NULL,
          "a private key, which is sent nowhere" },
        { "-----BEGIN PRIVATE KEY-----S3cr-----END-PRIVATE-KEY-----", PROTOCOL_COMPASS, URL, NULL,
          "a private key" },
        { "-----BEGIN CERTIFICATE-----\nS3cr\n-----END CERTIFICATE-----\n", PROTOCOL_COMPASS, URL, NULL,
          "it is PEM" },
        { "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", PROTOCOL_COMPASS, URL, NULL, "base64 of PEM" },
        { "\"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t\"", PROTOCOL_COMPASS, URL, NULL, "base64 of PEM" },
        { "<html>S3cr</html>", PROTOCOL_COMPASS, URL, NULL, "HTML" },
        { "token: S3cr\nurl: x\n", PROTOCOL_COMPASS, URL, NULL, "several lines" },
        { TOKEN " " TOKEN, PROTOCOL_COMPASS, URL, NULL, "not one line of printable ASCII without blanks" },
        { "S3cr\xc3\xa9t", PROTOCOL_COMPASS, URL, NULL, "not one line of printable ASCII without blanks" },
        { "{\"token\":\"S3cr et\"}", PROTOCOL_COMPASS, URL, NULL,
          "not one line of printable ASCII without blanks" },
        { "{\"token\":\"\"}", PROTOCOL_COMPASS, URL, NULL, "not one line of printable ASCII without blanks" },
        { "{\"token\":7}", PROTOCOL_COMPASS, URL, NULL, "JSON without a `token`" },
        { "{\"data\":null,\"errors\":[{\"message\":\"no\"}]}", PROTOCOL_COMPASS, URL, NULL,
          "JSON without a `token`" },
        { "{\"a\":" ANSWER ",\"b\":" ANSWER "}", PROTOCOL_COMPASS, URL, NULL, "more than one `token`" },
        { "{\"token\":\"" TOKEN "\"", PROTOCOL_COMPASS, URL, NULL, "begins like JSON, but cannot be read" },
};

START_TEST(whatever_is_handed_in) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (int is_encoded = 0; is_encoded < 2; is_encoded++) {
                        _cleanup_(free_secretp) char *token = NULL, *encoded = NULL;
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        const char *text = rows[i].text;
                        int r;

                        /* Only what is a JSON object is ever decoded. */
                        if (is_encoded && (text[0] != '{' || text[strcspn(text, "}")] == '\0'))
                                continue;
                        if (is_encoded) {
                                ck_assert_int_eq(base64_encode(text, strlen(text), &encoded), 0);
                                text = encoded;
                        }
                        r = protocol_take_token(rows[i].protocol, text, strlen(text), rows[i].enrol_url,
                                                &token, &error);
                        ck_assert_msg(r == (rows[i].token   ? 0
                                            : rows[i].error ? -EINVAL
                                                            : -ENODATA),
                                      "row %zu, encoded %d: %d %s", i, is_encoded, r, error_text(&error));
                        ck_assert_msg(streq_null(token, rows[i].token), "row %zu: %s", i, token);
                        ck_assert_msg(!rows[i].error || strstr(error_text(&error), rows[i].error),
                                      "row %zu: %s", i, error_text(&error));
                        ck_assert_ptr_null(strstr(error_text(&error), "S3cr"));
                }
}
END_TEST

/* A shell of Windows writes UTF-16. What is binary is none. */
START_TEST(wide_characters) {
        static const struct {
                const char *text;
                size_t size;
                const char *token, *error;
        } wide[] = {
                { "\xff\xfeS\0003\0c\0\n", 9, NULL, "binary" },
                { "\xff\xfeS\0003\0c\0\r\0\n", 12, "S3c", NULL },
                { "\xfe\xff\0S\0003\0c", 8, "S3c", NULL },
                { "S\0003\0c", 6, "S3c", NULL },
                { "\0S\0003\0c", 6, "S3c", NULL },
                { "\xff\xfe", 2, NULL, "printable ASCII" },
                { "S3c\0S3c", 7, NULL, "binary" },
                { "\x30\x82\x02\x01\0\0\0", 7, NULL, "binary" },
        };

        for (size_t i = 0; i < ELEMENTSOF(wide); i++) {
                _cleanup_(free_secretp) char *token = NULL;
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                const int r = protocol_take_token(PROTOCOL_COMPASS, wide[i].text, wide[i].size, URL, &token,
                                                  &error);

                ck_assert_msg(r == (wide[i].token ? 0 : -EINVAL), "row %zu: %d %s", i, r, error_text(&error));
                ck_assert_msg(streq_null(token, wide[i].token), "row %zu: %s", i, token);
                ck_assert_msg(!wide[i].error || strstr(error_text(&error), wide[i].error), "row %zu: %s", i,
                              error_text(&error));
        }
}
END_TEST

/* The base64 of DER is longer than any token, which may begin like it. */
START_TEST(der_in_base64) {
        _cleanup_(freep) char *text = calloc(1, 1000);
        _cleanup_(free_secretp) char *token = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        memcpy(memset(text, 'a', 400), "MII", 3);
        ck_assert_int_eq(protocol_take_token(PROTOCOL_COMPASS, text, 400, URL, &token, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "base64 of a key"));
        ck_assert_int_eq(protocol_take_token(PROTOCOL_COMPASS, text, 88, URL, &token, NULL), 0);
}
END_TEST

/* A URL that is a token is called without it, and the next token is for the same place. */
START_TEST(a_token_with_its_url) {
        static const char body[] = "{\"data\":{\"result\":{\"token\":{\"token\":\"next\"},"
                                   "\"certificateSigningRequestInfo\":{\"subject\":\"CN=a\"}}}}";
        const struct protocol *compass = protocol_get(PROTOCOL_COMPASS);
        const struct protocol_ask ask = { .token = URL "?token=a%2Fb" };
        const struct protocol_reply reply = {
                .status = 200, .body = body, .size = strlen(body), .token = ask.token
        };
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };

        ck_assert_int_eq(compass->ask_configuration(&ask, &request, NULL), 0);
        ck_assert_str_eq(request.url, URL);
        ck_assert_str_eq(request.token, "a/b");
        ck_assert_int_eq(compass->read_configuration(&reply, &configuration, NULL), 0);
        ck_assert_str_eq(configuration.token, URL "?token=next");
}
END_TEST

START_TEST(halves) {
        static const char *const bad[] = { URL,
                                           URL "?token=",
                                           URL "?token=%",
                                           URL "?token=%4",
                                           URL "?token=%00",
                                           URL "?token=%zz",
                                           URL "?token=a%0d%0aX: y",
                                           URL "?token=%20" };
        char *url, *value;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                ck_assert_int_eq(token_split(bad[i], &url, &value), -EINVAL);
        ck_assert_int_eq(token_split(URL "?x=1&token=a%2f%3D&y", &url, &value), 0);
        ck_assert_str_eq(url, URL);
        ck_assert_str_eq(value, "a/=");
        free_secret(url);
        free_secret(value);
}
END_TEST

TEST_MAIN("token", whatever_is_handed_in, wide_characters, der_in_base64, a_token_with_its_url, halves)
