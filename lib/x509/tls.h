#pragma once

/*
 * What a client offers in TLS. A server that may choose a group of its own for DHE can choose one of 10,000
 * bits, and the client computes for a second; with static RSA the traffic of years is read by whoever gets
 * the key. So TLS 1.2 is by ECDHE alone, and TLS 1.3 by curves alone. The rest is what this machine has
 * configured.
 */
#define TLS_CIPHERS "DEFAULT:!kRSA:!kDHE:!kPSK:!kSRP"
#define TLS_GROUPS  "X25519:P-256:X448:P-384:P-521"
