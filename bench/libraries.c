/*
 * What rekeyd's libraries take of memory before anything is done with them: a program that is linked with the
 * same ones, and sets libcurl, TLS and an event loop up. Prints a line, and ends when its input does.
 */

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <systemd/sd-event.h>

int main(void) {
        SSL_CTX *tls = NULL;
        sd_event *event = NULL;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || sd_event_new(&event) < 0 ||
            !(tls = SSL_CTX_new(TLS_client_method())))
                return EXIT_FAILURE;
        puts("set up");
        fflush(stdout);
        while (getchar() != EOF)
                ;
        SSL_CTX_free(tls);
        sd_event_unref(event);
        curl_global_cleanup();
        return EXIT_SUCCESS;
}
