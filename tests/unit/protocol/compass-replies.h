#pragma once

/* A Connector's replies from tests/data/compass, and reading them. */

#include <fcntl.h>
#include <jansson.h>

#include "lib/protocol/compass.h"
#include "lib/util/files.h"
#include "tests/test.h"

#define TOKEN   "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo-QkZKTlJWWl5iZmpucnZ6foKGiow=="
#define SUBJECT "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65-9d2e-41b3-8cf4-bb727d0a8bf7"

static inline char *data_read(const char *name, size_t *ret_size) {
        const char *folder = getenv("REKEYD_TEST_DATA");
        char path[4096], *data = NULL;

        snprintf(path, sizeof(path), "%s/compass/%s", folder ? folder : "tests/data", name);
        ck_assert_msg(file_read_at(AT_FDCWD, path, FILE_FOLLOW, 1 << 20, &data, ret_size) == 0, "%s", path);
        return data;
}

/* The four calls under one roof: what one refuses, each refuses. */
enum call { CONFIGURATION, CERTIFICATES, REVOCATION, PROBE, N_CALLS };

static inline int read_reply(enum call call, const struct protocol_reply *reply, struct error *error) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };

        switch (call) {
        case CONFIGURATION:
                return compass_read_configuration(reply, &configuration, error);
        case CERTIFICATES:
                return compass_read_certificates(reply, &certificates, error);
        case REVOCATION:
                return compass_read_revocation(reply, error);
        default:
                return compass_read_probe(reply, error);
        }
}

static inline int read_text(enum call call, unsigned status, const char *body, struct error *error) {
        struct protocol_reply reply = { .status = status, .body = body, .size = strlen(body) };

        return read_reply(call, &reply, error);
}

/* A successful reply with one value changed or taken away: PATH leads to it from the root, VALUE is JSON or
 * NULL. */
static inline char *with(const char *file, const char *path, const char *value) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(freep) char *text = NULL, *keys = NULL;
        json_t *object;
        char *key, *next, *body;
        size_t size;

        text = data_read(file, &size);
        root = json_loadb(text, size, 0, NULL);
        ck_assert_ptr_nonnull(root);
        keys = strdup(path);
        ck_assert_ptr_nonnull(keys);

        object = root;
        for (key = keys; (next = strchr(key, '/')); key = next + 1) {
                *next = '\0';
                object = json_object_get(object, key);
                ck_assert_msg(json_is_object(object), "%s", path);
        }
        ck_assert_ptr_nonnull(json_object_get(object, key));
        if (value)
                ck_assert_int_eq(json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL)),
                                 0);
        else
                ck_assert_int_eq(json_object_del(object, key), 0);

        body = json_dumps(root, JSON_COMPACT);
        ck_assert_ptr_nonnull(body);
        return body;
}

#define CSR_INFO "data/result/certificateSigningRequestInfo"
#define PLANE    "data/result/managementPlaneInfo"

/* What a field may not be; the empty string stands for "may be". Missing, null, of another type, empty,
 * nonsense. */
struct field {
        enum call call;
        const char *file, *path, *name;
        const char *missing, *null, *wrong, *empty, *nonsense;
};
static const struct field fields[] = {
        { CONFIGURATION, "configuration.json", "data/result", "result", "missing", "null", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", "data/result/token", "token", "", "", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", "data/result/token/token", "token.token", "missing", "null",
          "not a string", "empty", "not a token" },
        { CONFIGURATION, "configuration.json", CSR_INFO, "certificateSigningRequestInfo", "missing", "null",
          "not an object", "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", CSR_INFO "/subject", "certificateSigningRequestInfo.subject",
          "missing", "null", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", CSR_INFO "/keyAlgorithm",
          "certificateSigningRequestInfo.keyAlgorithm", "", "", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", PLANE, "managementPlaneInfo", "", "", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", PLANE "/directorURL", "managementPlaneInfo.directorURL", "",
          "", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", PLANE "/certificateSecuredConnectorURL",
          "managementPlaneInfo.certificateSecuredConnectorURL", "", "", "not a string", "empty", "" },
        { CERTIFICATES, "certificates.json", "data/result", "result", "missing", "null", "not an object",
          "not an object", "not an object" },
        { CERTIFICATES, "certificates.json", "data/result/certificateChain", "certificateChain", "missing",
          "null", "not a string", "empty", "not base64" },
        { CERTIFICATES, "certificates.json", "data/result/caCertificate", "caCertificate", "missing", "null",
          "not a string", "empty", "not base64" },
        { CERTIFICATES, "certificates.json", "data/result/clientCertificate", "clientCertificate", "missing",
          "null", "not a string", "empty", "not base64" },
        { REVOCATION, "revoked.json", "data/result", "result", "missing", "null", "neither true nor false",
          "neither true nor false", "neither true nor false" },
        { PROBE, "probe.json", "data/__typename", "__typename", "missing", "null", "not a string", "empty",
          "" },
};
