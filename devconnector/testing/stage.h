#pragma once

/* A devconnector for one test, and the checks that every test of it needs. */

#include "devconnector/testing/client.h"

/* In main(), around the tests: makes the CAs that all stages share, since keys are slow under valgrind. Makes
 * no assertion, as those belong into tests. */
void stage_init(void);
void stage_done(void);

/* A new directory with those CAs; removed by scratch_free(). */
char *stage_directory(void);

/* A devconnector on a directory of its own. */
struct stage {
        char *directory;
        struct dev *dev;
};
struct stage stage_new(const char *const *options);
void stage_clear(struct stage *stage);

#define OPTIONS(...) ((const char *const[]) { __VA_ARGS__, NULL })

/* The checks take RESPONSE over. WHAT names the case. */
#define EMPTY_400_TYPE "application/json;charset=UTF-8"
void check_empty_400(struct response response, const char *what);
void check_probe(struct response response, const char *what);

/* {"errors":[{"message":MESSAGE,"path":["result"]}],"data":null} with status 200. */
void check_error(struct response response, const char *message, const char *what);

/* A cheap call over the certificate endpoint. */
struct response probe(const struct dev *dev, const struct identity *identity);

/* The new token in a configuration, which is taken over; owned by the caller. */
char *token_in(struct response response);

/* A CSR for SUBJECT in base64, owned by the caller. */
char *good_csr(EVP_PKEY *key, const char *subject);

/* Error texts begin with these. */
#define DECODING "Error while decoding Certificate Signing Request: "
#define SIGNING  "Error while signing Certificate Signing Request: "
#define NO_TOKEN \
        "Failed to get one-time token during fetching configuration process: could not get one time token: "
