/* What protocols have in common: the memory of what they are asked and answer. */

#include "lib/protocol/protocol.h"

char **protocol_endpoint_member(const struct protocol *protocol, struct connection *connection) {
        return (char **)(void *)((char *)connection + protocol->endpoint);
}

const char *protocol_endpoint(const struct protocol *protocol, const struct connection *connection) {
        return *(char *const *)(const void *)((const char *)connection + protocol->endpoint);
}

void protocol_request_clear(struct protocol_request *request) {
        free_secret(request->url);
        free_secret(request->body);
        free_secret(request->token);
        *request = (struct protocol_request) { 0 };
}

void protocol_configuration_clear(struct protocol_configuration *configuration) {
        free_secret(configuration->token);
        free(configuration->subject);
        free(configuration->key_algorithm);
        free(configuration->warning);
        connection_clear(&configuration->connection);
        *configuration = (struct protocol_configuration) { 0 };
}

void protocol_certificates_clear(struct protocol_certificates *certificates) {
        free(certificates->chain);
        free(certificates->ca);
        free(certificates->leaf);
        *certificates = (struct protocol_certificates) { 0 };
}
