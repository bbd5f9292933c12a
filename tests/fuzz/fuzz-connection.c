/* connection.json, which other programs may write too: what is read can be written, and reads the same again.
 */

#include "lib/protocol/connection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(connection_clear) struct connection connection = { 0 }, again = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *json = NULL;

        if (connection_parse((const char *)data, size, &connection, &error) < 0) {
                require(error.code < 0 && !connection.director_url && !connection.connector_url);
                return 0;
        }
        require(!connection.director_url || url_is_https(connection.director_url));
        require(!connection.connector_url || url_is_https(connection.connector_url));

        require(connection_format(&connection, &json) == 0);
        require(connection_parse(json, strlen(json), &again, NULL) == 0);
        require(streq_null(connection.director_url, again.director_url));
        require(streq_null(connection.connector_url, again.connector_url));
        return 0;
}
