/* Any bytes as a configuration: an error or a struct, and what is written from the struct reads back to the
 * same. */

#include "lib/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_freep) struct config *first = NULL, *second = NULL;
        _cleanup_(freep) char *once = NULL, *twice = NULL;
        struct config_errors errors = { 0 };

        if (config_parse("fuzz", (const char *)data, size, &first, &errors) < 0) {
                if (errors.n == 0 || first)
                        abort();
                config_errors_clear(&errors);
                return 0;
        }
        if (errors.n > 0 || config_format(first, &once) < 0)
                abort();

        /* Written out in full, a file full of aliases may be larger than what is read. */
        if (strlen(once) > CONFIG_SIZE_MAX)
                return 0;
        if (config_parse("written", once, strlen(once), &second, &errors) < 0 ||
            config_format(second, &twice) < 0 || !streq(once, twice))
                abort();
        return 0;
}
