#pragma once

/* Through which proxy a URL is called, by the environment: https_proxy, all_proxy, no_proxy. */

#include "lib/util/error.h"

/* All NULL: none. */
struct proxy {
        const char *variable; /* which names it; static; NULL: none does */
        char *url;            /* "http://proxy.example.com:3128": without user and password, with the port */
        char *user, *password;
};
void proxy_clear(struct proxy *proxy);

/* Reads VALUE, "http://user:password@host:port". 0, -ENOMEM, or -EINVAL, which is not to be explained by
 * VALUE: it may hold a password. */
int proxy_read(const char *value, struct proxy *ret);

/*
 * Finds the proxy for the https URL, by the rules of libcurl: a variable in small letters goes before the
 * same in capitals, https_proxy before all_proxy; no_proxy lists names, which stand for all names below them,
 * addresses, and networks like 10.0.0.0/8. 0, -ENOMEM, or -EINVAL where the variable is no URL of a proxy;
 * ERROR names the variable then, and never its value, which may hold a password.
 */
int proxy_find(const char *url, struct proxy *ret, struct error *error);

/* Whether LIST, as in no_proxy, has HOST: a name, or an address without brackets. Pure. */
bool proxy_is_excepted(const char *list, const char *host);
