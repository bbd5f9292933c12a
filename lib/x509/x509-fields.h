#pragma once

/* Fields of certificates that are made here, for successor.c and leaf.c. */

#include "lib/util/time.h"
#include "lib/x509/openssl-util.h"

/* 128 random bits, positive: RFC 5280 section 4.1.2.2 allows 160. 0 or -EIO. */
int x509_set_serial(X509 *handle);

/* WHEN on CLOCK_REALTIME, in whole seconds. 0 or -EIO. */
int x509_set_time(ASN1_TIME *time, usec_t when);

/* PEM, owned by the caller. 0, -EIO or -ENOMEM. */
int x509_write_pem(X509 *handle, char **ret_pem);
