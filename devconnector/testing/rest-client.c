/*
 * What the older service is asked, and what is kept of its answers for the next question.
 */

#include "devconnector/testing/rest-client.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>

#include "devconnector/testing/stage.h"
#include "lib/util/text-stream.h"
#include "tests/support/x509.h"

void rest_world_clear(struct rest_world *world) {
        free(world->token_base);
        free(world->certificate_base);
        free(world->first);
        free(world->second);
        free(world->subject);
        identity_clear(&world->identity);
}

static char *base_of(const char *url) {
        return strndup(url, (size_t)(strchr(url + strlen("https://"), '/') - url));
}

struct rest_world rest_world_new(const struct dev *dev, const char *kind) {
        return (struct rest_world) {
                .dev = dev,
                .kind = kind,
                .token_base = base_of(dev->token_url),
                .certificate_base = base_of(dev->certificate_url),
        };
}

/* $T and $C are the endpoints, $A the admin listener, $K the kind, $1 and $2 the tokens. NULL for another
 * letter. */
static const char *place(const struct rest_world *world, char letter) {
        switch (letter) {
        case 'T':
                return world->token_base;
        case 'C':
                return world->certificate_base;
        case 'A':
                return world->dev->admin_url;
        case 'K':
                return world->kind;
        case '1':
                return world->first ? world->first : "";
        case '2':
                return world->second ? world->second : "";
        default:
                return NULL;
        }
}

char *rest_expand(const struct rest_world *world, const char *template) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);

        for (; *template; template ++)
                if (*template == '$' && place(world, template[1]))
                        fputs(place(world, *++template), out);
                else
                        fputc(*template, out);
        fclose(out);
        return text;
}

bool rest_matches(const struct rest_world *world, const char *template, const char *body) {
        _cleanup_(freep) char *expected = rest_expand(world, template);
        const char *p = expected;

        for (; *p; p++)
                if (p[0] == '$' && p[1] == '?') {
                        size_t n = 0;

                        while (isalnum((unsigned char)body[n]) || (body[n] && strchr("+/-_=", body[n])))
                                n++;
                        if (n < 16)
                                return false;
                        body += n;
                        p++;
                } else if (*body++ != *p)
                        return false;
        return streq(body, *template ? "\n" : "");
}

/* SUBJECT with another value for the attribute KEY, "O=". */
static char *with_other(const char *subject, const char *key) {
        const char *at = subject;
        char *text;

        while (strncmp(at, key, strlen(key)) != 0)
                at = strchr(at, ',') + 1;
        if (asprintf(&text, "%.*s%sother%s", (int)(at - subject), subject, key, at + strcspn(at, ",")) < 0)
                abort();
        return text;
}

static char *csr_body(EVP_PKEY *key, const char *subject) {
        _cleanup_(freep) char *csr = good_csr(key, subject);
        char *body;

        if (asprintf(&body, "{\"csr\":\"%s\"}", csr) < 0)
                abort();
        return body;
}

char *rest_content(const struct rest_world *world, enum content content) {
        _cleanup_(freep) char *subject = NULL;
        EVP_PKEY *key;
        char *body;

        switch (content) {
        case CONTENT_NONE:
                return NULL;
        case CONTENT_BAD_BASE64:
                return strdup("{\"csr\":\"%%%\"}");
        case CONTENT_NO_PEM:
                return strdup("{\"csr\":\"bm8gUEVN\"}");
        case CONTENT_NO_JSON:
                return strdup("{\"csr\":");
        case CONTENT_OTHER_NAME:
                subject = with_other(world->subject, "CN=");
                return csr_body(x509_key(0), subject);
        case CONTENT_OTHER_ORGANIZATION:
                subject = with_other(world->subject, "O=");
                return csr_body(x509_key(0), subject);
        case CONTENT_EC:
                key = EVP_EC_gen("P-256");
                body = csr_body(key, world->subject);
                EVP_PKEY_free(key);
                return body;
        case CONTENT_CSR:
                return csr_body(x509_key(0), world->subject);
        }
        abort();
}

struct response rest_ask(const struct rest_world *world, const char *method, const char *url,
                         const char *body, bool mutual) {
        static const char *const headers[] = { "Application: my-app", "Tenant: my-tenant", "Group: my-group",
                                               NULL };
        _cleanup_(freep) char *whole = rest_expand(world, url);

        return dev_request(world->dev, &(struct request) {
                                               .url = whole,
                                               .method = method,
                                               .body = body,
                                               .headers = headers,
                                               .identity = mutual ? &world->identity : NULL,
                                       });
}

void rest_keep(struct rest_world *world, const struct response *response) {
        _cleanup_(json_decrefp) json_t *reply = json_loads(response->body, 0, NULL);
        const char *token = json_string_value(json_object_get(reply, "token"));
        const char *csr_url = json_string_value(json_object_get(reply, "csrUrl"));
        const char *subject =
                json_string_value(json_object_get(json_object_get(reply, "certificate"), "subject"));
        const char *chain, *client, *ca;

        if (token) {
                free(world->first);
                world->first = strdup(token);
        }
        if (csr_url) {
                free(world->second);
                world->second = strdup(strstr(csr_url, "token=") + strlen("token="));
        }
        if (subject) {
                free(world->subject);
                world->subject = strdup(subject);
        }
        if (json_unpack(reply, "{s:s,s:s,s:s}", "crt", &chain, "clientCrt", &client, "caCrt", &ca) == 0) {
                identity_clear(&world->identity);
                world->identity = (struct identity) { .key = x509_key(0),
                                                      .subject = strdup(world->subject),
                                                      .client = base64_text(client),
                                                      .chain = base64_text(chain),
                                                      .ca = base64_text(ca) };
        }
}

struct rest_world rest_enrol(const struct dev *dev, const char *kind, const char *options) {
        struct rest_world world = rest_world_new(dev, kind);
        _cleanup_(json_decrefp) json_t *minted = dev_admin(dev, NULL, "/tokens", options);
        const char *url = json_string_value(json_object_get(minted, "url"));
        _cleanup_(response_clear) struct response info = { 0 }, signature = { 0 };
        _cleanup_(freep) char *body = NULL;

        ck_assert_ptr_nonnull(url);
        info = rest_ask(&world, NULL, url, NULL, false);
        rest_keep(&world, &info);
        ck_assert_msg(world.subject != NULL, "%s %ld %s", info.error, info.status, info.body);
        body = rest_content(&world, CONTENT_CSR);
        signature = rest_ask(&world, NULL, "$T/v1/$K/certificates?token=$2", body, false);
        rest_keep(&world, &signature);
        ck_assert_msg(world.identity.chain != NULL, "%s %ld %s", signature.error, signature.status,
                      signature.body);
        return world;
}

long rest_status(const struct rest_world *world, const char *method, const char *url, enum content content,
                 bool mutual) {
        _cleanup_(freep) char *body = rest_content(world, content);
        struct response response = rest_ask(world, method, url, body, mutual);
        long status = response.status;

        response_clear(&response);
        return status;
}
