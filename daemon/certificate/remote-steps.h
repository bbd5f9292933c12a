#pragma once

/* The steps that call the Connector, from the loop. */

#include "daemon/connector/connector-client.h"

struct gathered;

/* One attempt's calls. */
struct remote {
        struct curl_glue *curl;
        struct gathered *gathered;
        void (*done)(void *userdata); /* a step is over: its outcome is in what is gathered */
        void *userdata;
        char *shown;       /* the URL of the last call, for texts */
        const char *token; /* that the last call was made with, borrowed; NULL: with a certificate */
        size_t n_tried;    /* URLs at which the new certificate was verified to no avail */
        struct connector_call *call; /* under way */
        CURLSH *share; /* connections, from the configuration to the signature, with the key of the set */
};

/* Ends what is under way. */
void remote_clear(struct remote *remote);

/* Each begins one call and ends with `done`, maybe before it returns. */
void remote_step_configuration(struct remote *remote);
void remote_step_sign(struct remote *remote);
void remote_step_verify(struct remote *remote);
