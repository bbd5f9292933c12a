#pragma once

/* Compiler attributes and ownership helpers that every floor uses. */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))

/* Whether AddressSanitizer is built in: clang and gcc each have a way of their own to say so. */
#ifdef __has_feature
#define HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#else
#define HAS_ADDRESS_SANITIZER 0
#endif

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of TYPE that POINTER is the MEMBER of. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Hands an owned pointer over: the variable is NULL afterwards, so its cleanup does nothing. */
#define take_ptr(pointer)                                \
        ({                                               \
                __typeof__(pointer) *_slot = &(pointer); \
                __typeof__(pointer) _value = *_slot;     \
                *_slot = NULL;                           \
                _value;                                  \
        })

/* The same for a file descriptor, whose empty value is -1. */
static inline int take_fd(int *fd) {
        int value = *fd;

        *fd = -1;
        return value;
}

/* Closes FD unless it is -1, keeps errno, and returns -1. */
int fd_close(int fd);

static inline void fd_closep(int *fd) {
        fd_close(*fd);
}

static inline void freep(void *p) {
        free(*(void **)p);
}

/* Defines DESTRUCTORp() for use with _cleanup_() from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, destructor)            \
        static inline void destructor##p(type *p) { \
                destructor(*p);                     \
        }                                           \
        struct destructor##_wants_a_semicolon

/* Cleanses the string, which may be NULL, and frees it. Returns NULL. */
static inline char *free_secret(char *s) {
        if (s)
                explicit_bzero(s, strlen(s));
        free(s);
        return NULL;
}
DEFINE_CLEANUP(char *, free_secret);

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

static inline bool strempty(const char *s) {
        return !s || !*s;
}

/* Strings may be NULL; two NULLs are equal. */
static inline bool streq_null(const char *a, const char *b) {
        return a == b || (a && b && streq(a, b));
}

static inline bool has_prefix(const char *s, const char *prefix) {
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

static inline bool has_suffix(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && streq(s + n - m, suffix);
}
