#pragma once

/* FNV-1a, 64 bits: names and texts as numbers, where collisions have no value to an attacker. */

#include "lib/util/macro.h"

#define HASH_INIT UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_byte(uint64_t hash, uint8_t byte) {
        return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint64_t hash_text(uint64_t hash, const char *text) {
        for (; *text; text++)
                hash = hash_byte(hash, (uint8_t)*text);
        return hash;
}
