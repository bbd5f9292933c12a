#pragma once

/* `proxy-url` of a kubeconfig file. Pure. */

/*
 * TEXT is the URL of a proxy as kubectl takes it: http, https or socks5, maybe with user and password. *RET,
 * owned by the caller, has the scheme in small letters and always a port: 80, 443, 1080. 0, -ENOMEM, or
 * -EINVAL; there may be a password in TEXT, so it is not to be quoted.
 */
int kube_proxy_read(const char *text, char **ret);
