/*
 * A fleet of certificates. The store itself would fsync a dozen times for each of them, so the files are
 * written here, in the layout that lib/store/store.h describes; a test or benchmark that starts rekeyd on
 * them notices when the two do not agree.
 */

#include "tests/support/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/store/store.h"
#include "tests/support/must.h"
#include "tests/support/quick-keys/quick-key.h"

#define NAME_SIZE 64

static const char *fleet_name(char buffer[NAME_SIZE], const struct fleet_options *options, unsigned i) {
        snprintf(buffer, NAME_SIZE, "%s-%05u", options->name, i);
        return buffer;
}

char *fleet_path(const struct fleet_options *options, unsigned i, const char *name) {
        char buffer[NAME_SIZE], *path;

        must(asprintf(&path, "%s/%s/%s/%s", options->directory, options->name, fleet_name(buffer, options, i),
                      name) > 0);
        return path;
}

void fleet_configure(const struct fleet_options *options, FILE *out, const char *connector,
                     const char *extra) {
        for (unsigned i = 0; i < options->n; i++) {
                char name[NAME_SIZE];

                fleet_name(name, options, i);
                fprintf(out, "  %s: {connector: %s, directory: %s/%s/%s%s}\n", name, connector,
                        options->directory, options->name, name, extra);
        }
}

static void write_at(int dir_fd, const char *name, const char *text, mode_t mode) {
        size_t size = strlen(text);
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

        must(fd >= 0);
        must(write(fd, text, size) == (ssize_t)size);
        close(fd);
}

static int make_directory_at(int dir_fd, const char *name, mode_t mode) {
        int fd;

        must(mkdirat(dir_fd, name, mode) == 0);
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(fd >= 0);
        return fd;
}

static FILE *open_in(const char *directory, const char *name) {
        _cleanup_(freep) char *path = NULL;
        FILE *file;

        must(asprintf(&path, "%s/connector/%s", directory, name) > 0);
        file = fopen(path, "re");
        must(file);
        return file;
}

/* The CA of the devconnector in a stand. Its key is owned by the caller beside the certificate. */
static struct x509_cert read_ca(const char *directory) {
        struct x509_cert ca = { 0 };
        FILE *file = open_in(directory, "ca.crt");
        BIO *bio = BIO_new(BIO_s_mem());
        char *data;
        long size;

        must(ca.handle = PEM_read_X509(file, NULL, NULL, NULL));
        fclose(file);
        file = open_in(directory, "ca.key");
        must(ca.key = PEM_read_PrivateKey(file, NULL, NULL, NULL));
        fclose(file);
        must(PEM_write_bio_X509(bio, ca.handle) == 1);
        size = BIO_get_mem_data(bio, &data);
        must(ca.pem = strndup(data, (size_t)size));
        BIO_free(bio);
        return ca;
}

struct texts {
        char *key, *next_key, *leaf, *ca, *connection;
};

static void write_set(const struct fleet_options *options, int fd, const struct texts *texts) {
        static const char *const links[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA, STORE_CONNECTION };
        int generation_fd = make_directory_at(fd, "..gen-000001", 0755), stage_fd;

        write_at(generation_fd, STORE_KEY, texts->key, 0600);
        write_at(generation_fd, STORE_CERTIFICATE, texts->leaf, 0644);
        write_at(generation_fd, STORE_CA, texts->ca, 0644);
        write_at(generation_fd, STORE_CONNECTION, texts->connection, 0644);
        close(generation_fd);

        must(symlinkat("..gen-000001", fd, STORE_CURRENT) == 0);
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                char target[64];

                snprintf(target, sizeof(target), STORE_CURRENT "/%s", links[i]);
                must(symlinkat(target, fd, links[i]) == 0);
        }
        if (options->with_staged_key) {
                stage_fd = make_directory_at(fd, "..stage-000002", 0700);
                write_at(stage_fd, STORE_KEY, texts->next_key, 0600);
                close(stage_fd);
        }
}

/* Set number I in SET_FD. TEXTS has what all sets share. */
static void make_set(const struct fleet_options *options, int set_fd, unsigned i, const struct x509_cert *ca,
                     struct texts texts) {
        EVP_PKEY *key = options->key_bits > 0 ? quick_key(options->key_bits) : NULL;
        EVP_PKEY *next = key && options->with_staged_key ? quick_key(options->key_bits) : NULL;
        _cleanup_(freep) char *key_text = key ? x509_key_pem(key) : NULL,
                              *next_text = next ? x509_key_pem(next) : NULL;
        char name[NAME_SIZE], subject[128];

        snprintf(subject, sizeof(subject), "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=client-%s",
                 fleet_name(name, options, i));
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                .subject = subject,
                .key = key,
                .issuer = ca,
                .not_before = options->not_before,
                .not_after = options->not_after,
        });
        texts.leaf = leaf.pem;
        if (key_text)
                texts.key = key_text;
        if (next_text)
                texts.next_key = next_text;
        write_set(options, set_fd, &texts);
        EVP_PKEY_free(key);
        EVP_PKEY_free(next);
}

void fleet_make(const struct fleet_options *options) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = read_ca(options->directory);
        struct texts texts = { .ca = ca.pem };
        _cleanup_(freep) char *folder = NULL;
        int fd;

        must(asprintf(&folder, "%s/%s", options->directory, options->name) > 0);
        fd = make_directory_at(AT_FDCWD, folder, 0755);
        texts.key = x509_key_pem(x509_key(0));
        if (options->with_staged_key)
                texts.next_key = x509_key_pem(x509_key(2));
        must(asprintf(&texts.connection, "{\"certificateSecuredConnectorURL\": \"%s\"}\n", options->url) > 0);

        for (unsigned i = 0; i < options->n; i++) {
                char name[NAME_SIZE];
                int set_fd = make_directory_at(fd, fleet_name(name, options, i), 0755);

                make_set(options, set_fd, i, &ca, texts);
                close(set_fd);
        }
        close(fd);

        free(texts.key);
        free(texts.next_key);
        free(texts.connection);
        EVP_PKEY_free(ca.key);
}
